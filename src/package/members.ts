/** Members: each checked against the signed index (header, hash, padding) before anything else sees it. */
import { createHash, hash as digest } from 'node:crypto'
import { type FileHandle, open, rm, unlink } from 'node:fs/promises'
import { Failure } from '../base/failure.ts'
import { letGo } from '../base/heap.ts'
import type { Source } from '../base/source.ts'
import { takeTurn } from '../base/turn.ts'
import { BLOCK, END, isZero, padded, ustarHeader } from './header.ts'
import type { Member } from './index.ts'
import { LIMITS } from './limits.ts'
import { readExactly } from './source.ts'

/** Bytes a read: what a stick delivers well, and what bounds the memory. */
const READ = 1024 * 1024
/** Bytes that what is read at once may become when it is unpacked. */
const UNPACKED = 4 * READ

/** Called with how many more bytes of the package were read. */
export type OnBytes = (count: number) => void

const room = (member: Member) => BLOCK + padded(member.size)

/**
 * One member of at most LIMITS.memory bytes, in one read.
 * @throws Failure `tampered`, `truncated`, `media-gone`, `media-error`
 */
export async function readMember(source: Source, member: Member): Promise<Buffer> {
  if (member.size > LIMITS.memory)
    throw new Failure('internal', `cannot hold ${member.path} in memory: it has ${member.size} bytes`)
  return check(member, await readExactly(source, member.header, room(member)))
}

/** The member's bytes out of its place in the archive. */
function check(member: Member, place: Buffer): Buffer {
  checkHeader(member, place)
  const bytes = place.subarray(BLOCK, BLOCK + member.size)
  if (!isZero(place.subarray(BLOCK + member.size))) throw tampered(member, 'it is not padded with zeros')
  if (digest('sha256', bytes) !== member.sha256) throw tampered(member, WRONG_HASH)
  return bytes
}

function checkHeader(member: Member, block: Buffer): void {
  if (!ustarHeader(member.path, member.size).equals(block.subarray(0, BLOCK)))
    throw tampered(member, 'its tar header is not the one that its index line stands for')
}

/**
 * Members of at most LIMITS.memory bytes, in archive order; up to 1 MiB of them are read at once, those that lie side by
 * side in one piece, and the next are being read while these are used.
 * @throws as readMember
 */
export async function* readMembers(
  source: Source,
  members: Iterable<Member>,
): AsyncGenerator<{ member: Member; bytes: Buffer }> {
  for await (const batch of readBatches(source, members)) yield* batch
}

/** @param buffer makes the place for a batch; where it gives the same place again, a batch must not be kept */
async function* readBatches(
  source: Source,
  members: Iterable<Member>,
  buffer: (length: number) => Buffer = Buffer.allocUnsafeSlow,
) {
  for await (const { group, parts } of readAhead(source, batches(members), buffer))
    yield group.map(({ member, part, at }) => {
      const place = parts[part]?.subarray(at, at + room(member)) ?? Buffer.alloc(0)
      return { member, bytes: check(member, place) }
    })
}

/** What is read at once: parts of the archive, which need not lie side by side, and what they are for. */
interface Reading<T> {
  parts: { at: number; length: number }[]
  length: number
  group: T
}

/** Read while what was read before is used. */
async function* readAhead<T>(
  source: Source,
  readings: Iterator<Reading<T>>,
  buffer: (length: number) => Buffer,
): AsyncGenerator<{ group: T; parts: Buffer[] }> {
  const start = () => {
    const next = readings.next()
    if (next.done) return undefined
    const place = buffer(next.value.length)
    let filled = 0
    const reading = next.value.parts.map(({ at, length }) => {
      filled += length
      return readExactly(source, at, length, place.subarray(filled - length, filled))
    })
    const parts = Promise.all(reading)
    parts.catch(() => {}) // awaited below, unless the caller stops before
    return { group: next.value.group, parts }
  }
  for (let current = start(); current; ) {
    const { group } = current
    const parts = await current.parts
    current = start()
    yield { group, parts }
  }
}

/** Two places of READ bytes in turn: one is read into while the other is used. */
function twoBuffers(): (length: number) => Buffer {
  const buffers: [Buffer, Buffer] = [Buffer.allocUnsafeSlow(READ), Buffer.allocUnsafeSlow(READ)]
  return () => {
    buffers.reverse()
    return buffers[0]
  }
}

/**
 * As many members as make 1 MiB, wherever they lie: a package that only updates is read here and there, and one small
 * read after another would take its time.
 */
function* batches(members: Iterable<Member>): Generator<Reading<{ member: Member; part: number; at: number }[]>> {
  const empty = (): Reading<{ member: Member; part: number; at: number }[]> => ({ parts: [], length: 0, group: [] })
  let batch = empty()
  let unpacked = 0
  for (const member of members) {
    if (member.size > LIMITS.memory)
      throw new Failure('internal', `cannot hold ${member.path} in memory: it has ${member.size} bytes`)
    const length = room(member)
    const full = batch.length + length > READ || unpacked + member.unpacked > UNPACKED
    if (batch.length > 0 && full) {
      yield batch
      batch = empty()
      unpacked = 0
    }
    let last = batch.parts.at(-1)
    if (!last || last.at + last.length !== member.header) {
      last = { at: member.header, length: 0 }
      batch.parts.push(last)
    }
    batch.group.push({ member, part: batch.parts.length - 1, at: last.length })
    last.length += length
    batch.length += length
    unpacked += member.unpacked
  }
  if (batch.length > 0) yield batch
}

/** Copy a member of any size to the new file `path`, readable by its owner only; nothing is left there when it does not match. */
async function copyMember(
  source: Source,
  member: Member,
  path: string,
  onBytes: OnBytes | undefined,
  buffer: (length: number) => Buffer,
): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await stream(source, member, buffer, onBytes, bytes => writeAll(file, bytes))
    await file.close()
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(path).catch(() => {})
    throw error
  }
}

/** A member that was checked: its bytes, which are overwritten afterwards, or the file with them, if it is a large one. */
export type Checked = Buffer | { file: string }

/**
 * Hand over many members, given in archive order, with the fewest reads; those that were read together side by side.
 * @param take what is done with one
 * @param scratch new file, for a large member at a time, readable by its owner only; it may be moved away, and is gone when
 *   this ends
 * @throws Failure as readMember; the system error when `scratch` cannot be written; what `take` throws
 */
export async function takeMembers(
  source: Source,
  members: Iterable<Member>,
  take: (member: Member, content: Checked) => Promise<void>,
  scratch: string,
  onBytes?: OnBytes,
): Promise<void> {
  const buffer = twoBuffers()
  for (const { large, small } of bySize(members)) {
    if (large) {
      await copyMember(source, large, scratch, onBytes, buffer)
      try {
        await take(large, { file: scratch })
      } finally {
        await rm(scratch, { force: true })
      }
    }
    for await (const batch of readBatches(source, small, buffer)) {
      await takeAll(batch, take)
      // Only now: what lives on while garbage is looked for is kept for long.
      letGo(batch.reduce((sum, { member }) => sum + member.size + member.unpacked, 0))
      onBytes?.(batch.reduce((sum, { member }) => sum + room(member), 0))
    }
  }
}

/** Nothing of it goes on when this ends, whatever fails. */
async function takeAll(
  batch: { member: Member; bytes: Buffer }[],
  take: (member: Member, content: Checked) => Promise<void>,
): Promise<void> {
  const begun: Promise<void>[] = []
  const turn = takeTurn()
  try {
    for (const { member, bytes } of batch) {
      const taking = take(member, bytes)
      taking.catch(() => {}) // awaited below
      begun.push(taking)
      if (turn.isOver()) await turn.pass()
    }
  } finally {
    await Promise.allSettled(begun)
  }
  await Promise.all(begun)
}

/** Is it read piece by piece, since it or what it becomes is too much to be held at once? */
const isLarge = (member: Member) => room(member) > READ || member.unpacked > UNPACKED

/** The same members in the same order: each that needs several reads, and before the next of those all that share some. */
function* bySize(members: Iterable<Member>): Generator<{ large?: Member; small: Iterable<Member> }> {
  const iterator = members[Symbol.iterator]()
  let next = iterator.next()
  const smallOnes = function* () {
    for (; !next.done && !isLarge(next.value); next = iterator.next()) yield next.value
  }
  while (!next.done) {
    const large = isLarge(next.value) ? next.value : undefined
    if (large) next = iterator.next()
    yield { ...(large && { large }), small: smallOnes() }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten
}

/** Read a member piece by piece, each once; it is known to be good only when this has ended. */
async function stream(
  source: Source,
  member: Member,
  buffer: (length: number) => Buffer,
  onBytes: OnBytes | undefined,
  use: (bytes: Buffer) => Promise<void> | void,
): Promise<void> {
  const hash = createHash('sha256')
  let left = member.size
  for await (const { group: at, parts } of readAhead(source, pieces(member), buffer)) {
    let [piece = Buffer.alloc(0)] = parts
    onBytes?.(piece.length)
    if (at === member.header) {
      checkHeader(member, piece)
      piece = piece.subarray(BLOCK)
    }
    const bytes = piece.subarray(0, Math.min(left, piece.length))
    if (!isZero(piece.subarray(bytes.length))) throw tampered(member, 'it is not padded with zeros')
    left -= bytes.length
    hash.update(bytes)
    await use(bytes)
  }
  if (hash.digest('hex') !== member.sha256) throw tampered(member, WRONG_HASH)
}

function* pieces(member: Member) {
  const end = member.header + room(member)
  for (let at = member.header; at < end; at += READ) {
    const length = Math.min(READ, end - at)
    yield { parts: [{ at, length }], length, group: at }
  }
}

/**
 * Check everything after the index: every member, the end marker, and that nothing follows it.
 * @param members from `readIndex`
 * @throws Failure as readMember
 */
export async function verifyWhole(source: Source, members: Iterable<Member>, onBytes?: OnBytes): Promise<void> {
  const buffer = twoBuffers()
  let end = END
  const seen = function* () {
    for (const member of members) {
      end = member.header + room(member) + END
      yield member
    }
  }
  for (const { large, small } of bySize(seen())) {
    if (large) await stream(source, large, buffer, onBytes, () => {})
    for await (const batch of readBatches(source, small, buffer))
      onBytes?.(batch.reduce((sum, { member }) => sum + room(member), 0))
  }
  if (!isZero(await readExactly(source, end - END, END))) throw atEnd('its end marker is not there')
  if ((await source.read(end, 1)).length > 0) throw atEnd('there is something after its end')
}

/**
 * Check one member, of any size.
 * @throws Failure as readMember
 */
export const verifyMember = (source: Source, member: Member): Promise<void> =>
  stream(source, member, twoBuffers(), undefined, () => {})

const WRONG_HASH = 'its bytes are not those that the signed index states'

const tampered = (member: Member, why: string) =>
  new Failure('tampered', `cannot accept ${member.path}: ${why}; copy the package again from its origin`, {
    facts: { member: member.path },
  })

const atEnd = (why: string) =>
  new Failure('tampered', `cannot accept the package: ${why}; copy it again from its origin`)
