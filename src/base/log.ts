/** The log: one JSON line an event on standard output, with the priority prefix that journald takes off (sd-daemon(3)). */
import { writeSync } from 'node:fs'
import pino from 'pino'
import { safeJson } from './text.ts'

export type Log = pino.Logger

/** pino's levels as syslog priorities. */
const priority = (level: number) => (level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7)

export function makeLog(level: string): Log {
  const journal = process.env.JOURNAL_STREAM !== undefined
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    {
      // A full disk or a closed pipe must not take the service down with its log.
      write(json: string) {
        try {
          const line = safeJson(json) // JSON itself escapes no more than it must
          const found = journal ? /"level":(\d+)/.exec(line) : null
          writeSync(1, found ? `<${priority(Number(found[1]))}>${line}` : line)
        } catch {}
      },
    },
  )
}
