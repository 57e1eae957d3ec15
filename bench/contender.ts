/** What is compared: each contender makes its packages from the same trees, and installs them on a disk of its own. */
import type { Disk } from './disk.ts'
import type { Group } from './group.ts'
import type { Materials } from './materials.ts'
import type { Version } from './trees.ts'

/** From what runs on the device to what is installed. */
export interface Way {
  from: Version
  to: Exclude<Version, '0'>
}

export interface Contender {
  name: string
  kind: 'superblock' | 'ostree' | 'image' | 'limit'
  /** programs that it needs, by name; the first also tells its version */
  programs: readonly string[]
  /** the folders of sources that its packages depend on, beside `pack` itself */
  sources: readonly string[]
  /** Does making its package take one core, whatever there is? */
  isSingle: boolean
  /** Does its package depend on what the device has? */
  perBase: boolean
  /** Put the package for the way into the folder, which becomes the stick. What it takes is measured. */
  pack(materials: Materials, way: Way, folder: string): Promise<void>
  /** bytes of the package that every device reads, where only a part of the rest is read */
  head?(folder: string): Promise<number>
  /** the image that its disk is a copy of; none for an empty slot of the size of a release's image */
  disk(materials: Materials, way: Way): string | undefined
  /** Make everything ready for the installation; not measured. */
  begin(place: Place): Promise<Installation>
}

/** Where an installation happens. */
export interface Place {
  materials: Materials
  way: Way
  /** everything that is part of the installation runs in here */
  group: Group
  disk: Disk
  /** where the stick is mounted */
  stick: string
  /** an empty folder, and a file for what programs say */
  folder: string
  log: number
}

export interface Installation {
  /** from what the user does to the end of the installation; measured */
  run(): Promise<unknown>
  /** seconds of its steps, of a contender that tells */
  steps?: Record<string, number>
  /** flush what is not on the disk yet; measured as well */
  flush(): Promise<void>
  /** @throws when the release is not there */
  check(): Promise<void>
  /** stop what runs and unmount what was mounted, apart from the disk and the stick */
  end(): Promise<void>
}
