/** Paths in a tree, followed as its own device would: a link in it never leads to this computer's files. */

import type { Stats } from 'node:fs'
import { lstat, mkdir, readdir, readlink, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errno, Failure } from '../../base/failure.ts'
import { safe } from '../../base/text.ts'

/** As many links as the kernel follows. */
const LINKS = 40

/**
 * Where `path` of the tree is on this computer. Links on the way are followed below the tree; the last name may be absent,
 * and is followed only with `follow`.
 * @throws Failure `bad-sysroot` when links lead in a circle
 */
export async function inside(tree: string, path: string, follow = false): Promise<string> {
  const left = path.split('/').filter(Boolean)
  const done: string[] = []
  for (let links = 0; left.length > 0; ) {
    const name = left.shift() as string
    if (name === '.') continue
    if (name === '..') {
      done.pop()
      continue
    }
    const here = join(tree, ...done, name)
    const target = left.length > 0 || follow ? await readlink(here).catch(() => undefined) : undefined
    if (target === undefined) {
      done.push(name)
      continue
    }
    if (++links > LINKS)
      throw new Failure('bad-sysroot', `cannot use ${path} of the sysroot: its links lead in a circle`)
    if (target.startsWith('/')) done.length = 0
    left.unshift(...target.split('/').filter(Boolean))
  }
  return join(tree, ...done)
}

/** What is at `path` of the tree, its links followed; undefined when there is nothing. */
export async function find(tree: string, path: string): Promise<{ path: string; stats: Stats } | undefined> {
  const at = await inside(tree, path, true)
  try {
    return { path: at, stats: await stat(at) }
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw error
  }
}

/** Make a folder of the tree with those above it, owner root. @returns where it is */
export async function makeFolder(tree: string, path: string, mode = 0o755): Promise<string> {
  const at = await inside(tree, path, true)
  await mkdir(at, { recursive: true, mode })
  return at
}

/**
 * Where a file of the tree can be written: its folder is made, and what has its name is gone, since to write to a link is
 * to write to what it leads to on this computer.
 */
export async function newPath(tree: string, path: string): Promise<string> {
  await makeFolder(tree, dirname(path))
  const at = await inside(tree, path)
  await rm(at, { recursive: true, force: true })
  return at
}

export interface Entry {
  /** from the folder that was walked, without a slash before it */
  path: string
  stats: Stats
}

/**
 * Everything below a folder in the order of names, folders before what is in them; no link is followed.
 * @throws Failure `bad-sysroot` where a name is not in UTF-8
 */
export async function* walk(folder: string, below = ''): AsyncGenerator<Entry> {
  for (const name of (await readdir(join(folder, below))).sort()) {
    const path = join(below, name)
    const stats = await lstat(join(folder, path)).catch(error => {
      // Node reads names as UTF-8; so does OSTree, which refuses others.
      if (errno(error) !== 'ENOENT' || !name.includes('\ufffd')) throw error
      throw new Failure(
        'bad-sysroot',
        `cannot use the sysroot: OSTree holds only names in UTF-8; rename …/${safe(path)}`,
      )
    })
    yield { path, stats }
    if (stats.isDirectory()) yield* walk(folder, path)
  }
}
