/**
 * The one job at a time: what is due next follows from the journalled state, so that a start of the service and the next
 * step of a running job are the same thing.
 */
import { makeCore, type Surroundings } from './core.ts'
import { makeReturns } from './going-back.ts'
import { makeInstalling } from './installing.ts'
import type { Meter } from './meter.ts'
import { makeRepairs } from './repair.ts'
import { makeRequests, type Requests } from './requests.ts'
import { changesBootOrder, type State } from './state.ts'
import { makeVerdicts } from './verdict.ts'

export interface JobRoom extends Requests {
  meter: Meter
  /** Do whatever is due, until something outside must happen. */
  advance(): Promise<void>
  /** Run the health checks of this boot, if they have not run yet. */
  checkBoot(): Promise<void>
  /** What runs is good, and a trial that no job knows of is ended. @throws Failure; it is to be tried again */
  endForgotten(): Promise<void>
  /** Begin nothing more; resolves when what must not be left half done is done. */
  stop(): Promise<void>
}

/** Milliseconds after which what could not be done is tried again: a disk that could not be written may be writable by then. */
const AGAIN = 5000

export function openJobRoom(around: Surroundings): JobRoom {
  const core = makeCore(around)
  const installing = makeInstalling(core)
  const returns = makeReturns(core)
  const verdicts = makeVerdicts(core, returns)
  const repairs = makeRepairs(core)
  let working: Promise<void> | undefined
  let again: NodeJS.Timeout | undefined
  let stopping = false
  let hasWaited = false

  /** What another program holds is asked for again later. */
  function waitAWhile(): undefined {
    again = setTimeout(() => {
      hasWaited = true
      void advance()
    }, AGAIN)
  }

  function advance(): Promise<void> {
    clearTimeout(again)
    working ??= (async () => {
      for (;;) {
        const next = stopping ? undefined : await act(core.state())
        if (!next) return
        await core.enter(next)
      }
    })()
      .catch(error => {
        core.log.error({ err: error }, 'cannot go on; it is tried again')
        again = setTimeout(() => void advance(), AGAIN)
      })
      .finally(() => {
        working = undefined
        core.onChange()
      })
    return working
  }

  /** The state after what is due now was done, or undefined when something outside must happen first. */
  async function act(now: State): Promise<State | undefined> {
    switch (now.at) {
      case 'installing':
        if (now.paused) return undefined
        if (now.waiting && !hasWaited) return waitAWhile()
        hasWaited = false
        return installing.step(now.job, now.step)
      case 'undoing':
        return installing.undo(now)
      case 'rolling-back':
        return returns.rollBack(now.job)
      case 'repairing':
        return repairs.run(now.job)
      case 'trying':
        return verdicts.judge(now.job)
      case 'falling-back':
        return returns.fallBack(now.job, now.cause)
      default:
        return undefined
    }
  }

  return {
    ...makeRequests(core, installing, {
      advance,
      isWorking: () => working !== undefined,
      stopRepair: () => repairs.abort(),
      async interrupt() {
        verdicts.interrupt()
        await working
        clearTimeout(again)
      },
    }),
    meter: core.meter,
    advance,
    checkBoot: verdicts.checkBoot,
    endForgotten: verdicts.endForgotten,
    async stop() {
      stopping = true
      clearTimeout(again)
      // Everything else goes on in the next life of the service as if nothing had been.
      if (changesBootOrder(core.state())) await working
    },
  }
}
