/** What takes long to make is kept in .cache/bench, under a name made from all that goes into it. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isThere, removeTree } from '../src/base/files.ts'
import { PROJECT } from '../test/kit/project.ts'

const CACHE = join(PROJECT, '.cache/bench')
const UNFINISHED = join(CACHE, 'unfinished')

/** A new folder for the time of this run: bench/run removes what is left of it. */
export async function scratch(name: string): Promise<string> {
  const path = join(UNFINISHED, `${name}-${randomBytes(4).toString('hex')}`)
  await mkdir(path, { recursive: true })
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
  // What it was made of before is not there any more.
  const earlier = (await readdir(CACHE)).filter(entry => entry.replace(/-[0-9a-f]{16}$/, '') === name)
  for (const entry of earlier) if (join(CACHE, entry) !== path) await removeTree(join(CACHE, entry))
  return path
}

/** What stands for functions among the ingredients: their text, without the numbers that a bundler appends to names. */
export const code = (...functions: readonly ((...values: never[]) => unknown)[]): string =>
  functions.join('\n').replace(/\b([A-Za-z]+)\d+\b/g, '$1')

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
