/** The device's own record of what was done to it: append-only lines, each carrying the SHA-256 of the one before. */
import { createHash } from 'node:crypto'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { appendLine, readIfThere } from '../base/files.ts'
import { evenIfFull } from './reserve.ts'
import type { HistoryEntry } from './snapshot.ts'

const NONE = '0'.repeat(64)
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
  const before = await readIfThere(path)
  if (before && !before.endsWith('\n'))
    await truncate(path, Buffer.byteLength(before.slice(0, before.lastIndexOf('\n') + 1)))
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
        try {
          entries.push(JSON.parse(line) as HistoryEntry)
        } catch {
          entries.push({ at: '', event: 'unreadable', prev: '' })
        }
      }
      return entries
    },
    async verify() {
      const all = await lines()
      let expected = NONE
      for (const [at, line] of all.entries()) {
        let prev: unknown
        try {
          prev = (JSON.parse(line) as HistoryEntry).prev
        } catch {}
        if (prev !== expected) return { ok: false, lines: all.length, brokenAt: at + 1 }
        expected = digest(line)
      }
      return { ok: true, lines: all.length }
    },
  }
}

function digestOfLast(text: string): string {
  const lines = text.split('\n').filter(line => line !== '')
  const line = lines.at(-1)
  return line === undefined ? NONE : digest(line)
}
