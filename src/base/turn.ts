/** Long work on the one thread of a service: everything else gets its turn in between. */
import { setImmediate as others } from 'node:timers/promises'

/** Milliseconds after which the others come: a client waits no longer for its answer. */
const TURN = 10

export interface Turn {
  /** has this worked long enough? Asking costs next to nothing */
  isOver(): boolean
  /** let the others have theirs */
  pass(): Promise<void>
}

export function takeTurn(): Turn {
  let since = performance.now()
  return {
    isOver: () => performance.now() - since >= TURN,
    async pass() {
      await others()
      since = performance.now()
    },
  }
}
