/** How far the running step is: bytes, rate, time left, and a heartbeat that tells slow from stuck. */
import type { Progress } from './snapshot.ts'
import { STEPS } from './state.ts'

/** Seconds over which the rate is taken: long enough to be calm, short enough to follow a slow stick. */
const WINDOW = 5

export interface Meter {
  begin(step: Progress['step'], bytesTotal: number): void
  /** Bytes came further since the last call. */
  add(bytes: number): void
  /** Bytes are at this count now. */
  set(bytes: number): void
  /** Something moved that is not counted in bytes. */
  beat(): void
  read(): Progress
}

/** @param now seconds, monotonic */
export function makeMeter(onMove: () => void, now: () => number = () => performance.now() / 1000): Meter {
  let step: Progress['step'] = 'admit'
  let total = 0
  let done = 0
  let heartbeat = new Date().toISOString()
  let samples: { at: number; done: number }[] = []

  const move = () => {
    heartbeat = new Date().toISOString()
    const at = now()
    const last = samples.at(-1)
    if (!last || at - last.at >= 0.1) samples.push({ at, done })
    while (samples.length > 2 && at - (samples[0]?.at ?? at) > WINDOW) samples.shift()
    onMove()
  }
  const rate = () => {
    const first = samples[0]
    const seconds = first ? now() - first.at : 0
    return first && seconds >= 0.3 ? Math.max(0, (done - first.done) / seconds) : 0
  }

  return {
    begin(nextStep, bytesTotal) {
      step = nextStep
      total = bytesTotal
      done = 0
      samples = []
      move()
    },
    add(bytes) {
      done = Math.min(done + bytes, total)
      move()
    },
    set(bytes) {
      done = Math.min(bytes, total)
      move()
    },
    beat: move,
    read() {
      const perSecond = Math.round(rate())
      const isStep = (STEPS as readonly string[]).includes(step)
      const place = isStep ? (STEPS as readonly string[]).indexOf(step) + 1 : step === 'repair' ? 2 : 1
      return {
        step,
        at: place,
        of: isStep ? STEPS.length : step === 'rollback' ? 1 : 2,
        bytesDone: done,
        bytesTotal: total,
        rate: perSecond,
        ...(total > done && perSecond > 0 ? { eta: Math.ceil((total - done) / perSecond) } : {}),
        heartbeat,
      }
    },
  }
}
