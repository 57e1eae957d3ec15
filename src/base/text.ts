/** Text that came from outside, made safe to show on a terminal. */

/**
 * Control characters, line ends and the Unicode controls that reorder text become visible escapes, so that a name can
 * neither move the cursor nor show itself as another name. At most `limit` characters are kept.
 */
export function safe(text: string, limit = 200): string {
  const shown = text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return shown.length > limit ? `${shown.slice(0, limit - 1)}…` : shown
}

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
