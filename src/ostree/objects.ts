/** Objects of the device's repo: which of a package's are there and can be relied on, asked of the file system, since ostree has no verb for it. */
import { lstatSync, type Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../base/failure.ts'
import { isThere, readBounded } from '../base/files.ts'
import { takeTurn } from '../base/turn.ts'
import { isNamed, METADATA_LIMIT, parseObjectPath, plainPath } from './object.ts'
import type { ReadObjects } from './walk.ts'

/** An object as a package's index describes it. */
interface Described {
  path: string
  /** bytes of it in an archive */
  size: number
  /** bytes of a content object's content */
  unpacked: number
}

/**
 * Which of these objects the repo lacks. One whose file has another size than it must have is none: a power cut or worn flash
 * has left it so, and ostree goes by names alone. A commit that an interrupted pull left incomplete is none either.
 * @param repo a bare repo of any kind
 * @param isUnsound those of right size that were found to be damaged
 * @returns the places of those in `objects`; one that is not an object's path is never there
 */
export async function lacking(
  repo: string,
  objects: Iterable<Described>,
  isUnsound: (path: string) => boolean = () => false,
): Promise<number[]> {
  const partial = await namesIn(join(repo, 'state'))
  const places: number[] = []
  const turn = takeTurn()
  let place = 0
  for (const object of objects) {
    if (isUnsound(object.path) || !isHere(repo, object, partial)) places.push(place)
    place++
    if (turn.isOver()) await turn.pass()
  }
  return places
}

function isHere(repo: string, object: Described, partial: ReadonlySet<string>): boolean {
  const named = parseObjectPath(object.path)
  if (!named) return false
  if (named.kind === 'commit' && partial.has(`${named.checksum}.commitpartial`)) return false
  const found = statusOf(join(repo, plainPath(object.path)))
  if (!found) return false
  // What is attached to a commit may have grown here; a link has no content, and is as long as its target.
  if (named.kind === 'commitmeta' || found.isSymbolicLink()) return true
  if (named.kind !== 'filez') return found.size === object.size
  // A repo of mode bare-user keeps links as files, of whose size the index knows nothing.
  return found.size === object.unpacked || object.unpacked === 0
}

/** One thing after the other takes a fraction of the time that waiting for each takes. */
export function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    if (errno(error) === 'ENOTDIR' || errno(error) === 'EIO' || errno(error) === 'ELOOP') return undefined
    throw error
  }
}

/** Bytes of a content object's content, by its path in an archive; of a link 0, as the index has it; undefined where it is not here. */
export function contentSize(repo: string, path: string): number | undefined {
  const found = statusOf(join(repo, plainPath(path)))
  return found?.isSymbolicLink() ? 0 : found?.size
}

/** Every object of a repo that commits consist of, by path; what is attached to a commit is none. */
export async function contentOf(repo: string): Promise<string[]> {
  const paths: string[] = []
  for (const prefix of await namesIn(join(repo, 'objects')))
    for (const name of await namesIn(join(repo, 'objects', prefix)))
      if (!name.endsWith('.commitmeta')) paths.push(`objects/${prefix}/${name}`)
  return paths
}

/** Whether the repo has the commit, as far as ostree itself can tell, with everything in it. */
export async function hasCommit(repo: string, commit: string): Promise<boolean> {
  const object = join(repo, 'objects', commit.slice(0, 2), `${commit.slice(2)}.commit`)
  return (await isThere(object)) && !(await isThere(join(repo, 'state', `${commit}.commitpartial`)))
}

/** The bytes of a metadata object of the repo by its path in a package; undefined where it is not there, or is not what its name says. */
export async function readSound(repo: string, path: string): Promise<Buffer | undefined> {
  const named = parseObjectPath(path)
  const bytes = await readBounded(join(repo, path), METADATA_LIMIT).catch(() => undefined)
  return named && bytes && isNamed(named.checksum, bytes) ? bytes : undefined
}

/** Reads metadata of what is on the device; what is damaged is not to be had. */
export const readHere =
  (repo: string): ReadObjects =>
  async paths => {
    const found = new Map<string, Buffer>()
    for (const path of paths) {
      const bytes = await readSound(repo, path)
      if (bytes) found.set(path, bytes)
    }
    return found
  }

async function namesIn(folder: string): Promise<Set<string>> {
  try {
    return new Set(await readdir(folder))
  } catch (error) {
    if (errno(error) === 'ENOENT') return new Set()
    throw error
  }
}
