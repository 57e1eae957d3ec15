/**
 * The account of a trial that user space keeps, trial.json: how the starts of the new release ended so far. The boot loader
 * counts starts and cannot tell why they ended; this can, as far as the hardware lets it.
 */
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { errno } from '../base/failure.ts'
import { readIfThere, replaceFile, syncFolder } from '../base/files.ts'

const text = v.string()
const number = v.pipe(v.number(), v.minValue(0))
const Account = v.object({
  format: v.literal(1),
  target: v.object({ deployment: text, release: text }),
  /** starts that may end badly, and so many without a trace: in a power cut, usually */
  tries: number,
  patience: number,
  /** seconds that a start has until its verdict */
  deadline: number,
  /** command that reboots; from the release before, since what a new one says of itself may be wrong */
  reboot: v.pipe(v.array(text), v.minLength(1)),
  /** the boot loader that counts, by its name */
  loader: v.optional(text),
  /** the device has a hardware watchdog, whose driver may come late */
  watchdog: v.boolean(),
  /** the kernel's crash records that were there already */
  crashes: v.array(text),
  ends: v.object({ watchdog: number, crash: number, deadline: number, unknown: number }),
  /** what the boot loader was last told to grant */
  granted: number,
  /** the last start that reached user space; `late` when it was ended for want of a verdict */
  last: v.optional(v.object({ bootId: text, late: v.optional(v.boolean()) })),
  /** it has failed, and the boot loader was told to start the one before */
  over: v.optional(v.boolean()),
})
export type Ledger = v.InferOutput<typeof Account>

/** How a start on trial ended. All but the last one speak against the release. */
export type End = keyof Ledger['ends']

/** What is found when a start on trial has reached user space. */
export interface Start {
  bootId: string
  /** starts that the boot loader has left */
  tries: number
  /** the reset before was the watchdog's */
  watchdog: boolean
  crashes: string[]
}

export const newLedger = (
  terms: Pick<Ledger, 'target' | 'loader' | 'tries' | 'patience' | 'deadline' | 'reboot' | 'watchdog' | 'crashes'>,
): Ledger => ({
  format: 1,
  ...terms,
  ends: { watchdog: 0, crash: 0, deadline: 0, unknown: 0 },
  granted: terms.tries,
})

/**
 * Add a start to the account, once, and judge how those before it ended. What the hardware remembers is of the last one alone;
 * starts that the boot loader has counted and that never came here ended without a trace.
 */
export function count(ledger: Ledger, start: Start): Ledger & { last: { bootId: string } } {
  const { last } = ledger
  if (last?.bootId === start.bootId) return { ...ledger, last }
  const silent = Math.max(0, ledger.granted - start.tries - 1)
  const crashed = start.crashes.some(record => !ledger.crashes.includes(record))
  const traced: End | undefined = start.watchdog ? 'watchdog' : crashed ? 'crash' : undefined
  const found: End[] = []
  if (last?.late) found.push('deadline')
  else if (last && silent === 0) found.push(traced ?? 'unknown')
  else if (last) found.push('unknown')
  for (let at = 1; at <= silent; at++) found.push(at === silent ? (traced ?? 'unknown') : 'unknown')
  const ends = { ...ledger.ends }
  for (const end of found) ends[end]++
  const next = { ...ledger, ends, crashes: start.crashes, last: { bootId: start.bootId } }
  return { ...next, granted: Math.max(0, ledger.tries - bad(next)) }
}

/** Starts that speak against the release. */
const bad = ({ ends }: Ledger) => ends.watchdog + ends.crash + ends.deadline

/** Is it time to start the release before? */
export const hasFailed = (ledger: Ledger): boolean =>
  bad(ledger) >= ledger.tries || ledger.ends.unknown > ledger.patience

const SAID: { [end in End]: string } = {
  watchdog: 'by the watchdog',
  crash: 'in a crash of the kernel',
  deadline: 'without a verdict in time',
  unknown: 'without a trace',
}

/** `2 starts ended by the watchdog, 1 without a trace`; '' where nothing is known. */
export function account({ ends }: Ledger): string {
  const parts = (Object.keys(SAID) as End[]).filter(end => ends[end] > 0).map(end => `${ends[end]} ${SAID[end]}`)
  return parts.length === 0 ? '' : `starts that ended: ${parts.join(', ')}`
}

/** The unit superblock-trial.service starts only where it is. */
const path = (folder: string) => join(folder, 'trial.json')

/** The account, or undefined where there is none or it cannot be read: then the boot loader's own count is what is left. */
export async function readLedger(folder: string): Promise<Ledger | undefined> {
  try {
    return v.parse(Account, JSON.parse((await readIfThere(path(folder))) ?? 'null'))
  } catch {
    return undefined
  }
}

export const writeLedger = (folder: string, ledger: Ledger): Promise<void> =>
  replaceFile(path(folder), JSON.stringify(ledger, null, 1))

export async function dropLedger(folder: string): Promise<void> {
  try {
    await unlink(path(folder))
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    return
  }
  await syncFolder(folder)
}
