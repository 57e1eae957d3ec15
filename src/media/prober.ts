/**
 * A child process for two libraries that may block or hang: usb-detection (who is plugged in) and node-disk-info (how large
 * media are). It writes one line of JSON; who started it ends it then, since a library's thread would keep an orderly
 * exit waiting for ever.
 */
import { getDiskInfo } from 'node-disk-info'

export interface Probe {
  /** as udev's database names them */
  devices: { vendorId: number; productId: number; serial: string; vendor: string; product: string }[]
  /** by mount folder; bytes */
  disks: { path: string; size: number; free: number }[]
}

type Usb = typeof import('usb-detection')

/** df, which node-disk-info asks, counts in blocks of 1024 bytes. */
const BLOCK = 1024

export async function serve(): Promise<void> {
  const devices = await usbDevices(await loadUsb())
  const disks = (await getDiskInfo()).map(disk => ({
    path: disk.mounted,
    size: disk.blocks * BLOCK,
    free: disk.available * BLOCK,
  }))
  process.stdout.write(`${JSON.stringify({ devices, disks } satisfies Probe)}\n`)
}

/** It is optional: where it could not be built, sticks are only not named. */
async function loadUsb(): Promise<Usb | undefined> {
  try {
    const module = await import('usb-detection')
    return (module as Usb & { default?: Usb }).default ?? module
  } catch {
    return undefined
  }
}

async function usbDevices(usb: Usb | undefined): Promise<Probe['devices']> {
  const found = (await usb?.find().catch(() => [])) ?? []
  return found.map(device => ({
    vendorId: device.vendorId,
    productId: device.productId,
    serial: device.serialNumber,
    vendor: device.manufacturer,
    product: device.deviceName,
  }))
}
