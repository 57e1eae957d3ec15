/**
 * The kernels in /boot, which ostree does not look at again once they are there: each folder is named by the checksum of what is in
 * it (`get_kernel_from_tree_usrlib_modules` of ostree-sysroot-deploy.c).
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { BootFile } from './boot-files.ts'
import type { Engine } from './engine.ts'
import { type Copy, copyInto } from './mend.ts'
import { plainPath } from './object.ts'
import { statusOf } from './objects.ts'
import { addFile } from './unpack.ts'

/** A file of a kernel as it lies in /boot, and the object that it is a copy of. */
export interface BootCopy {
  path: string
  object: string
}

const VERSION = /^usr\/lib\/modules\/([^/]+)\/(.+)$/

/** Names in /boot by those beside the kernel. */
function nameInBoot(version: string, name: string): string | undefined {
  if (name === 'vmlinuz') return `vmlinuz-${version}`
  if (name === 'initramfs.img' || name === 'initramfs') return `initramfs-${version}.img`
  if (name === 'devicetree') return `devicetree-${version}`
  if (name === '.vmlinuz.hmac') return `.vmlinuz-${version}.hmac`
  if (name === 'aboot.img') return `aboot-${version}.img`
  return name.startsWith('dtb/') ? name : undefined
}

/** The order in which ostree hashes them; what is not among them is not hashed. */
const HASHED = ['vmlinuz', 'initramfs.img', 'initramfs', 'devicetree']

/**
 * Where a kernel's files lie in /boot, once they are there.
 * @param kernel whose objects are in the repo, and sound
 */
export async function bootCopies(engine: Engine, os: string, kernel: readonly BootFile[]): Promise<BootCopy[]> {
  const parts = kernel.map(file => ({ ...file, match: VERSION.exec(file.path) }))
  const named = parts.map(({ object, match }) => ({ object, version: match?.[1] ?? '', name: match?.[2] ?? '' }))
  const hash = createHash('sha256')
  const hashed = HASHED.flatMap(name => named.filter(one => one.name === name))
  const trees = named.some(one => one.name === 'devicetree')
    ? []
    : inTreeOrder(named.filter(one => one.name.startsWith('dtb/')))
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
  for (const { object } of [...hashed, ...trees]) await addFile(join(engine.repo, plainPath(object)), hash, buffer)
  const folder = join(engine.boot, 'ostree', `${os}-${hash.digest('hex')}`)
  return named.flatMap(({ object, version, name }) => {
    const own = nameInBoot(version, name)
    return own === undefined ? [] : [{ path: join(folder, own), object }]
  })
}

/** Folder by folder, names in the order of their bytes. */
const inTreeOrder = <T extends { name: string }>(files: readonly T[]): T[] =>
  [...files].sort((a, b) => compareParts(a.name.split('/'), b.name.split('/')))

function compareParts(a: string[], b: string[]): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const [one = '', other = ''] = [a[at], b[at]]
    if (one !== other) return Buffer.compare(Buffer.from(one), Buffer.from(other))
  }
  return 0
}

export interface DamagedCopy extends BootCopy {
  how: 'missing' | 'damaged'
}

/**
 * Those of a kernel's copies in /boot that are not what they were copied from.
 * @param isNeeded one that is missing is damage too, since a deployment that is here starts by it
 */
export async function damagedCopies(
  engine: Engine,
  os: string,
  kernel: readonly BootFile[],
  isNeeded: boolean,
): Promise<DamagedCopy[]> {
  const damaged: DamagedCopy[] = []
  for (const copy of await bootCopies(engine, os, kernel)) {
    const own = join(engine.repo, plainPath(copy.object))
    const [here, object] = [statusOf(copy.path), statusOf(own)]
    if (!here && isNeeded) damaged.push({ ...copy, how: 'missing' })
    if (!here || !object || (here.ino === object.ino && here.dev === object.dev)) continue
    if (here.size !== object.size || !(await isSame(copy.path, own))) damaged.push({ ...copy, how: 'damaged' })
  }
  return damaged
}

async function isSame(a: string, b: string): Promise<boolean> {
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
  const [one, other] = [createHash('sha256'), createHash('sha256')]
  try {
    await addFile(a, one, buffer)
    await addFile(b, other, buffer)
  } catch {
    return false
  }
  return one.digest('hex') === other.digest('hex')
}

/**
 * Copy anew what is damaged in /boot of a kernel whose objects are sound.
 * @param isNeeded see damagedCopies
 * @returns what was mended
 * @throws Failure `command-failed`
 */
export async function mendBoot(
  engine: Engine,
  os: string,
  kernel: readonly BootFile[],
  isNeeded: boolean,
): Promise<BootCopy[]> {
  const damaged = await damagedCopies(engine, os, kernel, isNeeded)
  const copies: Copy[] = damaged.map(({ path, object }) => ({ from: join(engine.repo, plainPath(object)), to: path }))
  await copyInto(engine, copies)
  return damaged
}
