/** The layout of the disk: what is where, how large, and the file system that the release goes into. */
import { open, truncate } from 'node:fs/promises'
import { Failure } from '../../base/failure.ts'
import { run } from '../../base/run.ts'
import { bytes } from '../../base/text.ts'
import { ROOT_LABEL } from '../tree/fstab.ts'
import type { Architecture, Release } from './release.ts'

export const MIB = 1024 * 1024
/** The EFI partition follows that of GRUB for BIOS; both have fixed places, so that the boot programs can know them. */
export const BIOS_AT = 1 * MIB
export const ESP_AT = 2 * MIB
export const ESP_SIZE = 64 * MIB
const ROOT_AT = ESP_AT + ESP_SIZE
/** Of the second partition table, at the end. */
const TAIL = 1 * MIB

export const VAR_LABEL = 'superblock-var'
/** The partition's; a FAT label could not be as long. */
export const ESP_LABEL = 'superblock-esp'

/** Types of GPT partitions (https://uapi-group.org/specifications/specs/discoverable_partitions_specification/). */
const TYPES = {
  bios: '21686148-6449-6E6F-744E-656564454649',
  esp: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  var: '4D21B016-B534-45C2-A9FB-5C16E091FD2D',
}
const ROOT_TYPES: Record<Architecture, string> = {
  x86_64: '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709',
  arm64: 'B921B045-1DF0-41C3-AF44-4C6F280D3FAE',
}

export interface Partition {
  at: number
  size: number
}

export interface Layout {
  root: Partition
  /** for /var, where that is apart */
  data?: Partition
  total: number
}

const up = (size: number) => Math.ceil(size / MIB) * MIB

/**
 * Room for this release and one more, as every update needs it; or what was asked for.
 * @param size bytes of the whole image
 * @param dataSize bytes of a partition for /var
 * @throws Failure `no-space` when the release does not fit
 */
export function layOut(release: Release, size: number | undefined, dataSize: number | undefined): Layout {
  // Folders, inodes and the journal come on top of the files.
  const least = up(release.size * 1.15 + release.files * 512 + release.bootSize + 96 * MIB)
  const usual = up(2 * least + release.bootSize + 128 * MIB)
  const data = dataSize === undefined ? 0 : up(dataSize)
  const around = ROOT_AT + TAIL + data
  const root = size === undefined ? usual : Math.floor((size - around) / MIB) * MIB
  if (root < least)
    throw new Failure(
      'no-space',
      `cannot make an image of ${bytes(size ?? 0)}: version ${release.version} needs at least ${bytes(least + around)}, and with room for its updates ${bytes(usual + around)}`,
    )
  const found: Layout = { root: { at: ROOT_AT, size: root }, total: root + around }
  if (data > 0) found.data = { at: ROOT_AT + root, size: data }
  return found
}

/** Make the image file with its partitions and empty file systems; it takes up what is written to it. */
export async function makeDisk(image: string, layout: Layout, release: Release, signal: AbortSignal): Promise<void> {
  await (await open(image, 'wx', 0o644)).close()
  await truncate(image, layout.total)
  const line = ({ at, size }: Partition, type: string, name: string) =>
    `start=${at / 512}, size=${size / 512}, type=${type}, name=${name}`
  const table = [
    'label: gpt',
    line({ at: BIOS_AT, size: ESP_AT - BIOS_AT }, TYPES.bios, 'bios-boot'),
    line({ at: ESP_AT, size: ESP_SIZE }, TYPES.esp, ESP_LABEL),
    line(layout.root, ROOT_TYPES[release.architecture], ROOT_LABEL),
  ]
  if (layout.data) table.push(line(layout.data, TYPES.var, VAR_LABEL))
  await run(['sfdisk', '--quiet', '--wipe=never', image], { input: `${table.join('\n')}\n`, signal })
  await makeExt4(image, layout.root, ROOT_LABEL, release.files * 3, signal)
  if (layout.data) await makeExt4(image, layout.data, VAR_LABEL, 0, signal)
}

/** Without what GRUB before 2.12 cannot read. @param files that there must be room for */
async function makeExt4(image: string, { at, size }: Partition, label: string, files: number, signal: AbortSignal) {
  const features = ['-O', '^metadata_csum_seed,^orphan_file']
  const inodes = size / 16384 < files ? ['-N', String(files)] : []
  const how = ['-m', '1', '-L', label, '-E', `offset=${at},nodiscard`]
  await run(['mke2fs', '-q', '-F', '-t', 'ext4', ...features, ...inodes, ...how, image, `${size / 1024}k`], { signal })
}

/** Write bytes at a place of the image. */
export async function writeAt(image: string, data: Buffer, at: number): Promise<void> {
  const file = await open(image, 'r+')
  try {
    await file.write(data, 0, data.length, at)
  } finally {
    await file.close()
  }
}
