/** A commit as it lies in an archive repo's files: what it says, what it consists of, and which commits came before it. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { parse, type Value } from './gvariant.ts'

/** ostree-core.h, OSTREE_*_GVARIANT_FORMAT */
const FORMAT = { commit: '(a{sv}aya(say)sstayay)', dirtree: '(a(say)a(sayay))', dirmeta: '(uuua(ayay))' } as const

/** OSTree's own limits: bytes of a metadata object, and how deep folders may be. */
const METADATA_LIMIT = 128 * 1024 * 1024
const DEPTH_LIMIT = 512
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
}

const REF_BINDING = 'ostree.ref-binding'

const objectPath = (checksum: string, kind: string) => `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${kind}`

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
  const paths = new Set([objectPath(commit.checksum, 'commit')])
  const detached = objectPath(commit.checksum, 'commitmeta')
  if ((await sizeOf(join(repo, detached))) !== undefined) paths.add(detached)
  await walk(repo, commit.root.tree, commit.root.meta, paths, 0)
  const sorted = [...paths].sort()
  const objects: StoredObject[] = []
  for (let at = 0; at < sorted.length; at += AT_ONCE)
    objects.push(...(await Promise.all(sorted.slice(at, at + AT_ONCE).map(path => measure(repo, path)))))
  return objects
}

async function walk(repo: string, tree: string, meta: string, paths: Set<string>, depth: number): Promise<void> {
  if (depth > DEPTH_LIMIT) throw new Failure('corrupt-object', `cannot read ${repo}: its folders are nested too deep`)
  const metaPath = objectPath(meta, 'dirmeta')
  if (!paths.has(metaPath)) {
    checked(meta, await readMetadata(repo, meta, 'dirmeta'), FORMAT.dirmeta)
    paths.add(metaPath)
  }
  const treePath = objectPath(tree, 'dirtree')
  if (paths.has(treePath)) return
  const [files, folders] = checked(tree, await readMetadata(repo, tree, 'dirtree'), FORMAT.dirtree)
  paths.add(treePath)
  for (const [, content] of files as [string, Buffer][]) paths.add(objectPath(hex(content), 'filez'))
  for (const [, subtree, submeta] of folders as [string, Buffer, Buffer][])
    await walk(repo, hex(subtree), hex(submeta), paths, depth + 1)
}

/** A filez starts with its header's length (4 bytes), 4 bytes of padding, and the header, whose first field is the size. */
async function measure(repo: string, path: string): Promise<StoredObject> {
  const file = await openObject(repo, path)
  try {
    const { size } = await file.stat()
    if (!path.endsWith('.filez')) return { path, size, unpacked: size }
    const { bytesRead, buffer } = await file.read(Buffer.alloc(16), 0, 16, 0)
    if (bytesRead < 16) throw new Failure('corrupt-object', `cannot use ${join(repo, path)}: it is cut short`)
    return { path, size, unpacked: Number(buffer.readBigUInt64BE(8)) }
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

/**
 * Whether the bytes of a metadata object have the form of their kind, which ostree takes for granted in what it links.
 * @param path as in a package
 */
export function isMetadata(path: string, bytes: Buffer): boolean {
  const kind = path.slice(path.lastIndexOf('.') + 1)
  if (kind !== 'commit' && kind !== 'dirtree' && kind !== 'dirmeta') return true
  try {
    const value = parse(FORMAT[kind], bytes)
    if (kind !== 'dirmeta') return true
    const [, , mode] = value as [Buffer, Buffer, Buffer]
    return (mode.readUInt32BE() & constants.S_IFMT) === constants.S_IFDIR
  } catch {
    return false
  }
}

const corrupt = (checksum: string, why: string) =>
  new Failure('corrupt-object', `cannot use the object ${checksum}: ${why}`)

/** A metadata object's name is the SHA-256 of its bytes. */
function checked(checksum: string, bytes: Buffer, type: string): Value[] {
  if (createHash('sha256').update(bytes).digest('hex') !== checksum)
    throw corrupt(checksum, 'its content does not match its name')
  return parse(type, bytes) as Value[]
}

function hex(checksum: Value | undefined): string {
  if (!Buffer.isBuffer(checksum) || checksum.length !== 32)
    throw new Failure('corrupt-object', 'cannot read an object: a checksum in it does not have 32 bytes')
  return checksum.toString('hex')
}
