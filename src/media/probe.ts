/** What is known of sticks beyond their files: asked of a disposable child, without which everything else works as well. */
import { onLines } from '../base/lines.ts'
import { findProgram } from '../base/program.ts'
import { endGroup, start } from '../base/run.ts'
import type { Probe } from './prober.ts'

/** Seconds that an answer may take; a stick that hangs makes df hang. */
const PATIENCE = 10
const REFRESH = 30
/** Seconds after something was plugged in: what it is called matters less than what is on it. */
const LATER = 1
const BACK_OFF = { first: 5, most: 300 }

export interface Prober {
  last(): Probe
  /** Is anything plugged in that is worth asking about? The child lives only while there is. */
  need(needed: boolean): void
  /** Ask now. */
  ask(): void
  close(): void
}

/** @param onNews the answer differs from the last one: something was plugged in or taken out, or a size is known now */
export function openProber(onNews: () => void): Prober {
  let last: Probe = { devices: [], disks: [] }
  let child: ReturnType<typeof start> | undefined
  let needed = false
  let backOff = BACK_OFF.first
  let restart: NodeJS.Timeout | undefined
  let patience: NodeJS.Timeout | undefined

  async function begin(): Promise<void> {
    const path = await findProgram('prober')
    if (!needed || child) return
    // A group of its own: df, which it runs, hangs on a stick that does, and must end with it.
    const argv = [process.execPath, '--max-semi-space-size=1', path]
    const started = start(argv, ['pipe', 'pipe', 'ignore'], undefined, { group: true })
    child = started
    started.stdin?.on('error', () => {}) // its end tells
    started.once('error', () => {})
    started.once('close', () => {
      clearTimeout(patience)
      if (child === started) child = undefined
      if (needed) again()
    })
    onLines(started.stdout, line => {
      clearTimeout(patience)
      backOff = BACK_OFF.first
      const next = JSON.parse(line) as Probe
      const isNews = JSON.stringify(next) !== JSON.stringify(last)
      last = next
      if (isNews) onNews()
    })
    ask()
  }

  function again(): void {
    clearTimeout(restart)
    restart = setTimeout(() => void begin().catch(again), backOff * 1000)
    restart.unref()
    backOff = Math.min(BACK_OFF.most, backOff * 2)
  }

  function ask(): void {
    if (!child) return
    child.stdin?.write('\n')
    clearTimeout(patience)
    patience = setTimeout(end, PATIENCE * 1000)
    patience.unref()
  }

  /** Never asked to end: one of its libraries ignores that. */
  function end(): void {
    if (child) endGroup(child)
  }

  const refresh = setInterval(ask, REFRESH * 1000)
  return {
    last: () => last,
    need(now) {
      if (now === needed) return
      needed = now
      clearTimeout(restart)
      if (now) {
        restart = setTimeout(() => void begin().catch(again), LATER * 1000)
        restart.unref()
      } else end()
    },
    ask,
    close() {
      needed = false
      clearInterval(refresh)
      clearTimeout(restart)
      end()
    },
  }
}
