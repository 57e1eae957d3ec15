/**
 * What is known of sticks beyond their files: asked of a disposable child, without which everything else works as well. It
 * lives for one answer, since its memory is better used by the installation that follows.
 */
import { onLines } from '../base/lines.ts'
import { findProgram } from '../base/program.ts'
import { endGroup, start } from '../base/run.ts'
import type { Probe } from './prober.ts'

/** Seconds that an answer may take; a stick that hangs makes df hang. */
const PATIENCE = 10
/** Seconds after something was plugged in: what it is called matters less than what is on it. */
const LATER = 1
const BACK_OFF = { first: 5, most: 300 }

export interface Prober {
  last(): Probe
  /** Is anything plugged in that is worth asking about, and does all of it answer? Nothing is asked before. */
  need(needed: boolean): void
  /** Something was plugged in: ask soon. */
  ask(): void
  close(): void
}

/** @param onNews the answer differs from the last one: something was plugged in or taken out, or a size is known now */
export function openProber(onNews: () => void): Prober {
  let last: Probe = { devices: [], disks: [] }
  let child: ReturnType<typeof start> | undefined
  let needed = false
  let due = false
  let backOff = BACK_OFF.first
  let timer: NodeJS.Timeout | undefined

  function after(seconds: number): void {
    clearTimeout(timer)
    timer = setTimeout(() => void begin().catch(later), seconds * 1000)
    timer.unref()
  }

  function later(): void {
    after(backOff)
    backOff = Math.min(BACK_OFF.most, backOff * 2)
  }

  async function begin(): Promise<void> {
    const path = await findProgram('prober')
    if (!needed || child) return
    due = false
    // A group of its own: df, which it runs, hangs on a stick that does, and must end with it.
    const argv = [process.execPath, '--max-semi-space-size=1', path]
    const started = start(argv, ['ignore', 'pipe', 'ignore'], undefined, { group: true })
    child = started
    let answered = false
    // Never asked to end: one of its libraries ignores that.
    const patience = setTimeout(() => endGroup(started), PATIENCE * 1000)
    patience.unref()
    started.once('error', () => {}) // its end tells
    started.once('close', () => {
      clearTimeout(patience)
      if (child === started) child = undefined
      if (!needed) return
      if (!answered) later()
      else if (due) after(LATER)
    })
    onLines(started.stdout, line => {
      answered = true
      endGroup(started)
      backOff = BACK_OFF.first
      const next = JSON.parse(line) as Probe
      const isNews = JSON.stringify(next) !== JSON.stringify(last)
      last = next
      if (isNews) onNews()
    })
  }

  function ask(): void {
    due = true
    if (needed && !child) after(LATER)
  }

  function end(): void {
    clearTimeout(timer)
    if (child) endGroup(child)
  }

  return {
    last: () => last,
    need(now) {
      if (now === needed) return
      needed = now
      if (now) ask()
      else end()
    },
    ask,
    close() {
      needed = false
      end()
    },
  }
}
