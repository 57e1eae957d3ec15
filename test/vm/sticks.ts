/** USB sticks as they come: a file with the bytes of one, with and without a partition table. */
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import { type Kind, layOut, makeImage } from '../kit/mounts.ts'

/** A stick's first partition begins here. */
const START = 1024 * 1024

export interface StickOptions {
  kind?: Kind
  /** megabytes */
  size?: number
  /** the file system begins at the first byte */
  unpartitioned?: boolean
}

/** Partition types as sticks carry them (sfdisk's words). */
const TYPE: Record<Kind, string> = { vfat: 'c', exfat: '7', ntfs: '7', ext4: '83' }

/**
 * @param files by their place on it: a file to copy, or bytes
 * @returns the file with the stick's bytes
 */
export async function makeStick(
  folder: string,
  name: string,
  files: Record<string, string | Uint8Array>,
  { kind = 'vfat', size = 320, unpartitioned = false }: StickOptions = {},
): Promise<string> {
  const tree = join(folder, `${name}.files`)
  await mkdir(tree)
  await layOut(tree, files)
  const file = join(folder, `${name}.img`)
  await makeImage(kind, file, tree, size)
  await rm(tree, { recursive: true })
  return unpartitioned ? file : partitioned(file, kind, size)
}

async function partitioned(filesystem: string, kind: Kind, size: number): Promise<string> {
  const file = `${filesystem}.disk`
  await run(['truncate', '--size', String(START + size * 2 ** 20), file])
  await run(['sfdisk', '--quiet', file], { input: `label: dos\nstart=${START / 512}, type=${TYPE[kind]}\n` })
  await run([
    ...['dd', `if=${filesystem}`, `of=${file}`, 'bs=1M', `seek=${START / 2 ** 20}`],
    ...['conv=notrunc,sparse', 'status=none'],
  ])
  await rm(filesystem)
  return file
}

/** The first block of an APFS container as far as it is looked at (Apple File System Reference, nx_superblock_t). */
function apfsBlock(): Buffer {
  const block = Buffer.alloc(4096)
  block.writeUInt32LE(0x8000_0001, 24) // an ephemeral object: the container's superblock
  block.write('NXSB', 32, 'latin1')
  block.writeUInt32LE(block.length, 36)
  // Fletcher's checksum of all that follows it.
  const MAX = 0xffff_ffff
  let [low, high] = [0, 0]
  for (let at = 8; at < block.length; at += 4) {
    low = (low + block.readUInt32LE(at)) % MAX
    high = (high + low) % MAX
  }
  const first = MAX - ((low + high) % MAX)
  block.writeUInt32LE(first, 0)
  block.writeUInt32LE(MAX - ((low + first) % MAX), 4)
  return block
}

/** A stick that this device cannot read: what somebody with a Mac brings. */
export async function makeForeignStick(folder: string, name: string): Promise<string> {
  const file = join(folder, `${name}.img`)
  await writeFile(file, apfsBlock())
  await truncate(file, 64 * 2 ** 20)
  return file
}
