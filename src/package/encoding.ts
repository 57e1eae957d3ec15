/** Text as editors of all systems save it: keys, signatures and passphrases come from anywhere. */

/**
 * The text of a file in UTF-8 or UTF-16, with or without a byte order mark, which is left away. Without a mark UTF-16 is known
 * by the NUL that one half of every ASCII character is (Unicode Standard, 23.8; PowerShell's `>` writes it with a mark).
 */
export function textOf(bytes: Uint8Array): string {
  const [first, second, third] = bytes
  const text = Buffer.from(bytes)
  if (first === 0xff && second === 0xfe) return text.toString('utf16le', 2)
  if (first === 0xfe && second === 0xff) return swapped(text).toString('utf16le', 2)
  if (first === 0xef && second === 0xbb && third === 0xbf) return text.toString('utf8', 3)
  if (first !== 0 && second === 0) return text.toString('utf16le')
  if (first === 0 && second !== undefined && second !== 0) return swapped(text).toString('utf16le')
  return text.toString('utf8')
}

/** Whether it is binary OpenPGP, whose packets begin with the highest bit set (RFC 9580, 4.2), and no text with a mark. */
export function isBinary(bytes: Uint8Array): boolean {
  const [first = 0, second = 0] = bytes
  const marked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || first === 0xef
  return first >= 0x80 && !marked
}

const swapped = (text: Buffer) => text.subarray(0, text.length - (text.length % 2)).swap16()
