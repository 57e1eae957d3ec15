/** The disk of a machine that is off, from outside: its root file system, and every object of the releases on it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { run } from '../../src/base/run.ts'

/** @throws Error with what e2fsck or ostree fsck found */
export async function checkDisk(disk: string): Promise<void> {
  const raw = join(dirname(disk), 'disk.raw')
  await run(['qemu-img', 'convert', '-O', 'raw', disk, raw])
  try {
    await withRoot(raw, async at => {
      await run(['ostree', 'fsck', '--quiet', `--repo=${join(at, 'ostree/repo')}`])
    })
  } finally {
    await rm(raw, { force: true })
  }
}

/**
 * Have a disk's root file system mounted, which replays its journal as the machine does; afterwards it is checked.
 * @param raw file with the disk's bytes
 */
export async function withRoot(raw: string, use: (at: string) => Promise<void>): Promise<void> {
  const at = await mkdtemp(join(tmpdir(), 'lab-disk-'))
  try {
    const { stdout } = await run(['sfdisk', '--json', raw])
    const { partitions } = (JSON.parse(stdout) as { partitiontable: { partitions: { start: number; size: number }[] } })
      .partitiontable
    const last = partitions.at(-1) ?? { start: 0, size: 0 }
    const place = ['--offset', String(last.start * 512), '--sizelimit', String(last.size * 512)]
    const loop = (await run(['losetup', '--find', '--show', ...place, raw])).stdout.trim()
    try {
      await run(['mount', '-t', 'ext4', loop, at])
      try {
        await use(at)
      } finally {
        await run(['umount', at])
      }
      await run(['e2fsck', '-fn', loop])
    } finally {
      await run(['losetup', '--detach', loop])
    }
  } finally {
    await rm(at, { recursive: true })
  }
}
