/** The build host's side: which programs it must have, and what its full or read-only disk means for the person in front of it. */
import { statfs } from 'node:fs/promises'
import { diskTrouble } from '../base/disk.ts'
import { Failure } from '../base/failure.ts'
import { run } from '../base/run.ts'
import { bytes } from '../base/text.ts'

/** A system error or a command's complaint while something was written at `path`, in words; others as they are. */
export function explainDisk(error: unknown, path: string): unknown {
  const trouble = diskTrouble(error)
  const because = (name: string, why: string) => new Failure(name, `cannot write ${path}: ${why}`, { cause: error })
  if (trouble === 'full') return because('no-space', 'the disk is full; make room there, or write elsewhere')
  if (trouble === 'read-only') return because('no-folder', 'that file system is read-only; write elsewhere')
  return error
}

/**
 * Whether so many bytes find room in `folder`; a sparse image could be begun with less, and would end in an I/O error.
 * @throws Failure `no-space`
 */
export async function needRoom(folder: string, need: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const left = bavail * bsize
  if (left >= need) return
  const why = `the disk is full: ${bytes(need)} are needed, and ${bytes(left)} are left`
  throw new Failure('no-space', `cannot write in ${folder}: ${why}; make room there, or write elsewhere`)
}

/** Program → Debian's package of it. */
const PACKAGES = {
  sfdisk: 'fdisk',
  mke2fs: 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  'mkfs.vfat': 'dosfstools',
  mcopy: 'mtools',
  'grub-mkimage': 'grub-common',
  mkimage: 'u-boot-tools',
} as const

/** @throws Failure `command-missing` with everything that is to be installed */
export async function needPrograms(doing: string, names: readonly (keyof typeof PACKAGES)[]): Promise<void> {
  const missing: string[] = []
  for (const name of names) {
    const { status } = await run(['sh', '-c', 'command -v "$1"', 'sh', name], { accept: [1, 127] })
    if (status !== 0) missing.push(name)
  }
  if (missing.length === 0) return
  const packages = [...new Set(missing.map(name => PACKAGES[name as keyof typeof PACKAGES]))]
  throw new Failure(
    'command-missing',
    `cannot ${doing}: ${missing.join(', ')} not installed; as root, type: apt-get install ${packages.join(' ')}`,
  )
}
