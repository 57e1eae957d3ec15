/** What hardware and kernel remember of how the start before ended: the watchdog's reset, and crash records in pstore. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { listIfThere, readIfThere } from '../base/files.ts'

const WATCHDOGS = '/sys/class/watchdog'
/** In the kernel, and where systemd-pstore.service moves them in the course of a start. */
const RECORDS = ['/sys/fs/pstore', '/var/lib/systemd/pstore']
/** WDIOF_CARDRESET of linux/watchdog.h: the card was reset by its watchdog. */
const CARD_RESET = 0x20

/** Is there a hardware watchdog? The kernel's software one remembers nothing over a reset. */
export async function hasWatchdog(): Promise<boolean> {
  return (await bootStatuses()).length > 0
}

/**
 * Was the last reset the watchdog's?
 * @param seconds to wait for a driver that comes late
 */
export async function wasWatchdog(seconds: number): Promise<boolean> {
  for (const end = performance.now() + seconds * 1000; ; await sleep(200)) {
    const statuses = await bootStatuses()
    if (statuses.length > 0 || performance.now() >= end) return statuses.some(status => (status & CARD_RESET) !== 0)
  }
}

async function bootStatuses(): Promise<number[]> {
  const found: number[] = []
  for (const name of await listIfThere(WATCHDOGS)) {
    const identity = ((await readIfThere(join(WATCHDOGS, name, 'identity'))) ?? '').trim()
    const status = await readIfThere(join(WATCHDOGS, name, 'bootstatus'))
    if (status !== undefined && identity !== 'Software Watchdog') found.push(Number(status) || 0)
  }
  return found
}

/** The crash records that are there, each by what tells it from a later one of the same name. */
export async function crashRecords(): Promise<string[]> {
  const found: string[] = []
  for (const folder of RECORDS)
    for (const name of await listIfThere(folder)) {
      const about = await stat(join(folder, name)).catch(() => undefined)
      if (about && /^(dmesg|[0-9])/.test(name)) found.push(`${name} ${Math.trunc(about.mtimeMs)}`)
    }
  return found.sort()
}
