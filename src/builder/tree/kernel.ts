/** The kernel of a sysroot, found where distributions put it and moved to where OSTree looks: /usr/lib/modules/VERSION/. */
import { chmod, copyFile, lstat, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { isThere, listIfThere } from '../../base/files.ts'
import { find, inside, makeFolder, newPath } from './inside.ts'

/** Debian and Fedora, then what Yocto and other builders use; compressed or not is the boot loader's business. */
const KERNEL = /^(vmlinuz|vmlinux|bzImage|zImage|Image|Image\.gz|uImage|fitImage|kernel)(-(.+))?$/
const INITRAMFS = /^(initrd\.img|initramfs|initrd)(-(.+?))?(\.img)?$/
const DEVICE_TREE = /\.dtbo?$/
const FOLDER = /^dtbs?$/

export interface Kernel {
  version: string
  /** its folder in the tree */
  folder: string
  initramfs: boolean
}

const MODULES = 'usr/lib/modules'

/** The kernel of a tree that is in place already; undefined when there is none. @throws Failure `several-kernels` */
export async function placedKernel(tree: string): Promise<Kernel | undefined> {
  const found: Kernel[] = []
  for (const version of await listIfThere(await inside(tree, MODULES, true))) {
    const folder = join(MODULES, version)
    if (!(await find(tree, join(folder, 'vmlinuz')))) continue
    found.push({ version, folder, initramfs: (await find(tree, join(folder, 'initramfs.img'))) !== undefined })
  }
  return only(found.map(kernel => ({ ...kernel, path: join(kernel.folder, 'vmlinuz') })))
}

/** More than one would leave it to chance which boots. */
function only<T extends { path: string }>(kernels: readonly T[]): T | undefined {
  if (kernels.length > 1)
    throw new Failure(
      'several-kernels',
      `cannot tell which kernel boots: the sysroot has ${kernels.map(({ path }) => `/${path}`).join(', ')}; remove all but one`,
    )
  return kernels[0]
}

/**
 * Move the kernel, its initramfs and device trees out of /boot, which devices keep on their own. An initramfs there is
 * kept when the kernel has no other.
 * @returns the kernel, and what else was in /boot and is left out; undefined when the sysroot has no kernel
 * @throws Failure `several-kernels`
 */
export async function placeKernel(tree: string): Promise<{ kernel: Kernel; leftOut: string[] } | undefined> {
  const boot = await inside(tree, 'boot', true)
  const names = await listIfThere(boot)
  let kernel = await placedKernel(tree)
  if (!kernel) {
    const candidates = await kernelsIn(tree, names)
    const chosen = only(candidates)
    if (!chosen) return undefined
    const folder = join(MODULES, chosen.version)
    await makeFolder(tree, folder)
    await rename(chosen.file, await inside(tree, join(folder, 'vmlinuz')))
    kernel = {
      version: chosen.version,
      folder,
      initramfs: await isThere(await inside(tree, join(folder, 'initramfs.img'))),
    }
  }
  const leftOut: string[] = []
  // A whole folder of device trees takes the place of an empty one, so it goes first.
  for (const name of [...names].sort((a, b) => Number(FOLDER.test(b)) - Number(FOLDER.test(a)))) {
    const from = join(boot, name)
    if (!(await isThere(from))) continue
    const link = (await lstat(from)).isSymbolicLink()
    const to = link ? undefined : destination(name, kernel)
    if (to === undefined) {
      if (!link && !KERNEL.test(name) && !INITRAMFS.test(name)) leftOut.push(`/boot/${name}`)
      await rm(from, { recursive: true, force: true })
    } else {
      await makeFolder(tree, join(kernel.folder, 'dtb'))
      await rename(from, await inside(tree, to))
      if (to.endsWith('initramfs.img')) kernel.initramfs = true
    }
  }
  const trees = await inside(tree, join(kernel.folder, 'dtb'))
  if ((await listIfThere(trees)).length === 0) await rm(trees, { recursive: true, force: true })
  return { kernel, leftOut }
}

async function kernelsIn(tree: string, names: readonly string[]) {
  const versions = await listIfThere(await inside(tree, MODULES, true))
  const found: { file: string; version: string; path: string }[] = []
  for (const name of names) {
    const matched = KERNEL.exec(name)
    if (!matched) continue
    const there = await find(tree, join('boot', name))
    if (!there?.stats.isFile()) continue
    // A link beside the file that it names (Yocto: zImage -> zImage-6.6.1) is the same kernel.
    if (basename(there.path) !== name && names.includes(basename(there.path))) continue
    const version = matched[3] ?? (versions.length === 1 ? versions[0] : undefined)
    if (version === undefined)
      throw new Failure(
        'no-kernel-version',
        `cannot tell the version of the kernel /boot/${name}: it is not in its name, and /${MODULES} has ${versions.length} versions`,
      )
    found.push({ file: there.path, version, path: join('boot', name) })
  }
  return found
}

/** Where something of /boot goes, by its name; undefined: nowhere. */
function destination(name: string, { version, folder, initramfs }: Kernel): string | undefined {
  const ofKernel = INITRAMFS.exec(name)
  if (ofKernel && !initramfs && [undefined, version].includes(ofKernel[3])) return join(folder, 'initramfs.img')
  if (name === `config-${version}`) return join(folder, 'config')
  if (name === `System.map-${version}`) return join(folder, 'System.map')
  if (FOLDER.test(name)) return join(folder, 'dtb')
  if (DEVICE_TREE.test(name)) return join(folder, 'dtb', name)
  return undefined
}

/** Put an initramfs beside the kernel, in the mode that dracut gives it, whatever that of the file is. */
export async function placeInitramfs(tree: string, kernel: Kernel, file: string): Promise<void> {
  const to = await newPath(tree, join(kernel.folder, 'initramfs.img'))
  await copyFile(file, to)
  await chmod(to, 0o600)
  kernel.initramfs = true
}
