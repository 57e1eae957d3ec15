/** What the parts of the job room share: what surrounds them, the journalled state, and a history that does not repeat itself. */
import type { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import type { Source } from '../base/source.ts'
import type { Config } from '../config.ts'
import type { Engine } from '../ostree/engine.ts'
import type { Leftover } from '../ostree/tidy.ts'
import type { Judges } from './admit.ts'
import type { DeviceState } from './device.ts'
import type { History } from './history.ts'
import type { Journal } from './journal.ts'
import { type Meter, makeMeter } from './meter.ts'
import type { Offer, Offers } from './offers.ts'
import type { Problems } from './problems.ts'
import type { Cause, Job, State } from './state.ts'

export interface Surroundings {
  config: Config
  engine: Engine
  journal: Journal
  history: History
  log: Log
  offers: () => Offers
  /** This file, offered or not; where an id is given it must be that package. @throws Failure `changed` */
  examine: (path: string, id: string | undefined) => Promise<Offer>
  /** Open a file on whatever medium it is. */
  open: (path: string) => Promise<Source>
  /** what the device is now; asked anew */
  device: () => Promise<DeviceState>
  judges: (allowDowngrade: boolean) => Promise<Judges>
  /** the state is another */
  onChange: () => void
  /** the running step came further */
  onMove: () => void
  /** what could not be removed: it is told of, and tried again */
  tidied: (left: readonly Leftover[]) => void
  /** something is wrong with the device, or no longer: see Problems */
  problem: Problems['set']
}

export interface Core extends Surroundings {
  meter: Meter
  state(): State
  /** Journal the state and tell of it. */
  enter(next: State): Promise<void>
  /** A job repeats its steps after a crash; its history does not. */
  recordOnce(event: string, job: Job, facts: { [key: string]: unknown }): Promise<void>
}

export function makeCore(around: Surroundings): Core {
  const { journal, history, log, onChange, onMove } = around
  return {
    ...around,
    meter: makeMeter(onMove),
    state: () => journal.read().state,
    async enter(next) {
      await journal.write({ state: next })
      log.info({ state: next.at, ...('step' in next ? { step: next.step } : {}) }, 'state')
      onChange()
    },
    async recordOnce(event, job, facts) {
      const told = (await history.entries()).some(entry => entry.job === job.id && entry.event === event)
      if (!told) await history.add(event, { job: job.id, ...facts })
    },
  }
}

export const causeOf = ({ code, message, facts }: Failure): Cause => ({ code, text: message, facts })
