/** Members: each checked against the signed index (header, hash, padding) before anything else sees it. */
import { createHash } from 'node:crypto'
import { type FileHandle, open, unlink, writeFile } from 'node:fs/promises'
import { Failure } from '../base/failure.ts'
import type { Source } from '../base/source.ts'
import { BLOCK, END, isZero, padded, ustarHeader } from './header.ts'
import { archiveSize, type Member } from './index.ts'
import { LIMITS } from './limits.ts'
import { readExactly } from './source.ts'

/** Bytes a read: what a stick delivers well, and what bounds the memory. */
const READ = 1024 * 1024

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
  if (createHash('sha256').update(bytes).digest('hex') !== member.sha256) throw tampered(member, WRONG_HASH)
  return bytes
}

function checkHeader(member: Member, block: Buffer): void {
  if (!ustarHeader(member.path, member.size).equals(block.subarray(0, BLOCK)))
    throw tampered(member, 'its tar header is not the one that its index line stands for')
}

/**
 * Members of at most LIMITS.memory bytes, in archive order; those that lie side by side share reads of up to 1 MiB, and
 * the next read is under way while these are used.
 * @throws as readMember
 */
export async function* readMembers(
  source: Source,
  members: readonly Member[],
): AsyncGenerator<{ member: Member; bytes: Buffer }> {
  for await (const batch of readBatches(source, members)) yield* batch
}

async function* readBatches(source: Source, members: readonly Member[]) {
  const groups = neighbours(members)
  let next = groups.next()
  let reading = next.done ? undefined : readGroup(source, next.value)
  while (!next.done && reading) {
    const group = next.value
    const place = await reading
    next = groups.next()
    reading = next.done ? undefined : readGroup(source, next.value)
    reading?.catch(() => {}) // awaited above, unless the caller stops before
    const start = group[0]?.header ?? 0
    yield group.map(member => {
      const at = member.header - start
      return { member, bytes: check(member, place.subarray(at, at + room(member))) }
    })
  }
}

async function readGroup(source: Source, group: readonly Member[]): Promise<Buffer> {
  const start = group[0]?.header ?? 0
  const last = group.at(-1)
  return readExactly(source, start, last ? last.header + room(last) - start : 0)
}

/** Runs of members that follow each other without a gap, as long as they fit into one read. */
function* neighbours(members: readonly Member[]): Generator<Member[]> {
  let run: Member[] = []
  let start = 0
  let end = 0
  for (const member of members) {
    if (member.size > LIMITS.memory)
      throw new Failure('internal', `cannot hold ${member.path} in memory: it has ${member.size} bytes`)
    if (run.length > 0 && (member.header !== end || member.header + room(member) - start > READ)) {
      yield run
      run = []
    }
    if (run.length === 0) start = member.header
    run.push(member)
    end = member.header + room(member)
  }
  if (run.length > 0) yield run
}

/**
 * Copy one member of any size to the new file `path`, readable by its owner only; nothing is left there when it does not
 * match. Not flushed: the caller syncs the file system once.
 * @throws Failure as readMember; the system error when `path` cannot be written
 */
export async function copyMember(source: Source, member: Member, path: string, onBytes?: OnBytes): Promise<void> {
  if (member.size <= LIMITS.memory) {
    await writeNew(path, await readMember(source, member))
    onBytes?.(room(member))
    return
  }
  const file = await open(path, 'wx', 0o600)
  try {
    await stream(source, member, onBytes, bytes => writeAll(file, bytes))
    await file.close()
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(path).catch(() => {})
    throw error
  }
}

/**
 * Copy many members, given in archive order, to new files; as copyMember, with the fewest reads.
 * @param pathOf where a member goes; its folder is there
 */
export async function copyMembers(
  source: Source,
  members: readonly Member[],
  pathOf: (member: Member) => string,
  onBytes?: OnBytes,
): Promise<void> {
  for (const { large, run } of bySize(members)) {
    if (large) for (const member of run) await copyMember(source, member, pathOf(member), onBytes)
    else
      for await (const batch of readBatches(source, run)) {
        await settle(batch.map(({ member, bytes }) => writeNew(pathOf(member), bytes)))
        onBytes?.(batch.reduce((sum, { member }) => sum + room(member), 0))
      }
  }
}

/** The same members in the same order, in runs of those that may be held in memory and those that may not. */
function* bySize(members: readonly Member[]): Generator<{ large: boolean; run: Member[] }> {
  let current: { large: boolean; run: Member[] } | undefined
  for (const member of members) {
    const large = member.size > LIMITS.memory
    if (current?.large !== large) {
      if (current) yield current
      current = { large, run: [] }
    }
    current.run.push(member)
  }
  if (current) yield current
}

/** Wait for all of them, also when one fails: none may still be writing when the caller cleans up. */
async function settle(writes: Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(writes)) if (result.status === 'rejected') throw result.reason
}

async function writeNew(path: string, bytes: Buffer): Promise<void> {
  try {
    await writeFile(path, bytes, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    // what was there before is not ours to remove; half of ours is
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await unlink(path).catch(() => {})
    throw error
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten
}

/** Read a member piece by piece, each once; it is known to be good only when this has ended. */
async function stream(
  source: Source,
  member: Member,
  onBytes: OnBytes | undefined,
  use: (bytes: Buffer) => Promise<void> | void,
): Promise<void> {
  const hash = createHash('sha256')
  const end = member.header + room(member)
  let left = member.size
  for (let at = member.header; at < end; at += READ) {
    let piece = await readExactly(source, at, Math.min(READ, end - at))
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

/**
 * Check everything after the index: every member, the end marker, and that nothing follows it.
 * @param members from `readIndex`
 * @throws Failure as readMember
 */
export async function verifyWhole(source: Source, members: readonly Member[], onBytes?: OnBytes): Promise<void> {
  for (const { large, run } of bySize(members)) {
    if (large) for (const member of run) await stream(source, member, onBytes, () => {})
    else
      for await (const batch of readBatches(source, run))
        onBytes?.(batch.reduce((sum, { member }) => sum + room(member), 0))
  }
  const size = archiveSize(members)
  if (!isZero(await readExactly(source, size - END, END))) throw atEnd('its end marker is not there')
  if ((await source.read(size, 1)).length > 0) throw atEnd('there is something after its end')
}

const WRONG_HASH = 'its bytes are not those that the signed index states'

const tampered = (member: Member, why: string) =>
  new Failure('tampered', `cannot accept ${member.path}: ${why}; copy the package again from its origin`)

const atEnd = (why: string) =>
  new Failure('tampered', `cannot accept the package: ${why}; copy it again from its origin`)
