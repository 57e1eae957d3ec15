/** Where the project is, for code that runs from its source as well as bundled into dist/. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The nearest folder upwards that holds a package.json. */
function find(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder
  const above = dirname(folder)
  if (above === folder) throw new Error('cannot find package.json above this file')
  return find(above)
}

export const PROJECT = find(import.meta.dirname)
