/** A commit as it lies in an archive repo's files: what it says, what it consists of, and which commits came before it. */
import { createReadStream } from 'node:fs'
import { type FileHandle, lstat, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInflateRaw } from 'node:zlib'
import { errno, Failure } from '../base/failure.ts'
import { parse, type Value } from './gvariant.ts'
import { checked, corrupt, FORMAT, type Folder, hex, readFolder, readTree, type Tree } from './metadata.ts'

export { isMetadata } from './metadata.ts'

/** OSTree's own limits: bytes of a metadata object, and how deep folders may be. */
const METADATA_LIMIT = 128 * 1024 * 1024
const DEPTH_LIMIT = 512
/** Bytes of a file's header: file systems give its extended attributes some 64 KiB together. */
const HEADER_LIMIT = 128 * 1024
/** Files looked at side by side. */
const AT_ONCE = 32

export interface Commit {
  checksum: string
  parent?: string
  /** seconds since 1970 */
  timestamp: number
  root: { tree: string; meta: string }
  /** the metadata's strings; values of other types are left out */
  metadata: Map<string, string>
  /** the refs it was made for; empty when it does not say */
  boundTo: string[]
}

export interface StoredObject {
  /** in the repo: `objects/xx/….filez` */
  path: string
  /** bytes of the file */
  size: number
  /** bytes of the content once it is in a device's repo */
  unpacked: number
  /** a place in the tree that it is for; '' for what is not of the tree */
  place: string
  /** owner and mode, of a file or a folder */
  is?: Folder
}

const REF_BINDING = 'ostree.ref-binding'

export const objectPath = (checksum: string, kind: string) =>
  `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${kind}`

/**
 * The commit that `bytes` are (ostree-core.h, OSTREE_COMMIT_GVARIANT_FORMAT).
 * @throws Failure `corrupt-object` when they are not the commit `checksum`
 */
export function parseCommit(checksum: string, bytes: Buffer): Commit {
  const fields = checked(checksum, bytes, FORMAT.commit)
  const [metadata, parent, , , , timestamp, tree, meta] = fields
  const strings = new Map<string, string>()
  const keys = new Set<string>()
  let boundTo: string[] = []
  for (const [key, entry] of metadata as [string, { type: string; value: Value }][]) {
    if (keys.has(key)) throw corrupt(checksum, `it has ${JSON.stringify(key)} twice`) // readers differ in which of them counts
    keys.add(key)
    if (entry.type === 's') strings.set(key, entry.value as string)
    if (key !== REF_BINDING) continue
    if (entry.type !== 'as') throw corrupt(checksum, 'what it says of its refs has another type')
    boundTo = entry.value as string[]
  }
  return {
    checksum,
    parent: (parent as Buffer).length ? hex(parent) : undefined,
    timestamp: Number((timestamp as Buffer).readBigUInt64BE()),
    root: { tree: hex(tree), meta: hex(meta) },
    metadata: strings,
    boundTo,
  }
}

/** @throws Failure `no-object`, `corrupt-object` */
export async function readCommit(repo: string, checksum: string): Promise<Commit> {
  return parseCommit(checksum, await readMetadata(repo, checksum, 'commit'))
}

/** A commit and its ancestors, newest first, as far back as the repo holds them. */
export async function* history(repo: string, checksum: string): AsyncGenerator<Commit> {
  for (let next: string | undefined = checksum; next !== undefined; ) {
    let commit: Commit
    try {
      commit = await readCommit(repo, next)
    } catch (error) {
      if (error instanceof Failure && error.code === 'no-object' && next !== checksum) return
      throw error
    }
    yield commit
    next = commit.parent
  }
}

/**
 * Every object that a commit needs, itself and its detached metadata included, by path. The checksum of each metadata
 * object is checked on the way.
 * @throws Failure `no-object` when the repo does not hold all of it, `corrupt-object`
 */
export async function objectsOf(repo: string, commit: Commit): Promise<StoredObject[]> {
  const places = new Map([[objectPath(commit.checksum, 'commit'), '']])
  const detached = objectPath(commit.checksum, 'commitmeta')
  if ((await sizeOf(join(repo, detached))) !== undefined) places.set(detached, '')
  const folders = new Map<string, Folder>()
  await walk(repo, commit.root, '/', { places, folders }, 0)
  const sorted = [...places].sort(([a], [b]) => (a < b ? -1 : 1))
  const objects: StoredObject[] = []
  for (let at = 0; at < sorted.length; at += AT_ONCE)
    objects.push(
      ...(await Promise.all(
        sorted.slice(at, at + AT_ONCE).map(async ([path, place]) => {
          const is = folders.get(path)
          return { ...(await measure(repo, path)), place, ...(is && { is }) }
        }),
      )),
    )
  return objects
}

interface Walked {
  /** by path in the repo */
  places: Map<string, string>
  folders: Map<string, Folder>
}

async function walk(repo: string, root: Commit['root'], at: string, found: Walked, depth: number): Promise<void> {
  if (depth > DEPTH_LIMIT) throw new Failure('corrupt-object', `cannot read ${repo}: its folders are nested too deep`)
  const { places, folders } = found
  const metaPath = objectPath(root.meta, 'dirmeta')
  if (!places.has(metaPath)) {
    places.set(metaPath, at)
    folders.set(metaPath, await folderOf(repo, root.meta))
  }
  const treePath = objectPath(root.tree, 'dirtree')
  if (places.has(treePath)) return
  const tree = await treeOf(repo, root.tree)
  places.set(treePath, at)
  for (const [name, content] of tree.files) {
    const path = objectPath(content, 'filez')
    if (!places.has(path)) places.set(path, join(at, name))
  }
  for (const [name, below] of tree.folders) await walk(repo, below, join(at, name), found, depth + 1)
}

/** What a folder of a commit holds. @throws Failure `no-object`, `corrupt-object` */
export const treeOf = async (repo: string, checksum: string): Promise<Tree> =>
  readTree(checksum, await readMetadata(repo, checksum, 'dirtree'))

/** Owner and mode of a folder. @throws Failure `no-object`, `corrupt-object` */
export const folderOf = async (repo: string, checksum: string): Promise<Folder> =>
  readFolder(checksum, await readMetadata(repo, checksum, 'dirmeta'))

/** A file of a commit: what it is, where it leads if it is a link, and its content. */
export interface StoredFile extends Folder {
  target: string
  /** bytes of the whole */
  size: number
  /** its content up to so many bytes */
  read(most: number): Promise<Buffer>
}

/** @throws Failure `no-object`, `corrupt-object`, `bad-variant` */
export async function fileOf(repo: string, checksum: string): Promise<StoredFile> {
  const path = objectPath(checksum, 'filez')
  const file = await openObject(repo, path)
  try {
    const at = async (place: number, length: number) => (await file.read(Buffer.alloc(length), 0, length, place)).buffer
    const length = (await at(0, 4)).readUInt32BE()
    if (length > HEADER_LIMIT) throw corrupt(checksum, 'its header is too long')
    const fields = parse('(tuuuusa(ayay))', await at(8, length)) as [Buffer, Buffer, Buffer, Buffer, Buffer, string]
    const [size, uid, gid, mode, , target] = fields
    return {
      ...{ uid: uid.readUInt32BE(), gid: gid.readUInt32BE(), mode: mode.readUInt32BE(), target },
      size: Number(size.readBigUInt64BE()),
      read: most => inflateStart(join(repo, path), 8 + length, most),
    }
  } finally {
    await file.close()
  }
}

async function inflateStart(path: string, at: number, most: number): Promise<Buffer> {
  const source = createReadStream(path, { start: at })
  const content = source.pipe(createInflateRaw())
  source.on('error', error => content.destroy(error))
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of content as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      size += chunk.length
      if (size >= most) break
    }
  } finally {
    source.destroy()
  }
  return Buffer.concat(chunks).subarray(0, most)
}

/** A filez starts with its header's length (4 bytes), 4 bytes of padding, and the header: size, uid, gid, mode and more. */
const HEAD = 28

async function measure(repo: string, path: string): Promise<Omit<StoredObject, 'place'>> {
  const file = await openObject(repo, path)
  try {
    const { size } = await file.stat()
    if (!path.endsWith('.filez')) return { path, size, unpacked: size }
    const { bytesRead, buffer } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0)
    if (bytesRead < HEAD) throw new Failure('corrupt-object', `cannot use ${join(repo, path)}: it is cut short`)
    const is = { uid: buffer.readUInt32BE(16), gid: buffer.readUInt32BE(20), mode: buffer.readUInt32BE(24) }
    return { path, size, unpacked: Number(buffer.readBigUInt64BE(8)), is }
  } finally {
    await file.close()
  }
}

async function readMetadata(repo: string, checksum: string, kind: string): Promise<Buffer> {
  const path = objectPath(checksum, kind)
  if (((await sizeOf(join(repo, path))) ?? 0) > METADATA_LIMIT)
    throw new Failure('corrupt-object', `cannot use ${join(repo, path)}: it is larger than OSTree allows`)
  try {
    return await readFile(join(repo, path))
  } catch (error) {
    throw notThere(error, repo, path)
  }
}

async function openObject(repo: string, path: string): Promise<FileHandle> {
  try {
    return await open(join(repo, path))
  } catch (error) {
    throw notThere(error, repo, path)
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).size
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

function notThere(error: unknown, repo: string, path: string): unknown {
  if (errno(error) !== 'ENOENT') return error
  const why = 'it was pruned, or only partly pulled; pull the whole commit again'
  return new Failure('no-object', `cannot find ${path} in ${repo}: ${why}`, { cause: error })
}
