/** What a tree needs so that a device starts from it through OSTree; everything that is missing is said at once. */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { isThere } from '../../base/files.ts'
import type { Work } from '../work.ts'
import { initramfsNames } from './initramfs.ts'
import { find, inside } from './inside.ts'
import { type Kernel, placedKernel } from './kernel.ts'

/** Kernel arguments of the tree, one line; `image` gives them to the first deployment, and updates keep those. */
export const KARGS = 'usr/lib/ostree-boot/kargs'
export const PREPARE_ROOT = 'usr/lib/ostree/ostree-prepare-root'

/** Path in the tree → what it is, and where it comes from. */
const NEEDED: [string, string][] = [
  ['usr/lib/systemd/systemd', 'systemd'],
  ['usr/bin/ostree', 'the ostree program (Debian: ostree)'],
  [
    'usr/lib/systemd/system-generators/ostree-system-generator',
    "OSTree's systemd generator, which mounts /var (Debian: ostree-boot)",
  ],
  [PREPARE_ROOT, 'ostree-prepare-root (Debian: ostree-boot)'],
]

const notBootable = (missing: readonly string[]) =>
  new Failure(
    'not-bootable',
    `cannot use the sysroot: it would not start, for it has ${missing.map(one => `no ${one}`).join('; ')}`,
  )

/**
 * Whether an ordinary sysroot has what no later step can add.
 * @throws Failure `not-bootable`
 */
export async function checkContents(tree: string, kernel: boolean): Promise<void> {
  const missing: string[] = []
  if (!kernel) missing.push('kernel (looked for vmlinuz, Image, zImage… in /boot and /usr/lib/modules/*/)')
  for (const [path, what] of NEEDED) if (!(await find(tree, path))) missing.push(what)
  const release =
    (await find(tree, 'usr/lib/os-release')) ??
    (await find(tree, 'etc/os-release')) ??
    (await find(tree, 'usr/etc/os-release'))
  if (!release || !/^(PRETTY_NAME|ID)=/m.test(await readFile(release.path, 'utf8')))
    missing.push('os-release with a PRETTY_NAME, which names it in the boot menu')
  if (missing.length > 0) throw notBootable(missing)
}

/**
 * Whether the kernel finds its root file system and OSTree's deployment: through the initramfs, or by itself.
 * @throws Failure `not-bootable`, `bad-initramfs`, `no-initramfs`
 */
export async function checkStart(tree: string, kernel: Kernel, folder: string, work: Work): Promise<void> {
  if (!kernel.initramfs) return checkBareStart(tree)
  const path = await inside(tree, join(kernel.folder, 'initramfs.img'))
  const names = await initramfsNames(path, folder, work)
  if (!startsOstree(names))
    throw new Failure(
      'not-bootable',
      `cannot use the sysroot: its initramfs does not start OSTree, for it has no ostree-prepare-root; make one with: superblock-builder initramfs`,
    )
  const builtin = await find(tree, join(kernel.folder, 'modules.builtin'))
  const inKernel = builtin ? (await readFile(builtin.path, 'utf8')).split('\n') : []
  if (![...inKernel, ...names].some(name => /(^|\/)ext4\.ko(\.\w+)?$/.test(name)))
    throw notBootable(['ext4, which its root file system has, in the kernel or in the initramfs'])
}

/** Whether one of an initramfs' names is the program that finds the deployment. */
export const startsOstree = (names: ReadonlySet<string>) =>
  names.has(PREPARE_ROOT) || names.has('usr/bin/ostree-prepare-root') || names.has('lib/ostree/ostree-prepare-root')

/** Without an initramfs the kernel runs ostree-prepare-root itself, where there are no libraries yet. */
async function checkBareStart(tree: string): Promise<void> {
  const kargs = await find(tree, KARGS)
  const init = kargs && /(?:^|\s)init=\/(\S+)/.exec(await readFile(kargs.path, 'utf8'))?.[1]
  if (!init)
    throw new Failure(
      'no-initramfs',
      'cannot use the sysroot: it has no initramfs; make one with: superblock-builder initramfs, give one with --initramfs, or go without by --kernel-args "root=… init=…"',
    )
  const program = await find(tree, init)
  if (!program) throw notBootable([`/${init}, which its kernel arguments name as init=`])
  if (await isDynamic(program.path))
    throw new Failure(
      'not-bootable',
      `cannot use the sysroot: without an initramfs /${init} runs before there are libraries, so it must be linked statically`,
    )
}

async function isDynamic(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0)
    return elfInterpreter(buffer.subarray(0, bytesRead)) !== undefined
  } finally {
    await file.close()
  }
}

/**
 * The loader that a program names in its PT_INTERP segment (elf(5)), '' where it stands too far behind; undefined where it needs none,
 * or is none.
 * @param start at least its first page, where linkers put that
 */
export function elfInterpreter(start: Buffer): string | undefined {
  if (start.toString('latin1', 0, 4) !== '\x7fELF' || start.length < 64) return undefined
  const wide = start[4] === 2
  const number = (at: number) => (wide ? Number(start.readBigUInt64LE(at)) : start.readUInt32LE(at))
  const at = number(wide ? 32 : 28)
  const size = start.readUInt16LE(wide ? 54 : 42)
  for (let i = 0; i < start.readUInt16LE(wide ? 56 : 44); i++) {
    const header = at + i * size
    if (header + size > start.length || start.readUInt32LE(header) !== 3) continue
    const [from, length] = [number(header + (wide ? 8 : 4)), number(header + (wide ? 32 : 16))]
    return start.toString('latin1', from, from + Math.max(0, length - 1))
  }
  return undefined
}

/**
 * Hold a folder that is to be committed against what `sysroot` makes; anything that is no whole system is let through.
 * @throws Failure `not-bootable` and those of the checks
 */
export async function checkTree(tree: string, folder: string, work: Work): Promise<void> {
  if (!(await find(tree, 'usr/lib/systemd/systemd'))) return
  if (await isThere(join(tree, 'etc')))
    throw new Failure(
      'not-bootable',
      `cannot commit ${tree}: it is an ordinary system, which OSTree cannot start; convert it with: superblock-builder sysroot`,
    )
  const kernel = await placedKernel(tree)
  await checkContents(tree, kernel !== undefined)
  await checkStart(tree, kernel as Kernel, folder, work)
}
