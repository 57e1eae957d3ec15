/** Which USB device a mounted filesystem is on, from the kernel's own tree (sysfs never waits for the device). */
import { readFile, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { safe } from '../base/text.ts'

export interface UsbIdentity {
  /** four hex digits each */
  vendorId: string
  productId: string
  serial: string
  /** as the device names itself; may be empty */
  vendor: string
  product: string
}

/** Far more levels than a block device is below its USB device, hubs included. */
const LEVELS = 24

/**
 * @param source what is mounted, e.g. `/dev/sda1`
 * @returns undefined for what is not on USB
 */
export async function usbOf(source: string, sysfs = '/sys'): Promise<UsbIdentity | undefined> {
  if (!source.startsWith('/dev/')) return undefined
  let folder: string
  try {
    folder = await realpath(join(sysfs, 'class/block', basename(source)))
  } catch {
    return undefined
  }
  for (let level = 0; level < LEVELS && folder !== dirname(folder); level++) {
    const read = (name: string) => readFile(join(folder, name), 'utf8').then(clean, () => '')
    const vendorId = await read('idVendor')
    if (vendorId !== '')
      return {
        vendorId,
        productId: await read('idProduct'),
        serial: await read('serial'),
        vendor: await read('manufacturer'),
        product: await read('product'),
      }
    folder = dirname(folder)
  }
  return undefined
}

/** What a device says of itself is as foreign as what is stored on it. */
const clean = (text: string) => safe(text.trim(), 60)
