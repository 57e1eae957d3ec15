/** Whether objects of the device's repo are what their names say: read whole, and remembered as long as the file stays as it is. */
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { isThere } from '../base/files.ts'
import { parseObjectPath, plainPath } from './object.ts'
import { readSound } from './objects.ts'
import { readConfig } from './storage.ts'
import { hasContent, type PlainMode } from './unpack.ts'

const BUFFER = 1024 * 1024
/** What was found of a file, by what tells it from another of the same name. */
const known = new Map<string, boolean>()
/** Kernels and what goes with them are looked at again and again; more is not kept. */
const MOST_KNOWN = 256

/** What is asked from now on is read anew. */
export const forgetSound = (): void => known.clear()

/**
 * @param path in an archive: `objects/xx/….filez`
 * @returns undefined where it is not there, or cannot be judged since the repo is of another mode
 */
export async function isSoundObject(repo: string, path: string): Promise<boolean | undefined> {
  const named = parseObjectPath(path)
  if (!named || named.kind === 'commitmeta') return undefined
  if (named.kind !== 'filez')
    return (await isThere(join(repo, path))) ? (await readSound(repo, path)) !== undefined : undefined
  const mode = (await readConfig(repo)).get('core')?.get('mode') ?? 'bare'
  if (mode !== 'bare' && mode !== 'bare-user-only') return undefined
  return isSoundContent(join(repo, plainPath(path)), named.checksum, mode)
}

async function isSoundContent(file: string, checksum: string, mode: PlainMode): Promise<boolean | undefined> {
  const found = await lstat(file).catch(() => undefined)
  if (!found) return undefined
  const sign = `${file} ${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}`
  const before = known.get(sign)
  if (before !== undefined) return before
  const buffer = Buffer.allocUnsafeSlow(BUFFER)
  const sound = await hasContent(file, checksum, mode, buffer).catch(() => false)
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(sign, sound)
  return sound
}
