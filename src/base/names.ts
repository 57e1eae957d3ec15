/**
 * Names of files as the kernel has them, any bytes but / and NUL, held in strings: they can be sent as JSON, compared, shown
 * and opened again. Bytes that are no UTF-8 stand as letters of RAW, and so does the UTF-8 of those letters themselves, so
 * that no two names become one string.
 */
import { readFileSync } from 'node:fs'
import { RAW } from './text.ts'

const IS_RAW = new RegExp(`[\\u${RAW.first.toString(16)}-\\u${RAW.last.toString(16)}]`)
/** From the byte to its letter. */
const SHIFT = RAW.first - 0x80

/** The string for a name, or for a whole path. */
export function nameOf(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  if (!IS_RAW.test(text) && Buffer.from(text).equals(bytes)) return text
  let name = ''
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] as number
    const sequence = bytes.subarray(at, at + (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4))
    const letter = sequence.toString('utf8')
    const isWhole = Buffer.from(letter).equals(sequence) && !IS_RAW.test(letter)
    name += isWhole ? letter : String.fromCharCode(SHIFT + lead)
    at += isWhole ? sequence.length : 1
  }
  return name
}

/** The bytes of a name that `nameOf` made; what has none of its letters is UTF-8. */
export function bytesOf(name: string): Buffer {
  if (!IS_RAW.test(name)) return Buffer.from(name)
  const letters = [...name].map(letter => {
    const code = letter.charCodeAt(0)
    return IS_RAW.test(letter) ? Buffer.from([code - SHIFT]) : Buffer.from(letter)
  })
  return Buffer.concat(letters)
}

/** The arguments of this program, each as `nameOf` has it: Node makes U+FFFD of bytes that are no UTF-8. */
export function argumentsAsGiven(argv: readonly string[] = process.argv.slice(2)): string[] {
  if (!argv.some(one => one.includes('\ufffd') || IS_RAW.test(one))) return [...argv]
  const words = readFileSync('/proc/self/cmdline').toString('latin1').split('\0').slice(0, -1)
  return words.slice(words.length - argv.length).map(word => nameOf(Buffer.from(word, 'latin1')))
}
