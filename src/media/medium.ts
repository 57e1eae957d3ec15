/** What is said of a medium: its state, what is wrong with it, and who it is. */
import { safe } from '../base/text.ts'
import type { Probe } from './prober.ts'
import type { UsbIdentity } from './usb.ts'

export interface Medium {
  /** mount folder: unique among what is mounted now; of one that was refused, its device */
  path: string
  name: string
  kind: 'stick' | 'inbox'
  filesystem: string
  state: 'reading' | 'ready' | 'trouble'
  /** where something is to be said: a stable word for it, and the sentence */
  code?: string | undefined
  text?: string | undefined
  /** who it is, where that is known */
  device?: { vendor: string; product: string; serial: string } | undefined
  /** bytes, where they are known */
  size?: number | undefined
  free?: number | undefined
}

export interface Remark {
  code: string
  text: string
}
export const MANY = {
  code: 'too-many-files',
  text: 'there is more on it than is looked at; put the package into the top folder',
}
export const SILENT = { code: 'not-answering', text: 'it is not answering; wait, or take it out and put it back' }
export const unreadable = (why: string) => ({ code: 'unreadable', text: `it cannot be read: ${safe(why)}` })

/** A medium as others are told of it, with what the probe knows. */
export function told(medium: Medium, usb: UsbIdentity | undefined, probe: Probe): Medium {
  const { path, name, kind, filesystem, state, code, text } = medium
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
