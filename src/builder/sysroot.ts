/** `sysroot`: an ordinary sysroot, in whatever form, becomes an OTA-enabled tree that can be committed and booted. */
import { rename } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere, listIfThere } from '../base/files.ts'
import { safe } from '../base/text.ts'
import { explainDisk } from './disk.ts'
import { hasDracut, makeInitramfs } from './dracut.ts'
import { checkFollowed } from './follow.ts'
import { checkContents, checkStart } from './tree/check.ts'
import { checkGiven, type Furnishings, furnish } from './tree/furnish.ts'
import { inside } from './tree/inside.ts'
import { type Kernel, placeInitramfs, placeKernel } from './tree/kernel.ts'
import type { Keyless } from './tree/keys.ts'
import { changeLayout, checkOrdinary, type LeftOut } from './tree/layout.ts'
import { refuseInside, unpack } from './tree/unpack.ts'
import { folderView } from './tree/view.ts'
import { type Work, withScratch } from './work.ts'

export interface SysrootOptions extends Furnishings {
  /** folder, tar archive or image */
  sysrootImagePath: string
  /** the new folder */
  out: string
  /** also a release whose devices get their keys in another way */
  allowKeyless?: boolean
  /** what is done otherwise; a tree without any key is let through where nothing else is said, for one can be put into it */
  keyless?: Keyless
}

export interface SysrootResult {
  tree: string
  kernel: string
  initramfs: boolean
}

/**
 * The input is only read. The output appears when it is complete.
 * @throws Failure `exists`, `not-root`, `bad-sysroot`, `files-in-home`, `several-kernels`, `not-bootable`, `no-initramfs`,
 *   `bad-initramfs`, `no-space`, `no-folder`, `usage`, `bad-value`, `bad-key`, `bad-settings`, `no-usable-key`
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
      const keyless = options.allowKeyless ? 'allowed' : (options.keyless ?? 'files')
      await checkFollowed(`use ${input}`, folderView(tree), keyless, work)
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
  sayLeftOut(await changeLayout(tree), work)
  await furnish(tree, options)
  await checkStart(tree, kernel, dirname(tree), work)
  return kernel
}

/** Things of a kind that are named, the others are counted. */
const NAMED = 10

function sayLeftOut({ mounts, nodes, capable, users }: LeftOut, work: Work): void {
  const list = (all: readonly string[]) => {
    const named = all.slice(0, NAMED).map(one => safe(one))
    return [...named, ...(all.length > NAMED ? [`and ${all.length - NAMED} more`] : [])].join(', ')
  }
  if (mounts.length > 0) work.note(`Left out of /etc/fstab, for a device has another disk: ${list(mounts)}`)
  if (nodes.length > 0)
    work.note(
      `Left out of /var, for OSTree holds no pipes, sockets and devices: ${list(nodes)}. Have their programs make them, or a line of tmpfiles.d(5).`,
    )
  if (capable.length > 0)
    work.note(
      `These files of /var lose their capabilities on a device, for systemd-tmpfiles does not copy them: ${list(capable)}. Move the programs below /usr.`,
    )
  if (users)
    work.note(
      'There is no systemd-sysusers in this sysroot: users that a later release brings do not come to devices where /etc/passwd or /etc/group was changed.',
    )
}

/**
 * The sysroot's dracut makes one. An initramfs that the sysroot brings stays only where there is no dracut: distributions
 * make theirs for the computer that the sysroot was built on.
 */
async function ownInitramfs(tree: string, kernel: Kernel, work: Work): Promise<void> {
  if (await hasDracut(tree)) await placeInitramfs(tree, kernel, await makeInitramfs(tree, kernel.version, work))
}

/** What keeps a device neither from starting nor from updating, but from being safe. */
async function advise(tree: string, work: Work): Promise<void> {
  const names = await listIfThere(await inside(tree, 'usr/etc/ssh', true))
  if (names.some(name => /^ssh_host_.*_key$/.test(name)))
    work.note('WARNING: /etc/ssh has host keys: every device will have the same ones. Remove them from the sysroot.')
}
