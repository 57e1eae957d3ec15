/** What takes long to make is kept in .cache/bench, under a name made from all that goes into it. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isThere } from '../src/base/files.ts'
import { PROJECT } from '../test/kit/project.ts'
import { detachBelow } from './disk.ts'

const CACHE = join(PROJECT, '.cache/bench')
const UNFINISHED = join(CACHE, 'unfinished')

/** Remove what an interrupted run left. The caller holds the lock: nobody else is at work here. */
export async function openCache(): Promise<void> {
  await detachBelow(CACHE)
  await rm(UNFINISHED, { recursive: true, force: true })
  await mkdir(UNFINISHED, { recursive: true })
}

/** A new folder for the time of this run. */
export async function scratch(name: string): Promise<string> {
  const path = join(UNFINISHED, `${name}-${randomBytes(4).toString('hex')}`)
  await mkdir(path)
  return path
}

/**
 * The file or folder that `make` makes, from the cache when it was made of the same things before.
 * @param make gets the path to make it at; what is not finished is not kept
 */
export async function cached(
  name: string,
  ingredients: readonly string[],
  make: (path: string) => Promise<void>,
): Promise<string> {
  const path = join(CACHE, `${name}-${digest(ingredients)}`)
  if (await isThere(path)) return path
  process.stderr.write(`making ${name}\n`)
  const unfinished = join(await scratch(name), 'it')
  await make(unfinished)
  await rename(unfinished, path)
  return path
}

/** What stands for the contents of files and folders among the ingredients: sources that, when changed, make something else. */
export async function sources(...paths: string[]): Promise<string> {
  const found: string[] = []
  for (const path of paths.map(path => join(PROJECT, path))) {
    const files = (await stat(path)).isFile()
      ? [path]
      : (await readdir(path, { recursive: true, withFileTypes: true }))
          .filter(entry => entry.isFile())
          .map(entry => join(entry.parentPath, entry.name))
    for (const file of files.sort()) found.push(await readFile(file, 'latin1'))
  }
  return digest(found)
}

const digest = (texts: readonly string[]) =>
  createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 16)
