/**
 * The device's own record of what was done to it: append-only lines, each carrying the SHA-256 of the one before. It does not grow for
 * ever: a file that is full becomes the older one, in the place of the one that was.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, rename, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { diskTrouble } from '../base/disk.ts'
import { appendLine, setAside, syncFolder } from '../base/files.ts'
import { evenIfFull } from './reserve.ts'
import type { HistoryEntry } from './snapshot.ts'

const NONE = '0'.repeat(64)
const LF = 0x0a
/** Bytes from which on a file is full: a device has some hundred bytes for each update. */
const FULL = 512 * 1024
/** Bytes of a file that are read at the most: what somebody has put there is no reason to hold it all. */
const READ = 2 * FULL
/** A line that begins a file after another was dropped: it follows from nothing that is here. */
const CONTINUED = 'continued'
const digest = (line: string) => createHash('sha256').update(line).digest('hex')

export interface Chain {
  ok: boolean
  lines: number
  /** 1-based line that does not follow from the one before it */
  brokenAt?: number
}

export interface History {
  /** Add one line and flush it to the disk; when that is full to the last byte it is kept, and added when there is room. */
  add(event: string, facts: Record<string, unknown>): Promise<void>
  entries(): Promise<HistoryEntry[]>
  verify(): Promise<Chain>
  /** Add what there was no room for. */
  flush(): Promise<void>
}

/** A torn last line, left by a power cut inside an append, is taken off; nothing else is ever changed. */
export async function openHistory(folder: string): Promise<History> {
  const path = join(folder, 'history.jsonl')
  const older = join(folder, 'history.older.jsonl')
  for (const file of [path, older]) await makeUsable(file)
  const lines = async () => [...(await linesOf(older)), ...(await linesOf(path))]
  let last = digestOf((await lines()).at(-1))
  // What cannot be written now; and appends queue here: two at once would both name the same predecessor.
  const waiting: string[] = []
  let queue: Promise<void> = Promise.resolve()

  async function append(): Promise<void> {
    while (waiting.length > 0) {
      if (((await lstat(path).catch(() => undefined))?.size ?? 0) >= FULL) await turnOver()
      const line = `{${waiting[0]},"prev":"${last}"}`
      try {
        await evenIfFull(folder, () => appendLine(path, line))
      } catch (error) {
        if (diskTrouble(error) === 'full') return
        waiting.shift()
        throw error
      }
      last = digest(line)
      waiting.shift()
    }
  }

  /** The older file goes; what must not be forgotten of it is in the first line of the new one. */
  async function turnOver(): Promise<void> {
    const { epochFloor, newest } = remembered(entriesOf(await lines()))
    const facts = { epoch: epochFloor, timestamp: newest }
    const line = JSON.stringify({ at: new Date().toISOString(), event: CONTINUED, ...facts, prev: last })
    await rename(path, older)
    await appendLine(path, line)
    await syncFolder(folder)
    last = digest(line)
  }

  const enqueue = () => {
    const work = queue.then(append)
    queue = work.catch(() => {})
    return work
  }
  return {
    add(event, facts) {
      waiting.push(JSON.stringify({ at: new Date().toISOString(), event, ...facts }).slice(1, -1))
      return enqueue()
    },
    flush: enqueue,
    entries: async () => entriesOf(await lines()),
    async verify() {
      const all = await lines()
      for (const [at, line] of all.entries()) {
        const entry = parse(line)
        const follows = at === 0 ? entry?.event === CONTINUED || entry?.prev === NONE : isNext(entry, all[at - 1])
        if (!entry || !follows) return { ok: false, lines: all.length, brokenAt: at + 1 }
      }
      return { ok: true, lines: all.length }
    },
  }
}

const isNext = (entry: HistoryEntry | undefined, before: string | undefined) => entry?.prev === digestOf(before)

async function makeUsable(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (!found) return
  if (!found.isFile()) return void (await setAside(path))
  const bytes = await readEnd(path).catch(() => undefined)
  if (bytes === undefined) return void (await setAside(path))
  if (bytes.length > 0 && bytes.at(-1) !== LF)
    await truncate(path, found.size - bytes.length + bytes.lastIndexOf(LF) + 1)
}

/** The last READ bytes. */
async function readEnd(path: string): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const { size } = await file.stat()
    const buffer = Buffer.alloc(Math.min(size, READ))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function linesOf(path: string): Promise<string[]> {
  const bytes = (await readEnd(path).catch(() => undefined)) ?? Buffer.alloc(0)
  const lines = bytes.toString('utf8').split('\n')
  // Of one that is too long the first line is not whole.
  if (bytes.length === READ) lines.shift()
  return lines.filter(line => line !== '')
}

const entriesOf = (lines: readonly string[]): HistoryEntry[] =>
  lines.map((line, at) => {
    const entry = parse(line) ?? { at: '', event: 'unreadable', prev: '' }
    // A line that does not follow is shown; what it says of security does not count.
    const counts = at === 0 ? entry.event === CONTINUED || entry.prev === NONE : isNext(entry, lines[at - 1])
    return counts ? entry : { ...entry, ...(entry.event === 'unreadable' ? {} : { broken: true }) }
  })

function parse(line: string): HistoryEntry | undefined {
  try {
    const value: unknown = JSON.parse(line)
    const entry = value as HistoryEntry
    return typeof value === 'object' && value !== null && typeof entry.event === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}

/**
 * What must not be forgotten with the journal: the highest security epoch found good, and the newest release of those, since an operator
 * went back to an older one for good. A line that does not follow from the one before it counts for neither.
 */
export function remembered(entries: readonly HistoryEntry[]): { epochFloor: number; newest: string } {
  let epochFloor = 0
  let newest = ''
  for (const { event, epoch, timestamp, downgrade, broken } of entries) {
    if (broken === true || (event !== 'good' && event !== CONTINUED)) continue
    if (Number.isSafeInteger(epoch)) epochFloor = Math.max(epochFloor, epoch as number)
    if (typeof timestamp !== 'string' || Number.isNaN(Date.parse(timestamp))) continue
    if (downgrade === true || Date.parse(timestamp) > (Date.parse(newest) || 0)) newest = timestamp
  }
  return { epochFloor, newest }
}

const digestOf = (line: string | undefined) => (line === undefined ? NONE : digest(line))
