/** `initramfs`: the initramfs that starts OSTree, made by the sysroot's own dracut, so that it fits its kernel and systemd. */
import { constants } from 'node:fs'
import { copyFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { findShared } from '../base/program.ts'
import { run } from '../base/run.ts'
import { explainDisk } from './disk.ts'
import { startsOstree } from './tree/check.ts'
import { initramfsNames } from './tree/initramfs.ts'
import { find, inside, makeFolder, newPath } from './tree/inside.ts'
import { placeKernel } from './tree/kernel.ts'
import { refuseInside, unpack } from './tree/unpack.ts'
import { type Work, withScratch } from './work.ts'

export interface InitramfsOptions {
  sysrootImagePath: string
  out: string
}

export interface InitramfsResult {
  file: string
  kernel: string
}

/** In namespaces of its own, so that whatever ends this ends dracut and takes the mounts away. Arguments: tree, command. */
const CHROOT = `set -eu
tree=$1; shift
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"; mount --make-rslave "$tree/sys"
mount --rbind /dev "$tree/dev"; mount --make-rslave "$tree/dev"
mount -t tmpfs tmpfs "$tree/run"
exec chroot "$tree" "$@"`

/** @throws Failure `exists`, `not-bootable`, and those of reading the sysroot */
export async function initramfs(options: InitramfsOptions, work: Work): Promise<InitramfsResult> {
  const { out } = options
  if (await isThere(out)) throw new Failure('exists', `cannot write ${out}: there is such a file already`)
  await refuseInside(options.sysrootImagePath, dirname(out))
  return withScratch(dirname(out), async scratch => {
    const tree = join(scratch, 'tree')
    await unpack(options.sysrootImagePath, tree, work)
    const placed = await placeKernel(tree)
    if (!placed) throw new Failure('not-bootable', 'cannot make an initramfs: the sysroot has no kernel')
    const made = await makeInitramfs(tree, placed.kernel.version, work)
    await copyFile(made, out, constants.COPYFILE_EXCL).catch(async error => {
      await rm(out, { force: true })
      throw explainDisk(error, out)
    })
    return { file: out, kernel: placed.kernel.version }
  })
}

export const initramfsText = ({ file, kernel }: InitramfsResult) => `Made ${file} for the kernel ${kernel}.
Use it with: superblock-builder sysroot … --initramfs ${file}`

/** Whether the sysroot has what it takes. */
export const hasDracut = async (tree: string) => (await find(tree, 'usr/bin/dracut')) !== undefined

/**
 * Make an initramfs in a private copy of an ordinary sysroot, whose dracut configuration gets ours for good.
 * @returns where it is, in the tree's /tmp
 * @throws Failure `not-bootable`, `command-failed`
 */
export async function makeInitramfs(tree: string, version: string, work: Work): Promise<string> {
  if (!(await hasDracut(tree)))
    throw new Failure(
      'not-bootable',
      'cannot make an initramfs: the sysroot has no dracut; install it there, or give one with --initramfs',
    )
  const configuration = await newPath(tree, 'usr/lib/dracut/dracut.conf.d/50-superblock.conf')
  await copyFile(await findShared('boot/dracut/50-superblock.conf'), configuration)
  for (const name of ['proc', 'sys', 'dev', 'run', 'tmp']) await makeFolder(tree, name)
  const to = '/tmp/superblock-initramfs.img'
  const argv = ['dracut', '--force', '--no-hostonly', '--reproducible', '--kver', version, to]
  await work.progress('making the initramfs', () =>
    run(['unshare', '-mpf', '--kill-child', 'sh', '-c', CHROOT, 'sh', tree, ...argv], {
      signal: work.signal,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', TMPDIR: '/tmp', SOURCE_DATE_EPOCH: '0' },
    }).catch(error => {
      work.signal.throwIfAborted()
      throw explained(error)
    }),
  )
  const file = await inside(tree, to, true)
  if (!startsOstree(await initramfsNames(file, dirname(tree), work)))
    throw new Failure(
      'not-bootable',
      'cannot make an initramfs: the sysroot has no dracut module of OSTree; install it there (Debian: ostree-boot)',
    )
  return file
}

function explained(error: unknown): unknown {
  if (error instanceof Failure && /Exec format error/.test(error.message))
    return new Failure(
      'not-bootable',
      'cannot make an initramfs: the sysroot is for another processor; make it on such a computer, or install qemu-user-static here',
      { cause: error },
    )
  return error
}
