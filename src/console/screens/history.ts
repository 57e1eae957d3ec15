/** History: what was done to the device, newest first, with all about the chosen entry; and the log of this console. */
import type { HistoryEntry } from '../../control/protocol.ts'
import type { Chain } from '../../update/history.ts'
import { cell } from '../glyphs.ts'
import { BLANK, entry, type Frame, type Line, row, type Screen, say } from '../lines.ts'
import { spoken } from '../numbers.ts'
import { entryReason, eventWords, when } from '../words.ts'

/** What the service answered, oldest first as it comes. */
export interface Past {
  entries: readonly HistoryEntry[]
  chain: Chain
}

/** One thing that this console saw. */
export interface Seen {
  at: string
  text: string
}

export function history(frame: Frame, past: Past | undefined, place: number): Screen {
  const { t } = frame
  const keys = [t.keys.choose, t.keys.log, t.keys.back]
  if (!past) return { head: t.history.head, lines: say(frame, t.history.loading), keys }
  const entries = [...past.entries].reverse()
  const at = Math.min(place, entries.length - 1)
  const chosen = entries[at]
  if (!chosen) return { head: t.history.head, lines: say(frame, t.history.empty), keys }
  const width = Math.max(...entries.map(one => when(one.at, t).length))
  return {
    head: t.history.head,
    lines: [],
    list: {
      entries: entries.map((one, i) => [
        entry(frame, `${cell(when(one.at, t), width, frame.glyphs)}  ${eventWords(one, t)}`, i === at),
      ]),
      chosen: at,
    },
    after: [BLANK, ...details(frame, chosen), BLANK, ...wholeness(frame, past.chain)],
    keys,
  }
}

function details(frame: Frame, one: HistoryEntry): Line[] {
  const { t } = frame
  const text = (key: string) => (typeof one[key] === 'string' ? (one[key] as string) : '')
  const facts: [string, string][] = [
    [t.history.reason, entryReason(one, t)],
    [t.history.code, text('code') && spoken(text('code'))],
    [t.history.commit, text('commit').slice(0, 16)],
    [t.history.package, text('package').slice(0, 16)],
    [t.history.by, text('job')],
  ]
  return facts.flatMap(([name, value]) => (value === '' ? [] : row(frame, name, value).slice(0, 3)))
}

const wholeness = (frame: Frame, { ok, lines, brokenAt }: Chain): Line[] =>
  ok
    ? say(frame, frame.t.history.whole(lines))
    : say(frame, frame.t.history.broken(brokenAt ?? 0), { bold: true, tone: 'bad' })

export function log(frame: Frame, seen: readonly Seen[], place: number): Screen {
  const { t } = frame
  const newest = [...seen].reverse()
  const at = Math.min(place, newest.length - 1)
  return {
    head: t.history.logHead,
    lines: newest.length === 0 ? say(frame, t.history.logEmpty) : [],
    list: {
      entries: newest.map((one, i) => [entry(frame, `${when(one.at, t)}  ${one.text}`, i === at)]),
      chosen: Math.max(0, at),
    },
    after: [BLANK, ...say(frame, newest[at]?.text ?? '')],
    keys: [t.keys.choose, t.keys.history, t.keys.back],
  }
}
