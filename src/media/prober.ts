/**
 * A child process for two libraries that may block or hang: usb-detection (who is plugged in, and when that changes) and
 * node-disk-info (how large media are). It answers each line on standard input with a line of JSON, and sends one
 * unasked when a USB device comes or goes.
 */
import { getDiskInfo } from 'node-disk-info'
import { onLines } from '../base/lines.ts'

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
  const usb = await loadUsb()
  let devices = await usbDevices(usb)
  const tell = async () => {
    const disks = (await getDiskInfo()).map(disk => ({
      path: disk.mounted,
      size: disk.blocks * BLOCK,
      free: disk.available * BLOCK,
    }))
    process.stdout.write(`${JSON.stringify({ devices, disks } satisfies Probe)}\n`)
  }
  onLines(process.stdin, () => void tell())
  // The library's own thread would keep an orderly exit waiting for ever.
  process.stdin.on('close', () => process.kill(process.pid, 'SIGKILL'))
  usb?.on('change', async () => {
    devices = await usbDevices(usb)
    await tell()
  })
  usb?.startMonitoring()
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
