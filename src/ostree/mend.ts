/**
 * Sound objects in the place of damaged ones: written into the same file, so that every deployment that has it under another name, and
 * the running one, has the sound one at once.
 */
import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { changeFiles, type Engine } from './engine.ts'
import { parseObjectPath } from './object.ts'
import { statusOf } from './objects.ts'
import { isSoundObject } from './sound.ts'
import { readConfig } from './storage.ts'

/** A file, and where it goes. */
export interface Copy {
  from: string
  to: string
}

/**
 * What is in a staged repo and on the device too was found to be damaged on the device, or is there by now.
 * @param source private repo
 * @param paths of its objects
 * @returns whether nothing of it has to be brought by ostree
 * @throws Failure `command-failed`
 */
export async function mendObjects(engine: Engine, source: string, paths: readonly string[]): Promise<boolean> {
  const isPlain = (await readConfig(source)).get('core')?.get('mode') !== 'archive-z2'
  const copies: Copy[] = []
  const removed: string[] = []
  for (const path of paths) {
    const named = parseObjectPath(path.replace(/\.file$/, '.filez'))
    const here = join(engine.repo, isPlain ? path : path.replace(/\.filez$/, '.file'))
    const found = statusOf(here)
    // Nothing is staged that is here, unless an import was interrupted, which has given it a second name.
    if (!named || named.kind === 'commitmeta' || !found || found.ino === statusOf(join(source, path))?.ino) continue
    if ((await isSoundObject(engine.repo, path.replace(/\.file$/, '.filez'))) !== false) continue
    if (isPlain || named.kind !== 'filez') copies.push({ from: join(source, path), to: here })
    else removed.push(here)
  }
  await copyInto(engine, copies)
  for (const path of removed) await changeFiles(engine, 'rm -f -- "$1"', path)
  return removed.length === 0
}

/**
 * Write files over others: into the same inode where that can be done, else a new one in its place.
 * @throws Failure `command-failed`
 */
export async function copyInto(engine: Engine, copies: readonly Copy[]): Promise<void> {
  if (copies.length === 0) return
  const list = join(engine.folder, 'copies')
  await writeFile(list, copies.map(({ from, to }) => `${from}\0${to}\0`).join(''), { mode: 0o600 })
  try {
    // To preserve links is to break those of the file that is written to. -f: a program that runs cannot be written to, and gets a new file.
    const copy = 'cp -a --no-preserve=links -f'
    await changeFiles(engine, `xargs -0 -n 2 ${copy} -- <"$1"; sync -f "$2"`, list, engine.repo)
  } finally {
    await unlink(list).catch(() => {})
  }
}
