/**
 * The head of a package: manifest, signatures and index. The manifest stays bytes here: it is parsed by who has checked
 * its signatures, and only then can the index be asked for.
 */
import { createHash } from 'node:crypto'
import { Failure } from '../base/failure.ts'
import type { Source } from '../base/source.ts'
import { BLOCK, isZero, padded, readHeader } from './header.ts'
import { type Index, parseIndex } from './index.ts'
import { LIMITS } from './limits.ts'
import type { Manifest } from './manifest.ts'
import { readExactly, truncated } from './source.ts'

export { openFile, type Source } from '../base/source.ts'
export type { Member } from './index.ts'
export { type Checked, readMember, readMembers, takeMembers, verifyMember, verifyWhole } from './members.ts'

export interface Head {
  /** its exact bytes, not yet trusted */
  manifest: Buffer
  /** SHA-256 of the manifest's bytes */
  id: string
  /** in archive order */
  signatures: { name: string; armor: Buffer }[]
  /** offset of the index's tar header */
  indexAt: number
  /** what was read from there on already: at least that header */
  ahead: Buffer
}

/** How much is read at a time; a head without its index is rarely longer. */
const CHUNK = 32 * 1024
const SIGNATURE = /^signatures\/(?:[0-9A-F]{40}|[0-9A-F]{64})\.asc$/

/**
 * Read manifest and signatures. Nothing of it is trusted yet, and nothing is parsed but tar headers.
 * @throws Failure `not-a-package`, `bare-superblock`, `truncated`, `too-large`, `too-many-signatures`, `tampered`,
 *   `media-gone`, `media-error`
 */
export async function readHead(source: Source): Promise<Head> {
  const reader = sequential(source)
  const manifest = await firstEntry(source, reader)
  const signatures: Head['signatures'] = []
  for (;;) {
    const indexAt = reader.position()
    const block = await reader.peek(BLOCK)
    const header = readHeader(block)
    if (!header) throw tampered('a link, a folder, or another entry that does not belong there follows the manifest')
    if (header.path === 'index') {
      const id = createHash('sha256').update(manifest).digest('hex')
      return { manifest, id, signatures, indexAt, ahead: reader.ahead() }
    }
    const before = signatures.at(-1)
    if (!SIGNATURE.test(header.path) || (before && before.name >= header.path))
      throw tampered(`the entry ${header.path} is not where it belongs`)
    if (signatures.length === LIMITS.signatures)
      throw new Failure(
        'too-many-signatures',
        `cannot accept the package: it has more than ${LIMITS.signatures} signatures`,
      )
    signatures.push({ name: header.path, armor: await body(reader, header, LIMITS.signature) })
  }
}

async function firstEntry(source: Source, reader: Sequential): Promise<Buffer> {
  if (source.size === 0) throw truncated()
  if (source.size < BLOCK) throw (await beginsLikeManifest(source)) ? truncated() : notAPackage()
  const block = await reader.peek(BLOCK)
  const header = readHeader(block)
  if (header?.path === 'manifest.json') return body(reader, header, LIMITS.manifest)
  if (isZero(block)) throw truncated() // room was made for a copy that was never finished
  if (block.toString('latin1', 257, 262) !== 'ustar' && (await isBareSuperblock(source, block)))
    throw new Failure(
      'bare-superblock',
      'cannot accept the file: it is a bare superblock, which carries no signature; wrap it on the build host with: superblock-builder package --from-superblock FILE',
    )
  throw notAPackage()
}

async function beginsLikeManifest(source: Source): Promise<boolean> {
  const start = await readExactly(source, 0, source.size)
  const name = Buffer.from('manifest.json\0')
  const common = Math.min(start.length, name.length)
  return start.subarray(0, common).equals(name.subarray(0, common))
}

/**
 * What `ostree static-delta generate --inline` writes: a GVariant tuple (metadata, timestamp, from, to, …), whose end
 * lists where its first members end. `from` has 32 bytes or none, `to` has 32: chance does not look like that. Signed
 * deltas have a magic word. https://ostreedev.github.io/ostree/formats/#static-deltas
 */
async function isBareSuperblock(source: Source, block: Buffer): Promise<boolean> {
  if (block.toString('latin1', 0, 8) === 'OSTSGNDT') return true
  const width = source.size <= 0xff ? 1 : source.size <= 0xffff ? 2 : source.size <= 0xffffffff ? 4 : 6
  const stride = width === 6 ? 8 : width
  const tail = await readExactly(source, source.size - 3 * stride, 3 * stride)
  const ends = [2, 1, 0].map(place => tail.readUIntLE(place * stride, width))
  const [metadata = 0, from = 0, to = 0] = ends
  const start = Math.ceil(metadata / 8) * 8 + 8
  return (from - start === 0 || from - start === 32) && to - from === 32 && to < source.size
}

async function body(reader: Sequential, header: { path: string; size: number }, limit: number): Promise<Buffer> {
  if (header.size > limit)
    throw new Failure('too-large', `cannot accept the package: ${header.path} has more than ${limit} bytes`)
  await reader.take(BLOCK)
  const bytes = await reader.take(header.size)
  const padding = await reader.take(padded(header.size) - header.size)
  if (!isZero(padding)) throw tampered(`${header.path} is not padded with zeros`)
  return bytes
}

/**
 * Read the index, check it against the manifest and parse it. The archive's exact size follows from it, so that a copy
 * that was not finished is known without reading a member.
 * @param manifest what `parseManifest` made of `head.manifest`, after the signatures were found good
 * @throws Failure `tampered`, `truncated`, `media-gone`, `media-error`
 */
export async function readIndex(source: Source, head: Head, manifest: Manifest): Promise<Index> {
  const reader = sequential(source, head.indexAt, head.ahead)
  const header = readHeader(await reader.take(BLOCK))
  if (header?.path !== 'index' || header.size !== manifest.index.size)
    throw tampered('the index has not the size that its manifest states')
  const bytes = await reader.take(header.size)
  const padding = await reader.take(padded(header.size) - header.size)
  if (!isZero(padding)) throw tampered('the index is not padded with zeros')
  if (createHash('sha256').update(bytes).digest('hex') !== manifest.index.sha256)
    throw tampered('the index is not the one that its manifest states')
  const index = await parseIndex(bytes, manifest, reader.position())
  if (source.size < index.archiveSize) throw truncated()
  if (source.size > index.archiveSize) throw tampered('there is something after its end')
  return index
}

interface Sequential {
  position(): number
  /** the next bytes, without moving on */
  peek(count: number): Promise<Buffer>
  take(count: number): Promise<Buffer>
  /** what was read beyond the position */
  ahead(): Buffer
}

/** Read on from `at` in few large reads, never the same byte twice. */
function sequential(source: Source, at = 0, ahead: Buffer = Buffer.alloc(0)): Sequential {
  const peek = async (count: number) => {
    if (ahead.length < count) {
      const from = at + ahead.length
      const most = Math.min(Math.max(count - ahead.length, CHUNK), source.size - from)
      if (ahead.length + most < count) throw truncated()
      ahead = Buffer.concat([ahead, await readExactly(source, from, most)])
    }
    return ahead.subarray(0, count)
  }
  const take = async (count: number) => {
    const bytes = await peek(count)
    ahead = ahead.subarray(count)
    at += count
    return bytes
  }
  return { position: () => at, peek, take, ahead: () => ahead }
}

const notAPackage = () =>
  new Failure(
    'not-a-package',
    'cannot accept the file: it is not a superblock package (its first entry is no manifest)',
  )

const tampered = (why: string) =>
  new Failure('tampered', `cannot accept the package: ${why}; copy it again from its origin`)
