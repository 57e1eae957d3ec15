/** What all screens are made of: lines with a tone, in a list of which one may be chosen. */
import { cell, cut, type Glyphs, readable, widthOf, wrap } from './glyphs.ts'
import type { Texts } from './texts.ts'

/** What the terminal can show, and the language: a value that every screen is given. */
export interface Frame {
  t: Texts
  columns: number
  rows: number
  glyphs: Glyphs
  colour: boolean
  /** it is the device's own console, which is not left */
  kiosk: boolean
}

export type Tone = 'good' | 'bad' | 'warn'

/** One row of the terminal; the words say the same without the tone. */
export interface Line {
  text: string
  bold?: boolean
  inverse?: boolean
  tone?: Tone | undefined
}
export type Style = Omit<Line, 'text'>

/** What a screen has to say; the page finds the room for it. */
export interface Screen {
  head: string
  tone?: Tone | undefined
  /** most important first: what does not fit is cut off below */
  lines: Line[]
  /** stands between `lines` and `after`: of too many entries those around the chosen one are shown */
  list?: { entries: Line[][]; chosen: number }
  after?: Line[]
  keys: readonly string[]
}

export const BLANK: Line = { text: '' }

/** Columns inside the margins. */
export const inner = (frame: Frame): number => frame.columns - 2

/** A sentence in as many lines as it needs. */
export const say = (frame: Frame, text: string, style: Style = {}, indent = 0): Line[] =>
  wrap(text, Math.max(8, inner(frame) - indent), frame.glyphs).map(line => ({
    text: ' '.repeat(indent) + line,
    ...style,
  }))

/** One line, cut where it is too long. */
export const line = (frame: Frame, text: string, style: Style = {}): Line => ({
  text: cut(text, inner(frame), frame.glyphs),
  ...style,
})

/** A name and its value in two columns; a long value goes on below. */
export function row(frame: Frame, name: string, value: string, style: Style = {}): Line[] {
  const width = Math.min(16, Math.floor(frame.columns / 3))
  return wrap(value, Math.max(8, inner(frame) - width), frame.glyphs).map((text, i) => ({
    text: `${cell(i === 0 ? name : '', width - 1, frame.glyphs)} ${text}`,
    ...style,
  }))
}

/** One of a list: with an arrow and inverse when it is chosen. */
export const entry = (frame: Frame, text: string, chosen: boolean, style: Style = {}): Line => ({
  text: cell(`${chosen ? frame.glyphs.arrow.padEnd(2) : '  '} ${text}`, inner(frame), frame.glyphs),
  ...(chosen ? { inverse: true, bold: true } : style),
})

/** No and yes, one of them chosen; no is first. */
export const choice = (frame: Frame, yes: boolean, words: readonly [string, string]): Line[] => [
  entry(frame, words[0], !yes),
  entry(frame, words[1], yes),
]

/** Words in a box that can be read from across the room. */
export function banner(frame: Frame, words: string, tone: Tone): Line[] {
  const { glyphs } = frame
  const room = inner(frame) - 6
  const wide = [...readable(words, glyphs)].join(' ')
  const rows = widthOf(wide) <= room ? [wide] : wrap(words, room, glyphs)
  const width = Math.max(...rows.map(widthOf))
  const [topLeft, topRight, bottomLeft, bottomRight, side] = glyphs.box
  const rule = glyphs.rule.repeat(width + 4)
  return [
    `${topLeft}${rule}${topRight}`,
    ...rows.map(text => `${side}  ${cell(text, width, glyphs)}  ${side}`),
    `${bottomLeft}${rule}${bottomRight}`,
  ].map(text => ({ text, bold: true, tone }))
}

/**
 * The lines that there is room for. Blank ones go first; then of the list those around the chosen entry stay; what is
 * below goes last.
 */
export function fitted({ lines, list, after = [] }: Screen, room: number, more: (hidden: number) => Line): Line[] {
  const listed = list?.entries.flat().length ?? 0
  const tight = lines.length + listed + after.length > room
  const packed = (all: Line[]) => (tight ? all.filter(one => one.text !== '') : all)
  const top = packed(lines)
  const bottom = packed(after)
  if (!list) return [...top, ...bottom].slice(0, room)
  const height = Math.max(...list.entries.map(one => one.length), 1)
  const free = Math.max(height, room - top.length - bottom.length)
  if (listed <= free) return [...top, ...list.entries.flat(), ...bottom].slice(0, room)
  // One line says how many are not shown.
  const count = Math.max(1, Math.floor((free - 1) / height))
  const from = Math.max(0, Math.min(list.chosen - Math.floor(count / 2), list.entries.length - count))
  const shown = list.entries.slice(from, from + count).flat()
  const note = free > shown.length ? [more(list.entries.length - count)] : []
  return [...top, ...shown, ...note, ...bottom].slice(0, room)
}
