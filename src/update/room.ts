/** What an installation takes on each file system, in bytes and in inodes, and whether it is there. */
import { stat, statfs } from 'node:fs/promises'
import { Failure } from '../base/failure.ts'
import { bytes } from '../base/text.ts'
import { type Refused, refuse } from '../trust.ts'

/** Folders of the device that an installation writes to; several may lie on one file system. */
export type Place = 'sysroot' | 'state' | 'boot'

export interface Room {
  bytes: number
  inodes: number
  /** further names of files that are there */
  links?: number
}

/** Where a place is, and how many bytes of its file system are not to be used. */
export interface PlaceOnDisk {
  place: Place
  /** as a technician is told it */
  name: string
  path: string
  reserved: number
}

/** By place, what is taken there in all. */
export type Needs = { readonly [place in Place]: Room }

/** TMPFS_MAGIC of linux/magic.h; see shmem_link in mm/shmem.c. */
const TMPFS = 0x01021994

export const NOTHING: Room = { bytes: 0, inodes: 0 }

export const together = (...rooms: readonly Room[]): Room => ({
  bytes: rooms.reduce((sum, room) => sum + room.bytes, 0),
  inodes: rooms.reduce((sum, room) => sum + room.inodes, 0),
  links: rooms.reduce((sum, { links = 0 }) => sum + links, 0),
})

/** What lacks on a file system. */
export interface Shortage {
  name: string
  /** which of the two is short */
  of: 'bytes' | 'inodes'
  need: number
  free: number
}

/**
 * @param freed by place, what is there already of what is needed, or will be given back before it is needed
 * @returns the first file system with too little, or undefined where all is well
 */
export async function shortage(
  places: readonly PlaceOnDisk[],
  needs: Needs,
  freed: Partial<Needs> = {},
): Promise<Shortage | undefined> {
  const systems = new Map<number, { name: string; path: string; reserved: number; need: Room }>()
  for (const { place, name, path, reserved } of places) {
    const { dev } = await stat(path)
    const less = freed[place] ?? NOTHING
    const known = systems.get(dev) ?? { name, path, reserved, need: NOTHING }
    const { bytes: all, inodes, links = 0 } = needs[place]
    const more = { bytes: all - less.bytes, inodes: inodes - less.inodes, links: links - (less.links ?? 0) }
    systems.set(dev, { ...known, reserved: Math.max(known.reserved, reserved), need: together(known.need, more) })
  }
  for (const { name, path, reserved, need } of systems.values()) {
    const { bavail, bsize, files, ffree, type } = await statfs(path)
    const free = Math.max(0, bavail * bsize - reserved)
    if (need.bytes > free) return { name, of: 'bytes', need: need.bytes, free }
    // Some file systems make inodes as they are needed, and count none; one counts every name of a file.
    const inodes = need.inodes + (type === TMPFS ? (need.links ?? 0) : 0)
    if (files > 0 && inodes > ffree) return { name, of: 'inodes', need: inodes, free: ffree }
  }
  return undefined
}

/** @param removable versions of releases that an operator could remove */
export function noRoom({ name, of, need, free }: Shortage, removable: readonly string[]): Refused {
  const versions = removable.join(', ')
  const next =
    versions === ''
      ? 'Remove data, then try again'
      : `Remove data, or an old release (${versions}) with superblock remove, then try again`
  const facts = { where: name, removable: versions }
  if (of === 'bytes')
    return refuse('no-space', `it needs ${bytes(need)} on ${name}, ${bytes(free)} are free. ${next}`, {
      ...facts,
      need,
      free,
    })
  return refuse('no-inodes', `it needs ${need} files and folders on ${name}, there is room for ${free} more. ${next}`, {
    ...facts,
    needFiles: need,
    freeFiles: free,
  })
}

/** @throws Failure `no-space`, `no-inodes` */
export function failIfShort(refused: Refused | undefined): void {
  if (refused) throw new Failure(refused.code, `cannot go on: ${refused.why}`, { facts: refused.facts })
}
