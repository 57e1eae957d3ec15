/** Flushing on the way: a disk that writes while more is being made has little left to write at the end. */
import { run } from './run.ts'

/** Bytes after which it is worth beginning: a slow disk writes them in a second. */
const PORTION = 32 * 1024 * 1024

export interface Flusher {
  /** so many bytes have been written so far */
  written(total: number): void
  /** Everything that was written is on the disk when this returns. @throws Failure `command-failed` */
  end(): Promise<void>
}

/** @param path on the file system that is written to */
export function makeFlusher(path: string): Flusher {
  const sync = () => run(['sync', '--file-system', path])
  let begun = 0
  let syncing: Promise<unknown> | undefined
  return {
    written(total) {
      if (syncing || total - begun < PORTION) return
      begun = total
      // What cannot be written is said at the end.
      syncing = sync()
        .catch(() => {})
        .finally(() => {
          syncing = undefined
        })
    },
    async end() {
      await syncing
      await sync()
    },
  }
}
