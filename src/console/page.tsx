/** A screen put between the device's name and the keys, so that the whole fits the terminal. */
import { Box, Text } from 'ink'
import type { Snapshot } from '../control/protocol.ts'
import { cut, widthOf } from './glyphs.ts'
import { BLANK, type Frame, fitted, inner, type Line, line, type Screen, say, type Tone } from './lines.ts'

const COLOURS: Record<Tone, string> = { good: 'green', bad: 'red', warn: 'yellow' }

export interface PageProps {
  frame: Frame
  /** names the device, where it is known */
  snapshot?: Snapshot | undefined
  screen: Screen
  /** an answer, above the keys */
  note?: string
}

/** All rows of a screen: one less than the terminal has, since at full height it would be cleared at each change. */
export function rowsOf({ frame, snapshot, screen, note = '' }: PageProps): Line[] {
  const { t, columns, glyphs } = frame
  const device = snapshot ? snapshot.device.name || snapshot.device.compatible : ''
  const rule: Line = { text: glyphs.rule.repeat(columns) }
  const name = cut(` ${t.title}${device ? `  ${device}` : ''}`, columns, glyphs)
  const notes = note ? say(frame, note, { bold: true, tone: 'warn' }).slice(0, 4) : []
  const foot = keyLines(frame, screen.keys).map(text => ({ text, bold: true }))
  const room = heightOf(frame) - 3 - notes.length - foot.length
  const title: Line[] = [...say(frame, screen.head, { bold: true, tone: screen.tone }), BLANK]
  const body = fitted({ ...screen, lines: [...title, ...screen.lines] }, room, hidden =>
    line(frame, `   ${t.more(hidden)}`),
  )
  const empty = Array<Line>(Math.max(0, room - body.length)).fill(BLANK)
  return [{ text: name, bold: true }, rule, ...[...body, ...empty, ...notes].map(margin), rule, ...foot.map(margin)]
}

const heightOf = ({ rows }: Frame) => Math.max(8, rows - 1)

export function Page(props: PageProps) {
  const { frame } = props
  return (
    <Box flexDirection="column" width={frame.columns} height={heightOf(frame)} overflow="hidden">
      {rowsOf(props).map((one, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows of a screen have no other name than their place
        <Row key={at} line={one} colour={frame.colour} />
      ))}
    </Box>
  )
}

const margin = (one: Line): Line => (one.text === '' ? one : { ...one, text: ` ${one.text}` })

function Row({ line: { text, bold, inverse, tone }, colour }: { line: Line; colour: boolean }) {
  return (
    <Text
      wrap="truncate"
      bold={bold === true}
      inverse={inverse === true}
      {...(colour && tone ? { color: COLOURS[tone] } : {})}
    >
      {text === '' ? ' ' : text}
    </Text>
  )
}

function keyLines(frame: Frame, keys: readonly string[]): string[] {
  const lines: string[] = []
  for (const key of keys.map(one => cut(one, inner(frame), frame.glyphs))) {
    const last = lines.at(-1)
    const longer = `${last}   ${key}`
    if (last !== undefined && widthOf(longer) <= inner(frame)) lines[lines.length - 1] = longer
    else lines.push(key)
  }
  return lines
}
