/**
 * A bare superblock, as `ostree static-delta generate --inline` writes it:
 * `(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))`. Only its frame and its commit are read, by position, so that
 * its size does not matter; its parts are OSTree's business.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { errno, Failure } from '../base/failure.ts'
import { type Commit, parseCommit } from '../ostree/contents.ts'
import { offsetSize, parse, readOffset } from '../ostree/gvariant.ts'

/** Children of the outer tuple that have a framing offset: all but the timestamp (always 8 bytes) and the last. */
const FRAMED = 6
/** Of a commit and of the list of parts; real ones are a few kilobytes. */
const LIMIT = 16 * 1024 * 1024
/** As much of an entry of the metadata as is looked at. */
const ENTRY = 256
const BIG = 'B'.charCodeAt(0)
const PARTS_LIMIT = 100_000

export interface Superblock {
  /** the commit that a device must have; absent when it needs none */
  from?: string
  commit: Commit
  /** where in the file the time of its making is: 8 bytes, big-endian, seconds since 1970 */
  timeAt: number
  size: number
  /** bytes of the objects that it makes, once they are in a device's repo */
  unpacked: number
}

const align8 = (at: number) => Math.ceil(at / 8) * 8

/**
 * Read the frame of a superblock.
 * @throws Failure `bad-superblock` when it is none, is damaged, or does not hold all its parts
 */
export async function readSuperblock(path: string): Promise<Superblock> {
  const bad = (why: string) => new Failure('bad-superblock', `cannot use ${path}: ${why}`)
  const file = await openSuperblock(path)
  try {
    const { size } = await file.stat()
    const width = offsetSize(size)
    const limit = size - FRAMED * width
    if (limit < 64) throw bad('it is too short to be a superblock')
    const table = await bytesAt(file, limit, FRAMED * width)
    const ends = Array.from({ length: FRAMED }, (_, i) => readOffset(table, (FRAMED - 1 - i) * width, width))
    const [metadataEnd = 0, fromEnd = 0, toEnd = 0, commitEnd = 0, ancestorsEnd = 0, partsEnd = 0] = ends
    const timeAt = align8(metadataEnd)
    const spans = [
      [0, metadataEnd],
      [timeAt, timeAt + 8],
      [timeAt + 8, fromEnd],
      [fromEnd, toEnd],
      [align8(toEnd), commitEnd],
      [commitEnd, ancestorsEnd],
      [align8(ancestorsEnd), partsEnd],
      [align8(partsEnd), limit],
    ] as const
    if (spans.some(([start, end]) => start > end || end > limit)) throw bad('it is not a superblock, or it is damaged')
    const child = async (index: number, most: number) => {
      const [start, end] = spans[index] ?? [0, 0]
      if (end - start > most) throw bad('it is not a superblock, or it is damaged')
      return bytesAt(file, start, end - start)
    }
    const [from, to] = [await child(2, 32), await child(3, 32)]
    if ((from.length !== 0 && from.length !== 32) || to.length !== 32)
      throw bad('it is not a superblock, or it is damaged')
    const commit = parseCommit(to.toString('hex'), await child(4, LIMIT))
    const parts = parse('a(uayttay)', await child(6, LIMIT)) as [Buffer, Buffer, Buffer, Buffer, Buffer][]
    if ((await child(7, LIMIT)).length)
      throw bad('it expects some files from a server; generate it with --inline --min-fallback-size=0')
    const metadata = await readMetadata(file, metadataEnd, bad)
    if (metadata.parts < parts.length) throw bad('its parts are in other files; generate it with --inline')
    const unpacked = parts.reduce((sum, [, , , size]) => sum + Number(metadata.number(size)), 0)
    return { from: from.length ? from.toString('hex') : undefined, commit, timeAt, size, unpacked }
  } catch (error) {
    if (error instanceof Failure && error.code !== 'bad-superblock') throw bad(`it is damaged: ${error.message}`)
    throw error
  } finally {
    await file.close()
  }
}

/** Set the time of its making, the one thing in which two deltas between the same commits differ. */
export async function stampSuperblock(path: string, seconds: number): Promise<void> {
  const { timeAt } = await readSuperblock(path)
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(BigInt(seconds))
  const file = await open(path, 'r+')
  try {
    await file.write(time, 0, 8, timeAt)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * From the metadata (`a{sv}`, at the file's start): how many parts it holds (their keys start with `deltas/`), and the
 * byte order of the file's numbers, little-endian unless it says otherwise.
 */
async function readMetadata(file: FileHandle, end: number, bad: (why: string) => Failure) {
  let parts = 0
  let number = (bytes: Buffer) => bytes.readBigUInt64LE()
  const width = offsetSize(end)
  const table = end === 0 ? 0 : readOffset(await bytesAt(file, end - width, width), 0, width)
  const count = end === 0 ? 0 : (end - table) / width
  if (table > end - width || !Number.isInteger(count) || count > PARTS_LIMIT) throw bad('it is damaged')
  const ends = await bytesAt(file, table, end - table)
  let start = 0
  for (let i = 0; i < count; i++) {
    const stop = readOffset(ends, i * width, width)
    if (stop < start || stop > table) throw bad('it is damaged')
    const entry = await bytesAt(file, start, Math.min(ENTRY, stop - start))
    const key = entry.toString('latin1', 0, entry.indexOf(0))
    if (key.startsWith('deltas/')) parts++
    if (key === 'ostree.endianness' && (parse('{sv}', entry) as [string, { value: Buffer }])[1].value[0] === BIG)
      number = bytes => bytes.readBigUInt64BE()
    start = align8(stop)
  }
  return { parts, number }
}

async function openSuperblock(path: string): Promise<FileHandle> {
  try {
    return await open(path)
  } catch (error) {
    throw new Failure('bad-superblock', `cannot open ${path}: ${errno(error) ?? String(error)}`, { cause: error })
  }
}

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at)
  if (bytesRead < length) throw new Failure('bad-superblock', 'cannot read the superblock: it became shorter meanwhile')
  return buffer
}
