/** The service as the console has it: the last snapshot or why there is none, and the heartbeat by a steady clock. */
import { setTimeout as sleep } from 'node:timers/promises'
import { useEffect, useRef, useState } from 'react'
import { asFailure, type Failure } from '../base/failure.ts'
import type { Client } from '../control/client.ts'
import type { Snapshot } from '../control/protocol.ts'
import type { Pulse } from './screens/progress.tsx'

/** Between attempts to reach the service, so that it is back on the screen within 2 s of its return; milliseconds. */
const AGAIN = 1000

export interface Link {
  snapshot?: Snapshot
  lost?: Failure
}

/** Follows the service for as long as the component lives, connecting again by itself. */
export function useService(client: Client): Link {
  const [link, setLink] = useState<Link>({})
  useEffect(() => {
    const stop = new AbortController()
    void follow(client, stop.signal, setLink)
    return () => stop.abort()
  }, [client])
  return link
}

async function follow(client: Client, signal: AbortSignal, set: (link: Link) => void): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const snapshot of client.events(signal)) set({ snapshot })
    } catch (error) {
      // Whatever it was, a later answer may be a good one: the service may be in the middle of being replaced.
      set({ lost: asFailure(error, 'follow the service') })
    }
    await sleep(AGAIN, undefined, { signal }).catch(() => {})
  }
}

/** Counts heartbeats and the seconds since the last; ticks only while there is one to watch. */
export function usePulse(heartbeat: string | undefined): Pulse {
  const last = useRef({ heartbeat: '', at: 0, beats: 0 })
  const [, tick] = useState(0)
  if (heartbeat !== undefined && heartbeat !== last.current.heartbeat)
    last.current = { heartbeat, at: performance.now(), beats: last.current.beats + 1 }
  const watching = heartbeat !== undefined
  useEffect(() => {
    if (!watching) return
    const timer = setInterval(() => tick(count => count + 1), 1000)
    return () => clearInterval(timer)
  }, [watching])
  return { beats: last.current.beats, quiet: watching ? (performance.now() - last.current.at) / 1000 : 0 }
}
