/** The place that packages are put in: a device, which can be formatted, or a folder, which should be on a medium. */
import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { errno, Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { safe } from '../base/text.ts'
import type { StickOptions } from './stick.ts'
import type { Work } from './work.ts'

/** What findmnt says of the file system that a folder is in. */
export async function mounted(column: 'FSTYPE' | 'TARGET', folder: string): Promise<string> {
  const { stdout } = await run(['findmnt', '--noheadings', '--output', column, '--target', folder])
  return stdout.trim().split('\n').at(-1) ?? ''
}

/** File systems that no medium has. */
const IN_MEMORY = ['tmpfs', 'ramfs', 'overlay']

/** Where nothing is mounted, what is meant for a stick goes to this computer's own disk. */
export async function sayNoMedium(folder: string, filesystem: string, work: Work): Promise<void> {
  const at = await mounted('TARGET', folder)
  const own = new Set<string>()
  for (const place of ['/', '/home', '/var', '/tmp', '/run', tmpdir(), process.env.HOME ?? '/'])
    if (await isThere(place)) own.add(await mounted('TARGET', place))
  if (own.has(at) || IN_MEMORY.includes(filesystem))
    work.note(
      `WARNING: ${safe(folder)} is no medium: no stick is mounted there, so this goes to ${safe(at)} of this computer (${filesystem}). Mount the stick, and give the folder where it is.`,
    )
}

export async function isBlockDevice(target: string): Promise<boolean> {
  try {
    const status = await stat(target)
    if (status.isDirectory() || status.isBlockDevice()) return status.isBlockDevice()
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    throw new Failure('not-a-stick', `cannot use ${target}: there is no such folder or device`, { cause: error })
  }
  throw new Failure('not-a-stick', `cannot use ${target}: it is neither a folder nor a block device`)
}

const MAKERS = {
  vfat: ['mkfs.vfat', '-F', '32', '-n', 'SUPERBLOCK'],
  exfat: ['mkfs.exfat', '-n', 'SUPERBLOCK'],
  ext4: ['mkfs.ext4', '-q', '-F', '-L', 'SUPERBLOCK'],
}

/** @throws Failure `erase` unless the device is one, is not in use, and its name was typed twice */
export async function format(
  { target, format: kind, erase }: Pick<StickOptions, 'target' | 'format' | 'erase'>,
  isDevice: boolean,
  work: Work,
): Promise<void> {
  if (kind === undefined) return
  if (!isDevice) throw new Failure('erase', `cannot format ${target}: it is a folder; name the device, e.g. /dev/sdb1`)
  if (erase !== target)
    throw new Failure(
      'erase',
      `cannot format ${target} before you say so: everything on it is lost; add --erase ${target}`,
    )
  const { stdout } = await run(['lsblk', '--noheadings', '--list', '--output', 'MOUNTPOINTS', target])
  if (stdout.trim() !== '')
    throw new Failure(
      'erase',
      `cannot format ${target}: it is in use (mounted on ${safe(stdout.trim())}); unmount it first`,
    )
  await work.progress(`Formatting ${target}`, () => run([...MAKERS[kind], target], { signal: work.signal }))
}
