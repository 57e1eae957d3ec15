/** Undo what the death of an ostree command may leave behind: the file system of /boot frozen, every writer hanging. */
import { join } from 'node:path'
import { run } from '../base/run.ts'

/**
 * Thaw the file system that holds the boot folder. Harmless where nothing is frozen, where it may not be done, and while
 * another ostree command is at work (it goes on without the freeze). This comes before `settled`: a command that waits
 * for a frozen file system would never end.
 * @returns whether it had been frozen
 */
export async function thawBoot(sysroot: string): Promise<boolean> {
  const { status } = await run(['fsfreeze', '--unfreeze', join(sysroot, 'boot')], { accept: [1], timeout: 10_000 })
  return status === 0
}
