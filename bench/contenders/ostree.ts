/** OSTree's own way for media: a static delta in one file, applied and deployed by its command. */
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { Contender } from '../contender.ts'
import { OS, REF } from '../materials.ts'

export const ostree: Contender = {
  name: 'ostree delta',
  kind: 'ostree',
  programs: ['ostree'],
  sources: [],
  isSingle: true,
  perBase: true,
  async pack({ repo, commits }, { from, to }, folder) {
    // The factory's release is next to nothing: a delta from it would be a full one that no other device can use.
    const base = from === '0' ? ['--empty'] : [`--from=${commits[from]}`]
    await run([
      ...['ostree', 'static-delta', 'generate', `--repo=${repo}`, '--inline', '--min-fallback-size=0', ...base],
      ...[`--to=${commits[to]}`, `--filename=${join(folder, 'delta')}`],
    ])
  },
  disk: ({ devices }, { from }) => devices[from],
  async begin({ materials, way, group, disk, stick, folder }) {
    const sysroot = join(folder, 'sysroot')
    await disk.mount(sysroot)
    const commit = materials.commits[way.to]
    const script = `set -eu
      ostree static-delta apply-offline --repo="$1/ostree/repo" "$2"
      ostree refs --repo="$1/ostree/repo" --force --create="$5" "$3"
      ostree admin deploy --sysroot="$1" --os="$4" "$5"`
    return {
      run: async () =>
        void (await group.run(['sh', '-c', script, 'sh', sysroot, join(stick, 'delta'), commit, OS, REF])),
      flush: async () => void (await run(['sync', '--file-system', sysroot])),
      async check() {
        const { stdout } = await run(['ostree', 'admin', 'status', `--sysroot=${sysroot}`])
        if (!stdout.trimStart().startsWith(`${OS} ${commit}`)) throw new Error(stdout)
      },
      end: () => group.end(),
    }
  },
}
