/** `image`: a release as a disk image that a device boots from the first time. */
import { chmod, mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { bytes } from '../base/text.ts'
import { readCommit } from '../ostree/contents.ts'
import { explainDisk, needPrograms, needRoom } from './disk.ts'
import { checkRelease } from './draft.ts'
import { checkFollowed } from './follow.ts'
import { checkGrub, writeGrub, writeUboot } from './image/boot.ts'
import { type Layout, layOut, makeDisk } from './image/disk.ts'
import { type Release, readRelease } from './image/release.ts'
import { PREPARE_ROOT } from './tree/check.ts'
import { ROOT_LABEL } from './tree/fstab.ts'
import { MOUNTS, REMOTE } from './tree/furnish.ts'
import { commitView, type View } from './tree/view.ts'
import { readUbootFile } from './uboot.ts'
import { type Work, withScratch } from './work.ts'

export interface ImageOptions {
  ostreeRepo: string
  ref: string
  /** stateroot */
  os: string
  out: string
  bootLoader: 'grub' | 'uboot'
  ubootEnvFile?: string | undefined
  /** bytes of the whole image */
  size?: number
  /** bytes of a partition of its own for /var */
  dataSize?: number
  /** also a release whose devices get their keys in another way */
  allowKeyless?: boolean
}

export interface ImageResult {
  image: string
  size: number
  version: string
  commit: string
  bootLoader: string
  kernelArguments: string[]
}

/**
 * @throws Failure `usage`, `bad-value`, `exists`, `not-root`, `command-missing`, `wrong-repo`, `no-commit`, `no-version`, `not-bootable`,
 *   `wrong-architecture`, `bad-settings`, `no-usable-key`, `no-space`, `no-folder`, `command-failed`
 */
export async function image(options: ImageOptions, work: Work): Promise<ImageResult> {
  const out = resolve(options.out)
  checkRelease(options.ref, 'any', options.os)
  if (await isThere(out))
    throw new Failure('exists', `cannot write ${options.out}: there is such a file already; remove it, or use --out`)
  if (process.getuid?.() !== 0)
    throw new Failure('not-root', `cannot make ${options.out}: only root can make its file system; run it with sudo`)
  const grub = options.bootLoader === 'grub'
  await checkScript(options)
  const programs = ['sfdisk', 'mke2fs', 'e2fsck', 'mkfs.vfat', 'mcopy', grub ? 'grub-mkimage' : 'mkimage'] as const
  await needPrograms(`make ${options.out}`, programs)
  return withScratch(dirname(out), async scratch => {
    try {
      const repo = resolve(options.ostreeRepo)
      const release = await readRelease(repo, options.ref, scratch)
      const view = commitView(repo, await readCommit(repo, release.commit))
      await checkFollowed(`make an image of ${options.ref}`, view, options.allowKeyless ? 'allowed' : 'refused', work)
      if (grub) await checkGrub(release.architecture)
      if (grub && release.generator === '')
        throw new Failure(
          'not-bootable',
          `cannot make a GRUB image of ${options.ref}: it has no /usr/sbin/grub-mkconfig; convert its sysroot with: superblock-builder sysroot`,
        )
      await checkMounts(view, options)
      // The remote that `sysroot --remote-url` made: devices go on following it.
      const remote = (await view.find(`/etc/ostree/remotes.d/${REMOTE}.conf`)) ? REMOTE : ''
      const layout = layOut(release, options.size, options.dataSize)
      await needRoom(scratch, release.size + release.bootSize)
      const file = join(scratch, 'image')
      const kernelArguments = argumentsFor(release)
      await work.progress('making the image', async () => {
        await makeDisk(file, layout, release, work.signal)
        await fill(file, layout, release, remote, kernelArguments, options, scratch, work.signal)
        if (grub) await writeGrub(file, release.architecture, scratch, work.signal)
        else await writeUboot(file, release.architecture, options.ubootEnvFile, scratch, work.signal)
        await run(['e2fsck', '-fn', `${file}?offset=${layout.root.at}`], { signal: work.signal })
      })
      work.signal.throwIfAborted()
      await rename(file, out)
      const { version, commit } = release
      const { size } = await stat(out)
      return { image: options.out, size, version, commit, bootLoader: options.bootLoader, kernelArguments }
    } catch (error) {
      throw explainDisk(error, options.out)
    }
  })
}

/** The partitions beside the root file system are mounted by the release itself. @throws Failure `not-bootable` */
async function checkMounts(view: View, { ref, dataSize, bootLoader }: ImageOptions): Promise<void> {
  if ((dataSize === undefined && bootLoader === 'grub') || (await view.find(`/${MOUNTS}`))) return
  throw new Failure(
    'not-bootable',
    `cannot make this image of ${ref}: nothing in the release would mount its partitions, for it has no /${MOUNTS}; convert its sysroot again with: superblock-builder sysroot`,
  )
}

/** A file for U-Boot must be a script, and for an image that U-Boot starts. @throws Failure `usage`, `bad-value` */
export async function checkScript({
  ubootEnvFile: file,
  bootLoader,
}: Pick<ImageOptions, 'ubootEnvFile' | 'bootLoader'>): Promise<void> {
  if (file === undefined) return
  const cannot = `cannot use ${file}`
  if (bootLoader === 'grub') throw new Failure('usage', `${cannot}: GRUB starts this image; add --boot-loader uboot`)
  if ((await readUbootFile(file)).kind === 'environment')
    throw new Failure(
      'usage',
      `${cannot}: it has settings, which belong into the release; give it to superblock-builder sysroot`,
    )
}

export const imageText = ({ image, size, version, bootLoader }: ImageResult) =>
  `Made ${image}: version ${version}, ${bytes(size)}, started by ${bootLoader === 'grub' ? 'GRUB' : 'U-Boot'}.
Write it to a device's disk or card with: dd if=${image} of=/dev/DEVICE bs=4M conv=fsync`

/** The tree's own, and what it does not say about the root file system. A panic starts anew, so that trials are counted. */
function argumentsFor(release: Release): string[] {
  const own = release.kernelArguments
  const has = (name: string) => own.some(one => one === name || one.startsWith(`${name}=`))
  const given = [...own]
  // The kernel itself knows no labels of file systems.
  if (!has('root')) given.unshift(release.initramfs ? `root=LABEL=${ROOT_LABEL}` : `root=PARTLABEL=${ROOT_LABEL}`)
  if (!has('rw') && !has('ro')) given.push('rw')
  if (!release.initramfs && !has('rootwait')) given.push('rootwait')
  if (!release.initramfs && !has('init')) given.push(`init=/${PREPARE_ROOT}`)
  if (!has('panic')) given.push('panic=10')
  return given
}

/**
 * The root file system is mounted in a mount and process namespace of its own, so that whatever ends this, the kernel takes
 * the mount and its loop device away. ostree deploys without the right to freeze file systems, which it would do to /boot.
 */
const FILL = `set -eu
image=$1 offset=$2 size=$3 mount=$4 repo=$5 ref=$6 os=$7 loader=$8 tmp=$9
shift 9
init=$1 remote=$2
shift 2
mount -o "loop,offset=$offset,sizelimit=$size" "$image" "$mount"
rmdir "$mount/lost+found"
ostree admin init-fs --modern "$mount"
ostree config --repo="$mount/ostree/repo" set sysroot.bootloader "$loader"
ostree admin os-init --sysroot="$mount" "$os"
ostree pull-local --repo="$mount/ostree/repo" \${remote:+"--remote=$remote"} "$repo" "$ref"
ln -s . "$mount/boot/boot"
if [ "$loader" = grub2 ]; then
  mkdir "$mount/boot/grub"
  ln -s ../loader/grub.cfg "$mount/boot/grub/grub.cfg"
  { echo '# GRUB Environment Block'; printf '%999s' '' | tr ' ' '#'; } >"$mount/boot/grub/grubenv"
else
  mkdir "$mount/boot/loader.0"
  ln -s loader.0 "$mount/boot/loader"
  : >"$mount/boot/loader/uEnv.txt"
fi
setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin ostree admin deploy --sysroot="$mount" --os="$os" "$@" "\${remote:+$remote:}$ref"
deployment=$(echo "$mount/ostree/deploy/$os/deploy/"*.0)
[ -z "$tmp" ] || mkdir -m 1777 "$mount/tmp"
if [ -n "$init" ]; then
  mkdir -p "$mount/dev" "$mount/proc" "$mount/sys" "$mount/$(dirname "$init")"
  cp "$deployment/$init" "$mount/$init"
fi
umount "$mount"`

async function fill(
  file: string,
  { root }: Layout,
  release: Release,
  remote: string,
  kernelArguments: readonly string[],
  options: ImageOptions,
  scratch: string,
  signal: AbortSignal,
): Promise<void> {
  const mount = join(scratch, 'mount')
  await mkdir(mount)
  // Not by its usual name, for which libostree would change into the deployment and look for a whole system there.
  const generator = join(scratch, 'generator')
  await writeFile(generator, release.generator)
  await chmod(generator, 0o755)
  const init = kernelArguments.find(one => one.startsWith('init='))?.slice('init='.length)
  const place = [file, String(root.at), String(root.size), mount, resolve(options.ostreeRepo), options.ref, options.os]
  const loader = options.bootLoader === 'grub' ? 'grub2' : 'uboot'
  const more = [loader, release.tmpOnDisk ? 'yes' : '', release.initramfs ? '' : (init ?? ''), remote]
  // --karg would leave only the last of several that share a name, as two consoles do.
  const kargs = kernelArguments.map(one => `--karg-append=${one}`)
  await run(['unshare', '-mpf', '--mount-proc', '--kill-child', 'sh', '-c', FILL, 'sh', ...place, ...more, ...kargs], {
    signal,
    env: { OSTREE_GRUB2_EXEC: generator },
  }).catch(error => {
    signal.throwIfAborted()
    if (error instanceof Error && /loop device/.test(error.message))
      throw new Failure(
        'no-loop',
        'cannot make an image: this computer has no loop device to mount its file system with',
        {
          cause: error,
        },
      )
    throw error
  })
}
