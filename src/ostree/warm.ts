/** What ostree is about to look at is brought into memory, while the stick is still being read. */
import { run } from '../base/run.ts'
import type { Engine } from './engine.ts'

/**
 * An import looks for every object of a release and reads every folder's, a deployment links every file and hashes the
 * kernels: from a disk that was left alone for a while these are thousands of small reads, one after the other.
 * Returns at once, and nothing depends on it.
 */
export function warm({ repo, sysroot }: Engine): void {
  // No object is so large: find asks for the size of each, and so reads its inode.
  const script = `
    find "$1/objects" '(' -name '*.dirtree' -o -name '*.dirmeta' ')' -exec cat {} + -o -size +1000000000k
    for modules in "$2"/ostree/deploy/*/deploy/*/usr/lib/modules/*; do
      cat "$modules/vmlinuz" "$modules/initramfs.img"
    done`
  void run(['sh', '-c', `{ ${script}\n} >/dev/null`, 'sh', repo, sysroot]).catch(() => {})
}
