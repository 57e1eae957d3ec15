/** The one tar header that an entry of a package may have, byte for byte; docs/format.md lists its fields. */
import { Failure } from '../base/failure.ts'

export const BLOCK = 512
/** Where an archive ends: two blocks of zeros, and nothing after them. */
export const END = 1024
/** What eleven octal digits can say: 8 GiB less one byte. */
export const LARGEST = 0o77777777777

const NAME = /^[\x21-\x7e]{1,100}$/

/** `count` rounded up to whole blocks. */
export const padded = (count: number): number => Math.ceil(count / BLOCK) * BLOCK

/**
 * The canonical header: ustar, a regular file, mode 0644, owner and group 0 without names, time 0.
 * @param path at most 100 visible ASCII characters
 * @throws Failure `bad-member` where the format has no header for it
 */
export function ustarHeader(path: string, size: number): Buffer {
  if (!NAME.test(path)) throw new Failure('bad-member', `cannot pack ${JSON.stringify(path)}: the name is not allowed`)
  if (!Number.isInteger(size) || size < 0 || size > LARGEST)
    throw new Failure('bad-member', `cannot pack ${path}: ${size} bytes is not a size that a package can hold`)
  const header = Buffer.alloc(BLOCK)
  header.write(path, 0, 'latin1')
  header.write('000644 ', 100, 'latin1')
  header.write('000000 ', 108, 'latin1')
  header.write('000000 ', 116, 'latin1')
  header.write(`${size.toString(8).padStart(11, '0')} `, 124, 'latin1')
  header.write('00000000000 ', 136, 'latin1')
  header.write('0', 156, 'latin1')
  header.write('ustar\x0000', 257, 'latin1')
  header.write('000000 ', 329, 'latin1')
  header.write('000000 ', 337, 'latin1')
  let sum = 8 * 0x20 // the checksum field counts as blanks
  for (const byte of header) sum += byte
  header.write(`${sum.toString(8).padStart(6, '0')} `, 148, 'latin1')
  return header
}

/**
 * Name and size from a canonical header, or undefined for any other block: links, devices, folders, sparse files, pax and
 * GNU extensions, other modes or owners all differ from the header that is made anew from the name and the size found.
 */
export function readHeader(block: Buffer): { path: string; size: number } | undefined {
  const end = block.indexOf(0)
  const path = block.toString('latin1', 0, end < 0 || end > 100 ? 100 : end)
  const digits = block.toString('latin1', 124, 135)
  if (!NAME.test(path) || !/^[0-7]{11}$/.test(digits)) return undefined
  const size = Number.parseInt(digits, 8)
  return ustarHeader(path, size).equals(block.subarray(0, BLOCK)) ? { path, size } : undefined
}

/** Whether all of it is zero, as padding must be. */
export const isZero = (bytes: Buffer): boolean => bytes.every(byte => byte === 0)
