/** What no updater can beat: writing what must be written with cp, and hashing what must be read. */
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { Contender } from '../contender.ts'

/** The changed files, plain, from the host's disk to an empty one. */
export const copying: Contender = {
  name: 'cp -a',
  kind: 'limit',
  programs: ['cp'],
  sources: [],
  isSingle: true,
  perBase: true,
  async pack(materials, { from, to }, folder) {
    const { files } = await materials.changes(from, to)
    const copy = ['xargs', '--null', 'cp', '--archive', '--parents', `--target-directory=${folder}`]
    await run(copy, { cwd: materials.trees[to], input: files.join('\0') })
  },
  disk: ({ devices }) => devices[0],
  async begin({ group, disk, stick, folder }) {
    const target = join(folder, 'target')
    await disk.mount(target)
    return {
      run: () => group.run(['cp', '--archive', stick, join(target, 'copy')]),
      flush: async () => void (await run(['sync', '--file-system', target])),
      check: async () => void (await run(['diff', '--recursive', '--brief', stick, join(target, 'copy')])),
      end: () => group.end(),
    }
  },
}

/** The objects that the device lacks, side by side in one file. */
export const hashing: Contender = {
  name: 'sha256sum',
  kind: 'limit',
  programs: ['sha256sum'],
  sources: [],
  isSingle: true,
  perBase: true,
  async pack({ repo, devices: _, commits }, { from, to }, folder) {
    const script = `set -eu
      cd "$1/objects"
      ostree ls --repo="$1" -R -C "$2" / >"$4.from"
      ostree ls --repo="$1" -R -C "$3" / >"$4.to"
      sums() { grep -oE ' [0-9a-f]{64}( |$)' "$1" | tr -d ' ' | sort -u; }
      sums "$4.from" >"$4.have"
      sums "$4.to" >"$4.want"
      comm -13 "$4.have" "$4.want" | while read -r sum; do echo "\${sum%"\${sum#??}"}/\${sum#??}".*; done |
        tr ' ' '\n' | grep -E 'filez|dirtree|dirmeta' | xargs cat >"$4/objects"`
    await run(['bash', '-c', script, 'bash', repo, commits[from], commits[to], folder])
  },
  disk: ({ devices }) => devices[0],
  async begin({ group, stick }) {
    return {
      run: () => group.run(['sha256sum', join(stick, 'objects')]),
      flush: async () => {},
      check: async () => {},
      end: () => group.end(),
    }
  },
}
