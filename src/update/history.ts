/** The device's own record of what was done to it: append-only lines, each carrying the SHA-256 of the one before. */
import { createHash } from 'node:crypto'
import { readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { appendLine, isThere, readIfThere, setAside } from '../base/files.ts'
import { evenIfFull } from './reserve.ts'
import type { HistoryEntry } from './snapshot.ts'

const NONE = '0'.repeat(64)
const LINE_END = 0x0a
const digest = (line: string) => createHash('sha256').update(line).digest('hex')

export interface Chain {
  ok: boolean
  lines: number
  /** 1-based line that does not follow from the one before it */
  brokenAt?: number
}

export interface History {
  /** Add one line and flush it to the disk. */
  add(event: string, facts: Record<string, unknown>): Promise<void>
  entries(): Promise<HistoryEntry[]>
  verify(): Promise<Chain>
}

/** A torn last line, left by a power cut inside an append, is taken off; nothing else is ever changed. */
export async function openHistory(folder: string): Promise<History> {
  const path = join(folder, 'history.jsonl')
  if (await isThere(path)) {
    const before = await readFile(path).catch(() => setAside(path).then(() => undefined))
    if (before && before.length > 0 && before.at(-1) !== LINE_END)
      await truncate(path, before.lastIndexOf(LINE_END) + 1)
  }
  let last = digestOfLast((await readIfThere(path)) ?? '')
  const lines = async () => ((await readIfThere(path)) ?? '').split('\n').filter(line => line !== '')
  // Appends queue here: two at once would both name the same predecessor.
  let queue: Promise<void> = Promise.resolve()

  return {
    add(event, facts) {
      const work = queue.then(async () => {
        const line = JSON.stringify({ at: new Date().toISOString(), event, ...facts, prev: last })
        await evenIfFull(folder, () => appendLine(path, line))
        last = digest(line)
      })
      queue = work.catch(() => {})
      return work
    },
    async entries() {
      const entries: HistoryEntry[] = []
      for (const line of await lines()) {
        entries.push(parse(line) ?? { at: '', event: 'unreadable', prev: '' })
      }
      return entries
    },
    async verify() {
      const all = await lines()
      let expected = NONE
      for (const [at, line] of all.entries()) {
        if (parse(line)?.prev !== expected) return { ok: false, lines: all.length, brokenAt: at + 1 }
        expected = digest(line)
      }
      return { ok: true, lines: all.length }
    },
  }
}

function parse(line: string): HistoryEntry | undefined {
  try {
    const value: unknown = JSON.parse(line)
    const entry = value as HistoryEntry
    return typeof value === 'object' && value !== null && typeof entry.event === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}

/** What must not be forgotten with the journal: the highest security epoch found good, the newest release of those. */
export function remembered(entries: readonly HistoryEntry[]): { epochFloor: number; newest: string } {
  let epochFloor = 0
  let newest = ''
  for (const { event, epoch, timestamp } of entries) {
    if (event === 'good' && Number.isSafeInteger(epoch)) epochFloor = Math.max(epochFloor, epoch as number)
    if (event === 'good' && typeof timestamp === 'string')
      if (Date.parse(timestamp) > (Date.parse(newest) || 0)) newest = timestamp
  }
  return { epochFloor, newest }
}

function digestOfLast(text: string): string {
  const lines = text.split('\n').filter(line => line !== '')
  const line = lines.at(-1)
  return line === undefined ? NONE : digest(line)
}
