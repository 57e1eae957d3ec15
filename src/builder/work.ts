/** What the program gives to a command: a way to be interrupted, to show progress and to say something, and scratch folders. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { explainDisk } from './disk.ts'
import type { OnProgress } from './progress.ts'

export interface Work {
  /** aborted by Ctrl-C and the like: whatever is under way stops and cleans up */
  signal: AbortSignal
  /** show that `label` is under way until `task` ends */
  progress<T>(label: string, task: (on: OnProgress) => Promise<T>): Promise<T>
  /** a line for the person at the terminal, not part of the result */
  note(text: string): void
}

/**
 * Run `task` with a private folder below `parent`, which is gone afterwards, whatever happens.
 * @throws Failure `no-folder` or `no-space` when there can be none
 */
export async function withScratch<T>(parent: string, task: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(parent, '.superblock-builder-')).catch(error => {
    const why = explainDisk(error, parent)
    if (why instanceof Failure) throw why
    const code = errno(error) ?? String(error)
    const said = code === 'ENOENT' ? 'there is no such folder' : code
    throw new Failure('no-folder', `cannot write in ${parent}: ${said}`, { cause: error })
  })
  try {
    return await task(folder)
  } finally {
    // A command that was just killed may still be making its last file in there.
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
}
