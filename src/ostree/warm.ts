/** What ostree is about to look at is brought into memory, while the stick is still being read. */
import { run } from '../base/run.ts'
import type { Engine } from './engine.ts'

/**
 * An import looks for every object of a release and reads every folder's, a deployment links every file: from a disk that
 * was left alone for a while these are thousands of small reads, one after the other.
 * Returns at once, and nothing depends on it.
 */
export function warm(engine: Engine): void {
  const folders = ['(', '-name', '*.dirtree', '-o', '-name', '*.dirmeta', ')', '-exec', 'cat', '{}', '+']
  // No object is so large: find asks for the size of each, and so reads its inode.
  const script = 'exec find "$@" -o -size +1000000000k >/dev/null'
  void run(['sh', '-c', script, 'sh', `${engine.repo}/objects`, ...folders]).catch(() => {})
}
