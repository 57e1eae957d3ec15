/** Packages are made here, on the build host: the same inputs give the same bytes, and the target appears whole or not at all. */
import { createHash, hash as digest, randomBytes } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { type FileHandle, open, readFile, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'
import { Failure } from '../base/failure.ts'
import { syncFolder } from '../base/files.ts'
import { unarmorSignature } from './armor.ts'
import { padded, ustarHeader } from './header.ts'
import { formatIndex, parseIndex } from './index.ts'
import { LIMITS } from './limits.ts'
import { encodeManifest, type Manifest, parseManifest } from './manifest.ts'
import { openFile, readHead, readIndex } from './read.ts'
import { readExactly } from './source.ts'

/** A member to be packed: from a file, or from memory. */
export type NewMember = { path: string; unpacked: number } & ({ file: string } | { bytes: Buffer })

export interface NewSignature {
  /** of the primary key, upper-case hex */
  fingerprint: string
  armor: string
}

export interface NewPackage {
  manifest: Omit<Manifest, 'format' | 'index' | 'payload'>
  /** in any order */
  members: readonly NewMember[]
  /** called once with the manifest's bytes */
  sign?: (manifest: Buffer) => Promise<NewSignature[]>
  /** each member is read twice: for its hash, and to be packed */
  onBytes?: (done: number, total: number) => void
}

/** Hashing waits for the disk as much as for the processor. */
const HASHERS = 4
const CHUNK = 1024 * 1024

type Hashed = NewMember & { size: number; sha256: string }

/**
 * Write a package to `out`, replacing what is there.
 * @returns the package's id (SHA-256 of the manifest) and the manifest
 * @throws Failure `bad-manifest`, `tampered` (the members are no package), `bad-member`, `changed` (a file changed meanwhile),
 *   `bad-signature`; system errors of the disk
 */
export async function writePackage(out: string, input: NewPackage): Promise<{ id: string; manifest: Manifest }> {
  const { sign, onBytes } = input
  const sized = await Promise.all(
    [...input.members].sort((a, b) => (a.path < b.path ? -1 : 1)).map(async m => ({ ...m, size: await sizeOf(m) })),
  )
  const total = 2 * sized.reduce((sum, member) => sum + member.size, 0)
  let done = 0
  const count = (more: number) => {
    done += more
    onBytes?.(done, total)
  }
  const members = await hashAll(sized, count)
  const index = formatIndex(members)
  const manifest: Manifest = {
    ...input.manifest,
    format: 1,
    index: { sha256: digest('sha256', index), size: index.length },
    payload: {
      members: members.length,
      size: members.reduce((sum, m) => sum + m.size, 0),
      unpacked: members.reduce((sum, m) => sum + m.unpacked, 0),
    },
  }
  const bytes = encodeManifest(manifest)
  await parseIndex(index, parseManifest(bytes), 0) // what a reader would refuse is not written
  const signatures = inOrder((await sign?.(bytes)) ?? [])
  const archive = pack({ highWaterMark: CHUNK })
  const fill = async () => {
    await entry(archive, 'manifest.json', bytes)
    for (const { fingerprint, armor } of signatures) await entry(archive, nameOf(fingerprint), Buffer.from(armor))
    await entry(archive, 'index', index)
    for (const member of members) await memberEntry(archive, member, count)
    archive.finalize()
  }
  await replaceBy(out, () => {
    fill().catch(error => archive.destroy(error)) // who reads the archive gets the error
    return archive as unknown as AsyncIterable<Buffer> // its types do not say so, but it is one
  })
  return { id: digest('sha256', bytes), manifest }
}

const nameOf = (fingerprint: string) => `signatures/${fingerprint}.asc`

const sizeOf = async (member: NewMember) => ('bytes' in member ? member.bytes.length : (await stat(member.file)).size)

async function hashAll(members: (NewMember & { size: number })[], count: (more: number) => void): Promise<Hashed[]> {
  const hashed: Hashed[] = []
  const waiting = members.entries()
  const work = async () => {
    for (const [at, member] of waiting) hashed[at] = { ...member, sha256: await hashOf(member, count) }
  }
  await Promise.all(Array.from({ length: HASHERS }, work))
  return hashed
}

async function hashOf(member: NewMember & { size: number }, count: (more: number) => void): Promise<string> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of chunksOf(member)) {
    hash.update(chunk)
    size += chunk.length
    count(chunk.length)
  }
  if (size !== member.size) throw changed(member)
  return hash.digest('hex')
}

/** A release has thousands of small files; one read each takes a fraction of what a stream takes. */
async function* chunksOf(member: NewMember & { size: number }): AsyncGenerator<Buffer> {
  if ('bytes' in member) yield member.bytes
  else if (member.size <= CHUNK) yield await readFile(member.file)
  else yield* createReadStream(member.file, { highWaterMark: CHUNK })
}

/** @throws Failure `bad-signature` for what a reader would refuse to look at */
function inOrder(signatures: readonly NewSignature[]): NewSignature[] {
  const bad = (why: string) => new Failure('bad-signature', `cannot add the signature: ${why}`)
  const sorted = [...signatures].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
  if (sorted.length > LIMITS.signatures) throw bad(`a package has at most ${LIMITS.signatures}`)
  for (const [at, { fingerprint, armor }] of sorted.entries()) {
    if (!/^(?:[0-9A-F]{40}|[0-9A-F]{64})$/.test(fingerprint)) throw bad(`${fingerprint} is not a fingerprint`)
    if (sorted[at - 1]?.fingerprint === fingerprint) throw bad(`the key ${fingerprint} has signed it already`)
    if (armor.length > LIMITS.signature || !unarmorSignature(Buffer.from(armor)))
      throw bad(`that of ${fingerprint} is not armored as a package wants it`)
  }
  return sorted
}

const headers = (name: string, size: number) => ({
  name,
  size,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: new Date(0),
})

function entry(archive: Pack, name: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry(headers(name, bytes.length), bytes, error => (error ? reject(error) : resolve()))
  })
}

/** The member's bytes, hashed again on their way: what is packed is what the signed index says. */
async function memberEntry(archive: Pack, member: Hashed, count: (more: number) => void): Promise<void> {
  if ('file' in member && member.size > CHUNK)
    return pipeline(unchanged(member, member.file, count), archive.entry(headers(member.path, member.size)))
  // It was read a moment ago: at once it takes a fraction of what four calls by way of other threads take.
  const bytes = 'bytes' in member ? member.bytes : readFileSync(member.file)
  if (digest('sha256', bytes) !== member.sha256) throw changed(member)
  count(bytes.length)
  return entry(archive, member.path, bytes)
}

async function* unchanged(member: Hashed, file: string, count: (more: number) => void): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let left = member.size
  for await (const chunk of createReadStream(file, { highWaterMark: CHUNK })) {
    hash.update(chunk)
    left -= chunk.length
    if (left < 0) throw changed(member)
    count(chunk.length)
    yield chunk
  }
  if (left !== 0 || hash.digest('hex') !== member.sha256) throw changed(member)
}

const changed = (member: NewMember) =>
  new Failure('changed', `cannot pack ${'file' in member ? member.file : member.path}: it changed meanwhile; try again`)

/**
 * Add one signature to a finished package. The file is written anew beside itself, then put in place.
 * @throws Failure `bad-signature` for a second one of the same key, a 17th, or one that is not canonical; those of the reader
 */
export async function addSignature(file: string, signature: NewSignature): Promise<void> {
  const source = await openFile(file)
  try {
    const head = await readHead(source)
    await readIndex(source, head, parseManifest(head.manifest)) // so that half a file is not signed
    const there = head.signatures.map(({ name, armor }) => ({
      fingerprint: basename(name, '.asc'),
      armor: armor.toString('latin1'),
    }))
    const signatures = inOrder([...there, signature])
    await replaceBy(file, async function* () {
      yield* block('manifest.json', head.manifest)
      for (const { fingerprint, armor } of signatures) yield* block(nameOf(fingerprint), Buffer.from(armor))
      for (let at = head.indexAt; at < source.size; at += CHUNK)
        yield await readExactly(source, at, Math.min(CHUNK, source.size - at))
    })
  } finally {
    await source.close()
  }
}

function* block(path: string, bytes: Buffer): Generator<Buffer> {
  yield ustarHeader(path, bytes.length)
  yield bytes
  yield Buffer.alloc(padded(bytes.length) - bytes.length)
}

/** Fill a new file beside `out`, flush it, then put it in its place; on failure nothing of it is left. */
async function replaceBy(out: string, chunks: () => AsyncIterable<Buffer>): Promise<void> {
  const temporary = join(dirname(out), `.${randomBytes(8).toString('hex')}.tmp`)
  const file = await open(temporary, 'wx', 0o644)
  try {
    await writeAll(file, chunks())
    await file.sync()
    await file.close()
    await rename(temporary, out)
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(temporary).catch(() => {})
    throw error
  }
  await syncFolder(dirname(out))
}

/** Many small pieces, headers and paddings among them, go out in few writes. */
async function writeAll(file: FileHandle, chunks: AsyncIterable<Buffer>): Promise<void> {
  let waiting: Buffer[] = []
  let size = 0
  const flush = async () => {
    const bytes = Buffer.concat(waiting)
    waiting = []
    size = 0
    for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten
  }
  for await (const chunk of chunks) {
    waiting.push(chunk)
    size += chunk.length
    if (size >= CHUNK) await flush()
  }
  await flush()
}
