/** The release in a package, as far as planning looks into it: its metadata, from the device's repo where it is sound, else from the package. */
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { type BootFile, bootFiles } from '../ostree/boot-files.ts'
import { parseCommit } from '../ostree/contents.ts'
import type { Engine } from '../ostree/engine.ts'
import { objectPath, parseObjectPath } from '../ostree/object.ts'
import { contentSize, readSound } from '../ostree/objects.ts'
import { isSoundObject } from '../ostree/sound.ts'
import type { FolderMeta } from '../ostree/tree.ts'
import { lookUp, type Walk, walkTree } from '../ostree/walk.ts'
import { padded, BLOCK as TAR_BLOCK } from '../package/header.ts'
import type { Index, Member } from '../package/index.ts'
import { LIMITS } from '../package/limits.ts'
import { commitMismatch, type Manifest } from '../package/manifest.ts'
import { readMembers, type Source } from '../package/read.ts'
import { type Refused, refuse } from '../trust.ts'

export interface Release {
  walk: Walk
  /** what is copied to /boot, for each kernel */
  boot: BootFile[][]
  /** what the release has at a path below /etc */
  typeInEtc(path: string): Promise<'file' | 'folder' | undefined>
  /** objects that the device has and that are damaged, by path */
  unsound: ReadonlySet<string>
  /** members that were read from the package for this, by path: nothing is read twice */
  read: ReadonlyMap<string, Buffer>
  /** bytes of the package that were read for this */
  bytesRead: number
}

/** Bytes of members that are kept for staging; beyond that they are read again. */
const KEPT = 8 * 1024 * 1024

/**
 * Read and check everything of a release but its contents.
 * @param index of the package; without one (a package of deltas alone) the release must be on the device
 * @returns the refusal of a release that the device could not take or start
 * @throws Failure `tampered` when parts of it are missing or are no such objects; those of the reader
 */
export async function readRelease(
  manifest: Manifest,
  engine: Engine,
  mode: string,
  from?: { index: Index; source: Source },
): Promise<Release | Refused> {
  const objects = openObjects(engine.repo, from)
  try {
    const path = objectPath(manifest.commit, 'commit')
    const bytes = (await objects.read([path])).get(path)
    if (!bytes)
      throw new Failure('tampered', 'cannot use the package: it lacks its own commit; ask its maker for a new one')
    const commit = parseCommit(manifest.commit, bytes)
    const mismatch = commitMismatch({ ...commit, version: commit.metadata.get('version') }, manifest)
    if (mismatch !== undefined) return refuse('wrong-commit', `${mismatch}. Ask its maker for a new one`)
    let foreign: FolderMeta | undefined
    const sizeOf = (content: string) => from?.index.find(content)?.unpacked ?? contentSize(engine.repo, content)
    const walk = await walkTree(commit.root, objects.read, sizeOf, meta => {
      if (meta.uid || meta.gid || meta.attributes || meta.mode & 0o7000) foreign ??= meta
    })
    if (foreign && mode === 'bare-user-only') return unholdable(foreign)
    const boot = await bootFiles(commit.root.tree, objects.read, sizeOf)
    if (boot.length === 0)
      return unbootable('it has no kernel where OSTree looks for one (usr/lib/modules/VERSION/vmlinuz)')
    const at = (place: string) => lookUp(commit.root.tree, place, objects.read)
    if (!(await at('usr/lib/os-release'))?.file && !(await at('usr/etc/os-release'))?.file)
      return unbootable('it has no usr/lib/os-release')
    if ((await at('etc')) && (await at('usr/etc'))) return unbootable('it has both an /etc and a /usr/etc')
    await objects.checkContents(boot.flat().map(file => file.object))
    return {
      walk,
      boot,
      unsound: objects.unsound,
      read: objects.taken,
      bytesRead: objects.bytesRead(),
      async typeInEtc(place) {
        const whole = `usr/etc/${place}`
        const found = await at(whole)
        if (found?.path !== whole) return undefined
        return found.file === undefined ? 'folder' : 'file'
      },
    }
  } catch (error) {
    if (error instanceof Failure && ['corrupt-object', 'bad-variant'].includes(error.code))
      throw new Failure('tampered', `cannot use the package: ${error.message}; ask its maker for a new one`, {
        cause: error,
      })
    throw error
  }
}

const unbootable = (why: string) =>
  refuse('unbootable', `it could not be started on any device: ${why}. Ask its maker for a new one`, { reason: why })

export const unholdable = ({ uid, gid }: { uid: number; gid: number }) =>
  refuse(
    'unholdable',
    `this device's store keeps no owners, modes and attributes of their own, but the release has some (owner ${uid}:${gid}). Ask its maker for one that was committed with owner 0:0`,
    { owner: `${uid}:${gid}` },
  )

/** Objects by path, from the one place or the other. */
function openObjects(repo: string, from?: { index: Index; source: Source }) {
  const unsound = new Set<string>()
  const taken = new Map<string, Buffer>()
  let kept = 0
  let bytesRead = 0

  async function read(paths: readonly string[]): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>()
    const lacking: Member[] = []
    for (const path of paths) {
      const bytes = taken.get(path) ?? (await readSound(repo, path))
      if (bytes) found.set(path, bytes)
      else {
        if (await isThere(join(repo, path))) unsound.add(path)
        const member = from?.index.find(path)
        if (member && member.size <= LIMITS.memory) lacking.push(member)
      }
    }
    if (from && lacking.length > 0)
      for await (const { member, bytes } of readMembers(
        from.source,
        lacking.sort((a, b) => a.header - b.header),
      )) {
        // The index names the bytes, and so does the object's own name: both must.
        if (parseObjectPath(member.path)?.checksum === member.sha256) found.set(member.path, bytes)
        bytesRead += TAR_BLOCK + padded(member.size)
        kept += member.size
        if (kept <= KEPT) taken.set(member.path, Buffer.from(bytes))
      }
    return found
  }

  /** Those of these contents that are here are read, and noted where they are damaged. */
  async function checkContents(paths: readonly string[]): Promise<void> {
    for (const path of new Set(paths)) if ((await isSoundObject(repo, path)) === false) unsound.add(path)
  }

  return { read, checkContents, unsound, taken, bytesRead: () => bytesRead }
}
