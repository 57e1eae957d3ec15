/**
 * The site's changes in /etc: which they are, what a new deployment takes to hold them, and which of them ostree could not carry over
 * (`merge_configuration_from`, `copy_modified_config_file` and `copy_dir_recurse` of ostree-sysroot-deploy.c).
 */
import { createHash, type Hash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errno } from '../base/failure.ts'
import { type Engine, readAdmin } from './engine.ts'
import { inBlocks } from './walk.ts'

export interface EtcChange {
  /** M: another than the release's · A: only here · D: only in the release */
  kind: 'M' | 'A' | 'D'
  /** below /etc */
  path: string
}

/** What a new release has at a path below /etc. */
export type TypeAt = (path: string) => Promise<'file' | 'folder' | undefined>

/** What ostree would stop at, and what it is about. */
export interface EtcConflict {
  /** absolute */
  path: string
  why: 'folder-in-release' | 'file-in-release' | 'special-file'
}

/** @throws Failure `command-failed` */
export async function etcChanges(engine: Engine): Promise<EtcChange[]> {
  const { stdout } = await readAdmin(engine, 'config-diff')
  return [...stdout.matchAll(/^([MAD]) {2,}(.+)$/gm)].map(([, kind, path]) => ({
    kind: kind as EtcChange['kind'],
    path: path as string,
  }))
}

/** @param etc the device's /etc */
export async function etcConflict(
  etc: string,
  changes: readonly EtcChange[],
  typeAt: TypeAt,
): Promise<EtcConflict | undefined> {
  const brought = new Set<string>()
  for (const { kind, path } of changes) {
    if (kind === 'D') continue
    const here = await statusOf(join(etc, path))
    if (!here) continue
    for (let above = dirname(path); above !== '.'; above = dirname(above))
      if (!brought.has(above) && (await typeAt(above)) === 'file')
        return { path: join(etc, above), why: 'file-in-release' }
    const there = await typeAt(path)
    if (there === 'folder' && !here.isDirectory()) return { path: join(etc, path), why: 'folder-in-release' }
    if (here.isDirectory() && there !== 'folder') {
      brought.add(path)
      const special = await firstSpecial(join(etc, path))
      if (special !== undefined) return { path: special, why: 'special-file' }
    }
  }
  return undefined
}

/** What is in a folder that ostree copies as a whole, and is neither file, link nor folder. */
async function firstSpecial(folder: string): Promise<string | undefined> {
  for (const name of await names(folder)) {
    const path = join(folder, name)
    const found = await statusOf(path)
    if (!found || found.isFile() || found.isSymbolicLink()) continue
    const special = found.isDirectory() ? await firstSpecial(path) : path
    if (special !== undefined) return special
  }
  return undefined
}

/** Bytes, in whole blocks, and inodes that the changes take in a new deployment. */
export async function etcSize(etc: string, changes: readonly EtcChange[]): Promise<{ bytes: number; inodes: number }> {
  const size = { bytes: 0, inodes: 0 }
  const counted = new Set<string>()
  const add = async (path: string): Promise<void> => {
    if (counted.has(path)) return
    counted.add(path)
    const found = await statusOf(join(etc, path))
    if (!found) return
    size.inodes++
    size.bytes += inBlocks(found.isFile() ? found.size : 1)
    if (found.isDirectory()) for (const name of await names(join(etc, path))) await add(join(path, name))
  }
  for (const { kind, path } of changes) if (kind !== 'D') await add(path)
  return size
}

/** Bytes of a file that are read at a time. */
const CHUNK = 256 * 1024

/**
 * What all of /etc is, as far as a new deployment takes it over: names, types, modes, owners, contents.
 * @returns a checksum, and the same one as long as nothing of it changes
 */
export async function etcState(etc: string): Promise<string> {
  const hash = createHash('sha256')
  await addState(hash, etc, '')
  return hash.digest('hex')
}

async function addState(hash: Hash, etc: string, below: string): Promise<void> {
  const path = join(etc, below)
  const found = await statusOf(path)
  if (!found) return
  hash.update(`${below}\0${found.mode}\0${found.uid}\0${found.gid}\0`)
  if (found.isSymbolicLink()) hash.update(await readlink(path).catch(() => ''))
  else if (found.isFile()) await addContent(hash, path)
  else if (found.isDirectory()) for (const name of await names(path)) await addState(hash, etc, join(below, name))
  hash.update('\0')
}

/**
 * Settings that a site changed in one deployment and that another, which took them over before, does not have.
 * @param from folder of the deployment with the changes
 * @param to folder of the other
 * @param most so many are named
 * @returns paths below /etc
 */
export async function settingsOnlyIn(from: string, to: string, most: number): Promise<string[]> {
  const found: string[] = []
  const digestOf = async (path: string) => {
    const hash = createHash('sha256')
    if ((await statusOf(path))?.isDirectory()) return 'folder'
    await addState(hash, path, '')
    return hash.digest('hex')
  }
  async function look(below: string): Promise<void> {
    for (const name of await names(join(from, 'etc', below))) {
      const path = join(below, name)
      const now = await digestOf(join(from, 'etc', path))
      if (now === 'folder') await look(path)
      else if (now !== (await digestOf(join(from, 'usr/etc', path))) && now !== (await digestOf(join(to, 'etc', path))))
        found.push(path)
      if (found.length >= most) return
    }
  }
  await look('')
  return found
}

/** What cannot be read is as if it were empty: it is no reason to be without the rest. */
async function addContent(hash: Hash, path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined)
  if (!file) return
  try {
    const buffer = Buffer.allocUnsafe(CHUNK)
    for (;;) {
      const { bytesRead } = await file.read(buffer)
      if (bytesRead === 0) return
      hash.update(buffer.subarray(0, bytesRead))
    }
  } catch {
  } finally {
    await file.close()
  }
}

const names = async (folder: string) => (await readdir(folder).catch(() => [])).sort()

/** What is in use comes and goes. */
async function statusOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch(error => {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EIO'].includes(errno(error) ?? '')) return undefined
    throw error
  })
}
