/** What a terminal can show: which letters and signs it has, how wide they are, and text fitted to that. */
import { escaped, isUnseen } from '../base/text.ts'

export interface Glyphs {
  /** which letters there are: those of the terminal's Unicode font, those of the Linux console's, or ASCII */
  letters: 'unicode' | 'console' | 'ascii'
  rule: string
  full: string
  empty: string
  arrow: string
  done: string
  /** corners and side of a box: top left, top right, bottom left, bottom right, side */
  box: readonly [string, string, string, string, string]
}

/** Only what the font of the Linux console has, whichever of the usual ones is loaded; no braille, no ellipsis. */
const LINES = { rule: '─', full: '█', empty: '░', arrow: '→', done: '√', box: ['┌', '┐', '└', '┘', '│'] } as const
const UNICODE: Glyphs = { letters: 'unicode', ...LINES }
const CONSOLE: Glyphs = { letters: 'console', ...LINES }
const ASCII: Glyphs = {
  ...{ letters: 'ascii', rule: '-', full: '#', empty: '.', arrow: '->', done: 'ok' },
  box: ['+', '+', '+', '+', '|'],
}

/** A serial terminal is taken at its word; a locale that is not UTF-8 too, but for the Linux console, which always is. */
export function glyphsFor(env: NodeJS.ProcessEnv): Glyphs {
  const term = env.TERM ?? 'dumb'
  if (term.startsWith('vt') || term === 'dumb') return ASCII
  if (term === 'linux') return CONSOLE
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ''
  return locale === '' || /utf-?8/i.test(locale) ? UNICODE : ASCII
}

export const hasColour = (env: NodeJS.ProcessEnv): boolean =>
  env.NO_COLOR === undefined && !/^(vt|dumb)/.test(env.TERM ?? 'dumb')

/** Letters that both the kernel's own font (code page 437) and the Lat15 fonts of Debian have. */
const IN_CONSOLE = /[ -~äöüÄÖÜßàáâåçèéêëìíîïñòóôùúûÿÅÇÉÑæÆ£¥ªº¿¡«»µ±°·²─│┌┐└┘█░▒▓√→]/

/** What stands for a letter or sign that is missing and is not simply one with an accent. */
const INSTEAD: { [letter: string]: string } = {
  ...{ ä: 'ae', ö: 'oe', ü: 'ue', Ä: 'Ae', Ö: 'Oe', Ü: 'Ue', ß: 'ss', ẞ: 'SS' },
  ...{ æ: 'ae', Æ: 'AE', œ: 'oe', Œ: 'OE', ø: 'o', Ø: 'O', ł: 'l', Ł: 'L', đ: 'd', Đ: 'D', ı: 'i', þ: 'th', Þ: 'Th' },
  ...{ '‘': "'", '’': "'", '‚': "'", '“': '"', '”': '"', '„': '"', '«': '"', '»': '"', '‹': '<', '›': '>' },
  ...{ '–': '-', '—': '-', '‐': '-', '‑': '-', '−': '-', '…': '...', '•': '*', '·': '*', '×': 'x', '→': '->' },
  ...{ '€': 'EUR', '£': 'GBP', '°': 'deg', µ: 'u', '±': '+-', '²': '2', '³': '3', '©': '(c)', '®': '(R)', '™': '(TM)' },
}

/**
 * Any text as this terminal can show it, on one line: what could move the cursor or reorder is escaped, what the font
 * lacks is written with other letters (`ő` as `o`) or, where there are none, as `\u0416`.
 * @param limit characters kept
 */
export function readable(text: string, glyphs: Glyphs, limit = 2000): string {
  let marks = 0
  let shown = ''
  const whole = text.normalize('NFC')
  for (const letter of whole.length > limit ? `${whole.slice(0, limit)}...` : whole) {
    marks = /\p{M}/u.test(letter) ? marks + 1 : 0
    // Marks pile up on one letter without end, and would reach into the lines around it.
    if (marks > 2 || isUnseen(letter)) shown += escaped(letter)
    else if (/\p{Zs}/u.test(letter)) shown += ' '
    else if (glyphs.letters === 'unicode' || isPlain(letter)) shown += letter
    else if (glyphs.letters === 'console' && IN_CONSOLE.test(letter)) shown += letter
    else shown += INSTEAD[letter] ?? withoutAccent(letter, glyphs)
  }
  return shown
}

const isPlain = (letter: string) => letter >= ' ' && letter <= '~'

function withoutAccent(letter: string, glyphs: Glyphs): string {
  const base = letter.normalize('NFD').replace(/\p{M}/gu, '')
  const has = (one: string) => isPlain(one) || (glyphs.letters === 'console' && IN_CONSOLE.test(one))
  return base !== '' && [...base].every(has) ? base : escaped(letter)
}

/** Scripts and signs that take two columns (Unicode Standard Annex 11); emoji do on every terminal that has them. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u

/** Columns that a text takes which `readable` has made. */
export function widthOf(text: string): number {
  let width = 0
  for (const letter of text) width += isPlain(letter) ? 1 : /\p{M}/u.test(letter) ? 0 : WIDE.test(letter) ? 2 : 1
  return width
}

/** The longest beginning that fits into `width` columns, and what is left. */
function split(text: string, width: number): [string, string] {
  let taken = 0
  let end = 0
  for (const letter of text) {
    taken += widthOf(letter)
    if (taken > width) break
    end += letter.length
  }
  return [text.slice(0, end), text.slice(end)]
}

/** Readable text, cut to a width with `~` where something is missing. */
export function cut(text: string, width: number, glyphs: Glyphs): string {
  const whole = readable(text, glyphs)
  return widthOf(whole) <= width ? whole : `${split(whole, Math.max(0, width - 1))[0]}~`
}

/** As cut, and filled up with spaces. */
export function cell(text: string, width: number, glyphs: Glyphs): string {
  const shown = cut(text, width, glyphs)
  return shown + ' '.repeat(Math.max(0, width - widthOf(shown)))
}

/** Readable text in lines of at most `width` columns, broken between words where there are any. */
export function wrap(text: string, width: number, glyphs: Glyphs): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of readable(text, glyphs).split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (widthOf(longer) <= width) {
      line = longer
      continue
    }
    if (line !== '') lines.push(line)
    line = word
    while (widthOf(line) > width && width > 1) {
      const [head, rest] = split(line, width)
      lines.push(head)
      line = rest
    }
  }
  if (line !== '' || lines.length === 0) lines.push(line)
  return lines
}
