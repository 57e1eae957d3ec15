/** Which objects of a package the device's repo lacks: asked of the file system, since ostree has no verb for it. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { plainPath } from './unpack.ts'

const OBJECT = /^objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.([a-z]+)$/

/**
 * Listing the fan-out folders that are asked about beats one lstat an object, and finds symlinks too, which such repos
 * keep as symlinks. A commit that an interrupted pull left incomplete counts as missing.
 * @param repo a bare repo of any kind
 * @param paths as in a package: `objects/xx/….{filez,dirtree,dirmeta,commit,commitmeta}`
 * @returns those of `paths` that are not there; one that is not an object's path is never there
 */
export async function missingObjects(repo: string, paths: readonly string[]): Promise<Set<string>> {
  const asked = paths.map(path => {
    const [, prefix = '', rest = '', kind = ''] = OBJECT.exec(path) ?? []
    // An archive's content object is compressed; a bare repo has the same object, by the same checksum, plain.
    return { path, prefix, rest, name: plainPath(`${rest}.${kind}`), isCommit: kind === 'commit' }
  })
  const prefixes = new Set(asked.map(object => object.prefix).filter(prefix => prefix !== ''))
  const there = new Map<string, Set<string>>()
  const list = async (prefix: string) => there.set(prefix, await namesIn(join(repo, 'objects', prefix)))
  const [partial] = await Promise.all([namesIn(join(repo, 'state')), ...[...prefixes].map(list)])
  const missing = new Set<string>()
  for (const { path, prefix, rest, name, isCommit } of asked) {
    const incomplete = isCommit && partial.has(`${prefix}${rest}.commitpartial`)
    if (incomplete || !there.get(prefix)?.has(name)) missing.add(path)
  }
  return missing
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

/** The bytes of a metadata object of the repo by its path in a package, or undefined where it is not there. */
export async function readObject(repo: string, path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(join(repo, path))
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw error
  }
}

async function namesIn(folder: string): Promise<Set<string>> {
  try {
    return new Set(await readdir(folder))
  } catch (error) {
    if (errno(error) === 'ENOENT') return new Set()
    throw error
  }
}
