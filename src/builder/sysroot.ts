/** `sysroot`: an ordinary sysroot, in whatever form, becomes an OTA-enabled tree that can be committed and booted. */
import { rename } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere, listIfThere } from '../base/files.ts'
import { safe } from '../base/text.ts'
import { explainDisk } from './disk.ts'
import { hasDracut, makeInitramfs } from './dracut.ts'
import { checkContents, checkStart } from './tree/check.ts'
import { checkGiven, type Furnishings, furnish } from './tree/furnish.ts'
import { find, inside } from './tree/inside.ts'
import { type Kernel, placeInitramfs, placeKernel } from './tree/kernel.ts'
import { changeLayout, checkOrdinary } from './tree/layout.ts'
import { refuseInside, unpack } from './tree/unpack.ts'
import { type Work, withScratch } from './work.ts'

export interface SysrootOptions extends Furnishings {
  /** folder, tar archive or image */
  sysrootImagePath: string
  /** the new folder */
  out: string
}

export interface SysrootResult {
  tree: string
  kernel: string
  initramfs: boolean
}

/**
 * The input is only read. The output appears when it is complete.
 * @throws Failure `exists`, `not-root`, `bad-sysroot`, `files-in-home`, `several-kernels`, `not-bootable`, `no-initramfs`,
 *   `bad-initramfs`, `no-space`, `no-folder`, `usage`, `bad-value`, `bad-key`
 */
export async function sysroot(options: SysrootOptions, work: Work): Promise<SysrootResult> {
  const { sysrootImagePath: input } = options
  const out = resolve(options.out)
  if (await isThere(out))
    throw new Failure(
      'exists',
      `cannot write ${options.out}: there is something of that name already; remove it, or use --out`,
    )
  await refuseInside(input, dirname(out))
  await checkGiven(options)
  return withScratch(dirname(out), async scratch => {
    const tree = join(scratch, basename(out))
    try {
      await unpack(input, tree, work)
      const kernel = await work.progress('converting', () => convert(tree, options, work))
      await advise(tree, work)
      work.signal.throwIfAborted()
      await rename(tree, out)
      return { tree: options.out, kernel: kernel.version, initramfs: kernel.initramfs }
    } catch (error) {
      throw explainDisk(error, options.out)
    }
  })
}

export const sysrootText = ({ tree, kernel, initramfs }: SysrootResult) =>
  `Made the OTA-enabled tree ${tree}, kernel ${kernel}${initramfs ? '' : ' without an initramfs'}.
Make a release of it with: superblock-builder commit ${tree} …`

async function convert(tree: string, options: SysrootOptions, work: Work): Promise<Kernel> {
  await checkOrdinary(tree)
  const placed = await placeKernel(tree)
  await checkContents(tree, placed !== undefined)
  const { kernel, leftOut } = placed as { kernel: Kernel; leftOut: string[] }
  if (leftOut.length > 0) work.note(`Left out, for /boot is the device's own: ${leftOut.join(', ')}`)
  if (options.initramfs !== undefined) await placeInitramfs(tree, kernel, options.initramfs)
  else if (options.kernelArgs === undefined || !/(^|\s)init=/.test(options.kernelArgs))
    await ownInitramfs(tree, kernel, work)
  const mounts = await changeLayout(tree)
  if (mounts.length > 0)
    work.note(`Left out of /etc/fstab, for a device has another disk: ${mounts.map(one => safe(one)).join(', ')}`)
  await furnish(tree, options)
  await checkStart(tree, kernel, dirname(tree), work)
  return kernel
}

/**
 * The sysroot's dracut makes one. An initramfs that the sysroot brings stays only where there is no dracut: distributions
 * make theirs for the computer that the sysroot was built on.
 */
async function ownInitramfs(tree: string, kernel: Kernel, work: Work): Promise<void> {
  if (await hasDracut(tree)) await placeInitramfs(tree, kernel, await makeInitramfs(tree, kernel.version, work))
}

/** What does not keep a device from starting, but from updating or from being safe. */
async function advise(tree: string, work: Work): Promise<void> {
  if (!(await find(tree, 'usr/bin/superblockd')))
    work.note('WARNING: superblockd is not in this sysroot: its devices cannot install any package.')
  else if ((await listIfThere(await inside(tree, 'usr/lib/superblock/keys', true))).length === 0)
    work.note('WARNING: no key is in /usr/lib/superblock/keys: devices refuse every package; see --trusted-key.')
  const names = await listIfThere(await inside(tree, 'usr/etc/ssh', true))
  if (names.some(name => /^ssh_host_.*_key$/.test(name)))
    work.note('WARNING: /etc/ssh has host keys: every device will have the same ones. Remove them from the sysroot.')
}
