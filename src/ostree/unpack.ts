/**
 * Content objects as a device's repo keeps them, made from the compressed form that an archive keeps: ostree can then take
 * them in by a second name, instead of unpacking, hashing and writing each once more. Formats: ostree-repo-file.c and
 * ostree-core.c (`ostree_content_file_parse`, `_ostree_zlib_file_header_new`, `ostree_raw_file_to_content_stream`).
 */
import { createHash, type Hash } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  openSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, lstat, open, readlink, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { createInflateRaw, inflateRaw, inflateRawSync } from 'node:zlib'
import { errno, Failure } from '../base/failure.ts'
import { letGo } from '../base/heap.ts'
import { type Attributes, getAttributes, setAttributes } from './attributes.ts'
import { format, parse, type Value } from './gvariant.ts'
import { isMode } from './tree.ts'

/** Modes of repos that keep content as plain files, of which devices have one: as root, and without root. */
export type PlainMode = 'bare' | 'bare-user-only'

/** Bytes of a link's target at most: PATH_MAX, without its NUL. */
const LINK_LIMIT = 4095
/** Bytes of a header at most: file systems give a file's extended attributes some 64 KiB together. */
const HEADER_LIMIT = 128 * 1024
/** Bytes of compressed content above which another thread unpacks it. */
const OWN_THREAD = 32 * 1024
const CHUNK = 256 * 1024
/** Codes of errors that are the object's own fault: of zlib, of our parser, of Node for a link to a name with a NUL in it. */
const OF_OBJECT = /^(Z_|ERR_BUFFER_TOO_LARGE$|ERR_INVALID_ARG_VALUE$|bad-variant$)/
const unpackBeside = promisify(inflateRaw)

/** What an object says of its file. */
interface Header {
  uid: number
  gid: number
  /** with the type of file */
  mode: number
  /** of a symbolic link, else empty */
  target: string
  attributes: Attributes
}

/** One content object of an archive repo, and where its file goes. */
export interface Unpacking {
  checksum: string
  /** bytes of the content */
  size: number
  /** of the file, which is new */
  path: string
  /** of the repo that it is for */
  mode: PlainMode
}

/**
 * Make the file of one content object; it is not flushed, and nothing is left on failure.
 * @param packed the archive's `.filez`: its bytes, or the file that has them
 * @param onWritten called with how many more bytes of the content were written, and waited for
 * @throws Failure `ref-mismatch` when it is another object or none; the system error when the file cannot be written
 */
export async function unpackObject(
  packed: Buffer | { file: string },
  to: Unpacking,
  onWritten: (count: number) => Promise<void> | void = () => {},
): Promise<void> {
  try {
    if (!Buffer.isBuffer(packed)) return await unpackFile(packed.file, to, onWritten)
    await unpackBytes(packed, to)
    await onWritten(to.size)
  } catch (error) {
    if (errno(error) === 'EEXIST') throw error // what was there before is not ours to remove
    await rm(to.path, { force: true }).catch(() => {}) // what went wrong first is what is said
    throw OF_OBJECT.test(String((error as { code?: unknown }).code)) ? wrong(to, error) : error
  }
}

const wrong = ({ checksum }: Unpacking, cause?: unknown) =>
  new Failure(
    'ref-mismatch',
    `cannot accept the object ${checksum}: it is not what its name says; make the package again`,
    { cause },
  )

async function unpackBytes(bytes: Buffer, to: Unpacking): Promise<void> {
  const length = headerLength(bytes)
  const header = readHeader(bytes.subarray(8, 8 + length), length, to)
  const packed = bytes.subarray(8 + length)
  const content = isLink(header) ? packed : await inflate(packed, to.size)
  if (content.length !== to.size || beginHash(header).update(content).digest('hex') !== to.checksum) throw wrong(to)
  checkHoldable(header, to)
  if (isLink(header)) {
    symlinkSync(header.target, to.path)
    if (to.mode === 'bare') lchownSync(to.path, header.uid, header.gid)
  } else {
    const file = openSync(to.path, 'wx', 0o600)
    try {
      writeFileSync(file, content)
      furnish(file, header, to.mode)
    } finally {
      closeSync(file)
    }
  }
  // Without one nothing is waited for: thousands of small objects come one after the other.
  if (header.attributes.length > 0) await setAttributes(to.path, header.attributes)
}

/** @throws an error of zlib, also for more than `size` bytes */
async function inflate(packed: Buffer, size: number): Promise<Buffer> {
  const how = { maxOutputLength: size + 1, chunkSize: Math.max(64, Math.min(size + 1, CHUNK)) }
  return packed.length < OWN_THREAD ? inflateRawSync(packed, how) : unpackBeside(packed, how)
}

/** The same piece by piece, for what is not to be held in memory. */
async function unpackFile(
  file: string,
  to: Unpacking,
  onWritten: (count: number) => Promise<void> | void,
): Promise<void> {
  const source = await open(file)
  let target: FileHandle | undefined
  try {
    const length = headerLength(await readAt(source, 0, 8))
    const header = readHeader(await readAt(source, 8, length), length, to)
    if (isLink(header)) throw wrong(to)
    const hash = beginHash(header)
    const sink = await open(to.path, 'wx', 0o600)
    target = sink
    let size = 0
    const compressed = source.createReadStream({ start: 8 + length, highWaterMark: CHUNK, autoClose: false })
    const content = compressed.pipe(createInflateRaw({ chunkSize: CHUNK }))
    compressed.on('error', error => content.destroy(error))
    try {
      for await (const chunk of content as AsyncIterable<Buffer>) {
        size += chunk.length
        if (size > to.size) throw wrong(to)
        hash.update(chunk)
        for (let done = 0; done < chunk.length; ) done += (await sink.write(chunk, done)).bytesWritten
        letGo(2 * chunk.length) // its compressed form as well
        await onWritten(chunk.length)
      }
    } finally {
      compressed.destroy()
    }
    if (size !== to.size || hash.digest('hex') !== to.checksum) throw wrong(to)
    checkHoldable(header, to)
    furnish(sink.fd, header, to.mode)
    if (header.attributes.length > 0) await setAttributes(to.path, header.attributes)
  } finally {
    await source.close()
    await target?.close()
  }
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}

/** The object begins with its header's length, big-endian, and four bytes that align what follows. */
function headerLength(bytes: Buffer): number {
  const length = bytes.length < 8 ? Number.POSITIVE_INFINITY : bytes.readUInt32BE(0)
  if (length > HEADER_LIMIT) throw new Failure('bad-variant', 'cannot read an object: its header is too long')
  return length
}

/** @param bytes as many as the object says, or fewer where it has not as many */
function readHeader(bytes: Buffer, length: number, to: Unpacking): Header {
  if (bytes.length !== length) throw wrong(to)
  const fields = parse('(tuuuusa(ayay))', bytes) as [Buffer, Buffer, Buffer, Buffer, Buffer, string, Attributes]
  const [size, uid, gid, mode, , target, attributes] = fields
  if (Number(size.readBigUInt64BE()) !== to.size) throw wrong(to) // the room for it was judged by the other
  const header = {
    ...{ uid: uid.readUInt32BE(), gid: gid.readUInt32BE() },
    mode: mode.readUInt32BE(),
    target,
    attributes,
  }
  // The kernel reads a name up to its NUL, wherever that is.
  for (const [name] of attributes) if (name.length < 2 || name.indexOf(0) !== name.length - 1) throw wrong(to)
  const type = header.mode & constants.S_IFMT
  if ((type !== constants.S_IFREG && type !== constants.S_IFLNK) || !isMode(header.mode)) throw wrong(to)
  // An empty link, or one that is too long, is none that a file system takes.
  if (isLink(header) && (target === '' || Buffer.byteLength(target) > LINK_LIMIT)) throw wrong(to)
  return header
}

/** Not as another owner's, and without what needs one: ostree refuses that in such a repo. It is said of what was found genuine only. */
function checkHoldable(header: Header, { checksum, mode }: Unpacking): void {
  const raised = !isLink(header) && header.mode & 0o7002
  if (mode !== 'bare-user-only' || !(header.uid || header.gid || header.attributes.length || raised)) return
  const owner = `${header.uid}:${header.gid}`
  throw new Failure(
    'unholdable',
    `cannot accept the object ${checksum}: it has an owner (${owner}), modes or attributes that this device's store does not keep; ask its maker for a release that was committed with owner 0:0`,
    { facts: { owner } },
  )
}

const isLink = ({ mode }: Header) => (mode & constants.S_IFMT) === constants.S_IFLNK

/** A content object's checksum is that of a header without its size, and of the content after it. */
function beginHash({ uid, gid, mode, target, attributes }: Header): Hash {
  const header = format('(uuuusa(ayay))', [
    number(uid),
    number(gid),
    number(mode),
    number(0),
    target,
    attributes as Value[],
  ])
  return createHash('sha256').update(number(header.length)).update(number(0)).update(header)
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Owner, mode, and the time that ostree gives every file: with another, what caches by time would be stale. */
function furnish(file: number, { uid, gid, mode }: Header, of: PlainMode): void {
  if (of === 'bare') fchownSync(file, uid, gid)
  fchmodSync(file, mode & 0o7777)
  futimesSync(file, 0, 0)
}

/**
 * Whether the file is this object, whole and furnished: its time is set last.
 * @param buffer used for reading
 */
export async function isObject(path: string, checksum: string, mode: PlainMode, buffer: Buffer): Promise<boolean> {
  const found = await lstat(path)
  return (found.isSymbolicLink() || found.mtimeMs === 0) && hasContent(path, checksum, mode, buffer)
}

/**
 * Whether the file has owner, mode, attributes and content of this object.
 * @param buffer used for reading
 */
export async function hasContent(path: string, checksum: string, mode: PlainMode, buffer: Buffer): Promise<boolean> {
  const found = await lstat(path)
  const plain: Header = { uid: 0, gid: 0, mode: found.mode, target: '', attributes: [] }
  const header: Header =
    mode === 'bare' ? { ...plain, uid: found.uid, gid: found.gid, attributes: await getAttributes(path) } : plain
  if (isLink(header)) return beginHash({ ...header, target: await readlink(path) }).digest('hex') === checksum
  return found.isFile() && (await hashFile(path, buffer, beginHash(header))) === checksum
}

/** SHA-256 of a file, after what was hashed already. */
export async function hashFile(path: string, buffer: Buffer, hash: Hash = createHash('sha256')): Promise<string> {
  await addFile(path, hash, buffer)
  return hash.digest('hex')
}

/** @param buffer used for reading */
export async function addFile(path: string, hash: Hash, buffer: Buffer): Promise<void> {
  const file = await open(path)
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer)
      if (bytesRead === 0) return
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}
