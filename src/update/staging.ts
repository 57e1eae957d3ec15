/**
 * The private copy of what an installation lacks: a repo on the device's own disk that outlives stick and power cut. Where
 * the device's repo can take objects as they are, they are unpacked; else it is an archive, as the package is.
 */
import { chmodSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { lstat, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere, listIfThere, privateFolder, removeTree } from '../base/files.ts'
import { makeFlusher } from '../base/flush.ts'
import { run } from '../base/run.ts'
import { isMetadata } from '../ostree/contents.ts'
import { plainPath } from '../ostree/object.ts'
import { repoConfig, type StagedMode } from '../ostree/storage.ts'
import { hashFile, isObject, unpackObject } from '../ostree/unpack.ts'
import type { Member, Members } from '../package/index.ts'
import { type Checked, type Source, takeMembers } from '../package/read.ts'

/** Told of what goes on, and may throw to end it. */
export interface Counting {
  /** so many more bytes of the package were read */
  read(count: number): void
  /** so many more bytes were written */
  written(count: number): void
}

export interface Staging {
  /** for `ostree pull-local` */
  repo: string
  /** where a delta lies or will lie */
  pathOf(delta: string): string
  /**
   * Which of these members are not here whole, by their places: what is here is hashed anew, since a power cut may have left holes,
   * and removed where it is not whole.
   */
  lacking(members: Members, mode: StagedMode, onBytes: (count: number) => void): Promise<Set<number>>
  /**
   * Bring members from the stick, each checked against the signed index before it is used. Flushed at the end.
   * @param read those that planning has read and checked already: nothing is read twice
   * @throws Failure of the reader; `ref-mismatch` for an object that is not what its name says
   */
  fill(
    source: Source,
    members: Iterable<Member>,
    mode: StagedMode,
    read: ReadonlyMap<string, Buffer>,
    on: Counting,
  ): Promise<void>
  drop(): Promise<void>
}

const ARCHIVE = 'archive-z2'
/** Mode of what is no content: whoever may read the device's repo may read it there. */
const READABLE = 0o644

const root = (folder: string) => join(folder, 'staging')

/** @param id SHA-256 of the manifest: another stick with the same package continues here */
export function stagingOf(folder: string, id: string): Staging {
  const own = join(root(folder), id)
  const repo = join(own, 'repo')
  const pathOf = (path: string) => join(repo, path)
  const placeOf = ({ path }: Member, mode: StagedMode) => pathOf(mode === ARCHIVE ? path : plainPath(path))

  async function isWhole(member: Member, path: string, mode: StagedMode, buffer: Buffer): Promise<boolean> {
    const checksum = contentChecksum(member.path)
    const { size, mode: bits, mtimeMs } = await lstat(path)
    // The time is set last: without it the file was not finished.
    if (checksum !== undefined && mode !== ARCHIVE)
      return (
        (mtimeMs === 0 || (bits & constants.S_IFMT) === constants.S_IFLNK) && isObject(path, checksum, mode, buffer)
      )
    return size === member.size && (bits & 0o777) === READABLE && (await hashFile(path, buffer)) === member.sha256
  }

  async function take(
    member: Member,
    content: Checked,
    mode: StagedMode,
    wrote: (count: number) => Promise<void>,
  ): Promise<void> {
    const path = placeOf(member, mode)
    const checksum = contentChecksum(member.path)
    if (checksum !== undefined && mode !== ARCHIVE)
      return unpackObject(content, { checksum, size: member.unpacked, path, mode }, wrote)
    await checkForm(member, content)
    // As with small content: one thing after the other takes a fraction of the time.
    if (Buffer.isBuffer(content)) writeFileSync(path, content, { flag: 'wx' })
    else await rename(content.file, path)
    chmodSync(path, READABLE)
    await wrote(member.size)
  }

  return {
    repo,
    pathOf,
    async lacking(members, mode, onBytes) {
      await removeForeign(root(folder))
      await removeForeign(own)
      const places = new Set<number>()
      const isBegun = await isThere(repo)
      const buffer = Buffer.allocUnsafeSlow(isBegun ? 1024 * 1024 : 0)
      let place = 0
      for (const member of members) {
        const path = placeOf(member, mode)
        if (!isBegun || !(await isThere(path))) places.add(place)
        else {
          onBytes(member.size)
          if (!(await isWhole(member, path, mode, buffer))) {
            await unlink(path)
            places.add(place)
          }
        }
        place++
      }
      return places
    },
    async fill(source, members, mode, read, on) {
      await privateFolder(own)
      // All that ostree looks for in a repo that it only reads.
      const folders = new Set(['objects', 'refs/heads', 'tmp', 'state'].map(name => join(repo, name)))
      for (const member of members) folders.add(dirname(placeOf(member, mode)))
      for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 })
      await writeFile(join(repo, 'config'), repoConfig(mode), { mode: 0o600 })
      const flusher = makeFlusher(own)
      let written = 0
      const wrote = async (count: number) => {
        written += count
        on.written(count)
        await flusher.written(written)
      }
      const counted = (member: Member, content: Checked) => take(member, content, mode, wrote)
      for (const member of members) {
        const bytes = read.get(member.path)
        if (bytes) await counted(member, bytes)
      }
      const unread = only(members, member => !read.has(member.path))
      const scratch = join(own, 'scratch')
      await removeTree(scratch)
      await takeMembers(source, unread, counted, scratch, on.read)
      await flusher.end()
    },
    // Node takes ten times as long as rm for ten thousand files.
    drop: async () => void (await run(['rm', '-rf', '--', own])),
  }
}

/** Those that are wanted, one after the other: there may be hundreds of thousands. */
export function* only(
  members: Iterable<Member>,
  isWanted: (member: Member, place: number) => boolean,
): Generator<Member> {
  let place = 0
  for (const member of members) if (isWanted(member, place++)) yield member
}

/** Staging of other packages, left by jobs that are over. */
export async function dropStagingExcept(folder: string, id: string | undefined): Promise<void> {
  await removeForeign(root(folder))
  for (const name of await listIfThere(root(folder))) if (name !== id) await removeTree(join(root(folder), name))
}

/** What is there and is no folder that only we can write to was planted: it goes, and no link is followed on the way. */
async function removeForeign(path: string): Promise<void> {
  if (!(await isThere(path))) return
  const { mode, uid } = await lstat(path)
  if ((mode & constants.S_IFMT) !== constants.S_IFDIR || (mode & 0o022) !== 0 || uid !== process.getuid?.())
    await removeTree(path)
}

/** Bytes of a member once it is staged. */
export const stagedSize = (member: Member, mode: StagedMode): number =>
  mode === ARCHIVE || contentChecksum(member.path) === undefined ? member.size : member.unpacked

/** The folder of a package's staging, or undefined where there is none. */
export async function stagingFolder(folder: string, id: string): Promise<string | undefined> {
  const own = join(root(folder), id)
  return (await isThere(own)) ? own : undefined
}

/** The checksum of a content object, which is not the one of the bytes that a package has of it. */
function contentChecksum(path: string): string | undefined {
  const [, prefix = '', rest = ''] = /^objects\/(..)\/(.*)\.filez$/.exec(path) ?? []
  return prefix === '' ? undefined : prefix + rest
}

/** Objects of other kinds are named by the checksum of their bytes, which were compared with the index. */
async function checkForm({ path, sha256 }: Member, content: Checked): Promise<void> {
  const [, prefix = '', rest = ''] = /^objects\/(..)\/(.*)\.(?:dirtree|dirmeta|commit)$/.exec(path) ?? []
  if (prefix === '') return
  const bytes = Buffer.isBuffer(content) ? content : await readFile(content.file)
  if (prefix + rest !== sha256 || !isMetadata(path, bytes))
    throw new Failure('ref-mismatch', `cannot accept ${path}: it is not what its name says; make the package again`)
}
