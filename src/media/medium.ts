/** What is said of a medium: its state, what is wrong with it, what on it is nearly a package, and who it is. */
import { basename } from 'node:path'
import type { Facts } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import type { MissCode } from './naming.ts'
import type { Probe } from './prober.ts'
import type { Look } from './scan.ts'
import type { UsbIdentity } from './usb.ts'

export interface Medium {
  /** mount folder: unique among what is mounted now; of one that was refused, its device */
  path: string
  name: string
  kind: 'stick' | 'inbox'
  filesystem: string
  state: 'reading' | 'ready' | 'trouble'
  /** where something is to be said: a stable word for it, the sentence, and the values that it names */
  code?: string | undefined
  text?: string | undefined
  facts?: Facts | undefined
  /** what was meant to be a package and cannot be offered, with what to do about it; a few of them */
  misses?: MissInfo[] | undefined
  /** who it is, where that is known */
  device?: { vendor: string; product: string; serial: string } | undefined
  /** bytes, where they are known */
  size?: number | undefined
  free?: number | undefined
}

export interface MissInfo {
  path: string
  file: string
  code: MissCode
  /** what it is and what to do, for people */
  text: string
}

export interface Remark {
  code: string
  text: string
  facts?: Facts
}
export const MANY: Remark = {
  code: 'too-many-files',
  text: 'there is more on it than is looked at; put the package into the top folder',
}
const EMPTY: Remark = {
  code: 'no-package',
  text: 'there is no package on it; copy NAME.superblock into its top folder',
}
export const SILENT: Remark = {
  code: 'not-answering',
  text: 'it is not answering; wait, or take it out and put it back',
}
export const unreadable = (why: string): Remark => ({ code: 'unreadable', text: `it cannot be read: ${safe(why)}` })
const partly = (path: string, why: string): Remark => ({
  code: 'partly-unreadable',
  text: `the folder ${safe(basename(path))} on it cannot be read (${safe(why)}); copy the package to another one`,
  facts: { folder: basename(path) },
})

const MISSES: { [code in MissCode]: string } = {
  packed: 'an archive; unpack it on a computer and copy the .superblock file from it',
  unfinished: 'not downloaded or copied completely; do it again and wait for the end',
  misnamed: 'its name does not end in .superblock; rename it on a computer',
  unpacked: 'an unpacked package; copy the .superblock file itself',
  'too-deep': 'too many folders down; move it into the top folder',
  hidden: 'its name begins with a dot, as those of deleted files do; rename it if it is meant',
  'not-a-file': 'a link or a folder; copy the .superblock file itself',
}

/** What a look at a medium found out that is to be said of it: that it cannot be read at all, or something beside. */
export function remarksOn(
  { path, kind }: Medium,
  { beyond, unreadable: failed, files }: Look,
): { trouble: Remark | undefined; remark: Remark | undefined } {
  if (failed?.path === path) return { trouble: unreadable(failed.why), remark: undefined }
  // An inbox is empty most of the time.
  const empty = files === 0 && kind === 'stick' ? EMPTY : undefined
  const lesser = failed ? partly(failed.path, failed.why) : empty
  return { trouble: undefined, remark: beyond ? MANY : lesser }
}

export const missesOf = ({ misses }: Look): MissInfo[] | undefined =>
  misses.length === 0
    ? undefined
    : misses.map(({ path, code }) => ({ path, file: basename(path), code, text: MISSES[code] }))

/** Say something else of a medium. @returns whether it is something else */
export function show(
  medium: Medium,
  state: Medium['state'],
  remark: Remark | undefined,
  misses: MissInfo[] | undefined,
): boolean {
  const before = JSON.stringify(medium)
  Object.assign(medium, { state, code: undefined, text: undefined, facts: undefined, ...remark, misses })
  return JSON.stringify(medium) !== before
}

/** A medium as others are told of it, with what the probe knows. */
export function told(medium: Medium, usb: UsbIdentity | undefined, probe: Probe): Medium {
  const { path, name, kind, filesystem, state, code, text, facts, misses } = medium
  const disk = probe.disks.find(one => one.path === path)
  const named = probe.devices.find(
    one =>
      usb &&
      one.vendorId === Number.parseInt(usb.vendorId, 16) &&
      one.productId === Number.parseInt(usb.productId, 16) &&
      (one.serial === '' || safe(one.serial, 60) === usb.serial),
  )
  return {
    ...{ path, name, kind, filesystem, state },
    ...(code === undefined ? {} : { code, text }),
    ...(facts && { facts }),
    ...(misses && { misses }),
    ...(usb && {
      device: {
        vendor: usb.vendor || safe(named?.vendor ?? '', 60),
        product: usb.product || safe(named?.product ?? '', 60),
        serial: usb.serial,
      },
    }),
    ...(disk && { size: disk.size, free: disk.free }),
  }
}
