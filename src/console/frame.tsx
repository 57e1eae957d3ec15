/** What all screens share: how wide the terminal is and what it can show, the head with the device, the foot with the keys. */
import { Box, Text } from 'ink'
import type { ReactNode } from 'react'
import { safe } from '../base/text.ts'
import type { Snapshot } from '../control/protocol.ts'
import type { Texts } from './texts.ts'

export interface Glyphs {
  rule: string
  full: string
  empty: string
  arrow: string
  done: string
  /** corners and sides of a box: top left, top right, bottom left, bottom right, side */
  box: readonly [string, string, string, string, string]
}

/** Only what the font of the Linux console has; no braille, no ellipsis. */
const LINES: Glyphs = { rule: '─', full: '█', empty: '░', arrow: '→', done: '√', box: ['┌', '┐', '└', '┘', '│'] }
const ASCII: Glyphs = { rule: '-', full: '#', empty: '.', arrow: '->', done: 'ok', box: ['+', '+', '+', '+', '|'] }

/** What a terminal can show, and the language: a value that every screen is given. */
export interface Frame {
  t: Texts
  columns: number
  rows: number
  glyphs: Glyphs
  colour: boolean
}

/** A serial terminal is taken at its word; a locale that is not UTF-8 too, but for the Linux console, which always is. */
export function glyphsFor(env: NodeJS.ProcessEnv): Glyphs {
  const term = env.TERM ?? 'dumb'
  if (term.startsWith('vt') || term === 'dumb') return ASCII
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ''
  return term === 'linux' || locale === '' || /utf-?8/i.test(locale) ? LINES : ASCII
}

export const hasColour = (env: NodeJS.ProcessEnv): boolean =>
  env.NO_COLOR === undefined && !/^(vt|dumb)/.test(env.TERM ?? 'dumb')

/** Safe text, cut to a width with `~` where something is missing. */
export function cut(text: string, width: number): string {
  const letters = [...safe(text, 2000).replaceAll('…', '...')]
  return letters.length <= width ? letters.join('') : `${letters.slice(0, Math.max(0, width - 1)).join('')}~`
}

/** Safe text of any length, for a Text that wraps. */
export const wrapped = (text: string): string => safe(text, 600).replaceAll('…', '...')

type Tone = 'good' | 'bad' | 'warn'
const COLOURS: Record<Tone, string> = { good: 'green', bad: 'red', warn: 'yellow' }

/** Properties of a Text whose words say the same without colour. */
export const tone = (frame: Frame, kind: Tone | undefined): { color?: string } =>
  frame.colour && kind ? { color: COLOURS[kind] } : {}

export interface PageProps {
  frame: Frame
  /** the device, where it is known */
  snapshot?: Snapshot
  keys: readonly string[]
  note?: string
  children: ReactNode
}

/** A whole screen: one row less than the terminal has, since at full height the screen would be cleared at each change. */
export function Page({ frame, snapshot, keys, note, children }: PageProps) {
  const { t, columns, rows, glyphs } = frame
  const device = snapshot ? snapshot.device.name || snapshot.device.compatible : ''
  const line = (text: string, bold: boolean) => (
    <Box flexShrink={0}>
      <Text bold={bold}>{text}</Text>
    </Box>
  )
  const rule = line(glyphs.rule.repeat(columns), false)
  return (
    <Box flexDirection="column" width={columns} height={Math.max(6, rows - 1)} overflow="hidden">
      {line(cut(` ${t.title}${device ? `  ${device}` : ''}`, columns), true)}
      {rule}
      <Box flexDirection="column" flexGrow={1} paddingX={1} overflow="hidden">
        {children}
      </Box>
      {note ? (
        <Box paddingX={1} flexShrink={0}>
          <Text bold {...tone(frame, 'warn')}>
            {wrapped(note)}
          </Text>
        </Box>
      ) : null}
      {rule}
      <Box paddingX={1} columnGap={3} flexWrap="wrap" flexShrink={0}>
        {keys.map(key => (
          <Text key={key} bold>
            {key}
          </Text>
        ))}
      </Box>
    </Box>
  )
}

/** A name and its value in two columns. */
export function Row({ frame, name, value, kind }: { frame: Frame; name: string; value: string; kind?: Tone }) {
  return (
    <Box flexShrink={0}>
      <Text>{cut(name, 13).padEnd(14)}</Text>
      <Text {...tone(frame, kind)}>{cut(value, frame.columns - 16)}</Text>
    </Box>
  )
}

/** No and yes, one of them chosen; no is first. */
export function Choice({ frame, yes, words }: { frame: Frame; yes: boolean; words: readonly [string, string] }) {
  const arrow = frame.glyphs.arrow
  return (
    <Box flexDirection="column" marginTop={1} flexShrink={0}>
      {words.map((word, i) => {
        const chosen = (i === 1) === yes
        return (
          <Text key={word} bold={chosen} inverse={chosen}>
            {cut(` ${(chosen ? arrow : '').padEnd(2)} ${word} `, frame.columns - 2)}
          </Text>
        )
      })}
    </Box>
  )
}

/** The part of a list around the chosen line that there is room for. */
export function windowOf<T>(list: readonly T[], chosen: number, room: number): { from: number; shown: readonly T[] } {
  const from = Math.max(0, Math.min(chosen - Math.floor(room / 2), list.length - room))
  return { from, shown: list.slice(from, from + Math.max(1, room)) }
}
