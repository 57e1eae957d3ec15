/** Flushing on the way: a disk that writes while more is being made has little left to write at the end. */
import { run } from './run.ts'

/** Bytes after which it is worth beginning: a slow disk writes them in a second. */
const PORTION = 32 * 1024 * 1024
/** Bytes that may wait beside those that are being written: more would only make the end come later, without a sign of it. */
const AHEAD = 2 * PORTION

export interface Flusher {
  /** So many bytes have been written so far. @returns when it is time to go on, for who is faster than the disk */
  written(total: number): Promise<void>
  /** Everything that was written is on the disk when this returns. @throws Failure `command-failed` */
  end(): Promise<void>
}

/** @param path on the file system that is written to */
export function makeFlusher(path: string): Flusher {
  const sync = () => run(['sync', '--file-system', path])
  let begun = 0
  let syncing: Promise<unknown> | undefined
  let failed: unknown
  return {
    async written(total) {
      if (syncing && total - begun > AHEAD) await syncing
      if (syncing || total - begun < PORTION) return
      begun = total
      // What could not be written is said at the end. The kernel says it once: another sync would find all well.
      syncing = sync()
        .catch(error => {
          failed ??= error
        })
        .finally(() => {
          syncing = undefined
        })
    },
    async end() {
      await syncing
      if (failed) throw failed
      await sync()
    },
  }
}
