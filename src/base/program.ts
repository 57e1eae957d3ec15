/** Where this product's helper programs are: built beside the others, whichever of them is running. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure } from './failure.ts'
import { isThere } from './files.ts'

/**
 * The path of a bundled program. This code may be in a main program, in a chunk below, or in its own source.
 * @throws Failure `program-missing`
 */
export async function findProgram(name: string): Promise<string> {
  const here = dirname(fileURLToPath(import.meta.url))
  const places = [here, dirname(here), join(here, '../../dist')].map(folder => join(folder, `${name}.js`))
  for (const path of places) if (await isThere(path)) return path
  throw new Failure(
    'program-missing',
    `cannot start ${name}.js: it is not beside this program; install superblock again`,
  )
}

/**
 * Where a file that comes with the programs is (`boot/…`), installed or in a clone.
 * @throws Failure `program-missing`
 */
export async function findShared(path: string): Promise<string> {
  const here = dirname(fileURLToPath(import.meta.url))
  const places = [here, dirname(here), join(here, '../..')].map(folder => join(folder, path))
  for (const place of places) if (await isThere(place)) return place
  throw new Failure('program-missing', `cannot find ${path}: it is not beside this program; install superblock again`)
}
