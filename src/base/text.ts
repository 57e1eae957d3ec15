/** Text that came from outside, made safe to show on a terminal and in a log. */

/**
 * Letters that do not show as what they are: control and format characters, lone surrogates, private and unassigned ones,
 * what ends a line, what Unicode itself calls ignorable (variation selectors, tags, fillers), and blank letters that no
 * property names (a Braille cell without dots, a note without a head).
 */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}]/u
/** Blanks that are not the blank: names that differ in these look alike. */
const OTHER_BLANKS = /(?! )\p{Zs}/u
const HIDDEN = new RegExp(`${UNSEEN.source}|${OTHER_BLANKS.source}`, 'gu')
/** Marks pile up on one letter without end, and would reach into the lines around it. */
const PILED = /(?<=\p{M}{2})\p{M}/gu

/** Where bytes that are no UTF-8 stand in a name, in the private use area: 0x80 to 0xff, as in OPTU-16 of MirBSD. */
export const RAW = { first: 0xef80, last: 0xefff } as const

export const isUnseen = (letter: string): boolean => UNSEEN.test(letter)

/** `\u202e`, `\u{e0041}`; a byte of a name that is no UTF-8 (base/names.ts) as `\xf6`. */
export function escaped(letter: string): string {
  const code = letter.codePointAt(0) ?? 0
  if (code >= RAW.first && code <= RAW.last) return `\\x${(code - RAW.first + 0x80).toString(16)}`
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`
}

/**
 * Everything that does not show as what it is becomes a visible escape, so that a name can neither move the cursor nor
 * pass for another name. At most `limit` letters are kept.
 */
export function safe(text: string, limit = 200): string {
  const shown = text.replace(HIDDEN, escaped).replace(PILED, escaped)
  if (shown.length <= limit) return shown
  return `${[...shown].slice(0, limit - 1).join('')}…`
}

/**
 * JSON of the same value in which everything shows as what it is.
 * @param json as JSON.stringify makes it, in one line or in several
 */
export const safeJson = (json: string): string =>
  json.replace(HIDDEN, letter => (letter === '\n' ? letter : letter.split('').map(unit).join('')))

/** JSON knows escapes of UTF-16 units only. */
const unit = (half: string) => `\\u${half.charCodeAt(0).toString(16).padStart(4, '0')}`

/**
 * A size for people, in powers of ten as sticks are sold: `12.3 MB`.
 * @param locale whose decimal sign is used, e.g. `de`
 */
export function bytes(count: number, locale = 'en'): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  const shape = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false }
  return `${value.toLocaleString(locale, shape)} ${units[unit]}`
}
