/** What hardware and kernel remember of how the start before ended: the watchdog's reset, and crash records in pstore. */
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { listIfThere, readIfThere } from '../base/files.ts'

const WATCHDOGS = '/sys/class/watchdog'
/** In the kernel, and where systemd-pstore.service moves them in the course of a start. */
const RECORDS = ['/sys/fs/pstore', '/var/lib/systemd/pstore']
/** Seconds from a panic until the kernel starts anew; see Documentation/admin-guide/sysctl/kernel.rst. */
const PANIC = '/proc/sys/kernel/panic'
/** Seconds that a watchdog may be slower than it says. */
const MARGIN = 30
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

/** What each hardware watchdog says of something. */
async function ask(about: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await listIfThere(WATCHDOGS)) {
    const identity = ((await readIfThere(join(WATCHDOGS, name, 'identity'))) ?? '').trim()
    const said = await readIfThere(join(WATCHDOGS, name, about))
    if (said !== undefined && identity !== 'Software Watchdog') found.push(said.trim())
  }
  return found
}

const bootStatuses = async () => (await ask('bootstatus')).map(status => Number(status) || 0)

/**
 * A kernel that panics and starts anew by itself leaves no trace of it on many machines; the watchdog's reset does. So where
 * one runs, the kernel waits for it, and starts by itself only when that does not come.
 * @returns how to have it as it was; undefined while no watchdog runs
 */
export async function leavePanicToWatchdog(): Promise<(() => Promise<void>) | undefined> {
  if (!(await ask('state')).includes('active')) return undefined
  const longest = Math.max(...(await ask('timeout')).map(seconds => Number(seconds) || 0))
  const before = (await readIfThere(PANIC)) ?? '0'
  // 0 is for ever, which is long enough.
  if (longest > 0 && Number(before) !== 0) await writeFile(PANIC, String(2 * longest + MARGIN))
  return () => writeFile(PANIC, before)
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
