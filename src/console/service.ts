/** The service as the console has it: the last snapshot or why there is none, the heartbeat by a steady clock, and what was seen. */
import { setTimeout as sleep } from 'node:timers/promises'
import { useEffect, useRef, useState } from 'react'
import { asFailure, type Failure } from '../base/failure.ts'
import type { Client } from '../control/client.ts'
import type { Snapshot } from '../control/protocol.ts'
import { narrator } from './line.ts'
import type { Seen } from './screens/history.ts'
import type { Pulse } from './screens/progress.ts'
import type { Texts } from './texts.ts'

/** Between attempts to reach the service, so that it is back on the screen well within 2 s of its return; milliseconds. */
const AGAIN = 700
/** Between two drawings: faster is not readable, and costs a small device more than the update itself; milliseconds. */
const PAUSE = 200
/** Lines of the log that are kept. */
const LOG = 200

export interface Link {
  /** the last there was, also when the service is away */
  snapshot?: Snapshot
  /** why there is no service now */
  lost?: Failure
}

/** Follows the service for as long as the component lives, connecting again by itself. */
export function useService(client: Client): Link {
  const [link, setLink] = useState<Link>({})
  useEffect(() => {
    const stop = new AbortController()
    let latest: Link = {}
    let pause: NodeJS.Timeout | undefined
    let due = false
    const show = () => {
      pause = due ? setTimeout(show, PAUSE) : undefined
      if (due) setLink(latest)
      due = false
    }
    void follow(client, stop.signal, change => {
      latest = { ...latest, ...change }
      due = true
      if (pause === undefined) show()
    })
    return () => {
      stop.abort()
      clearTimeout(pause)
    }
  }, [client])
  return link
}

async function follow(client: Client, signal: AbortSignal, set: (change: Link) => void): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const snapshot of client.events(signal)) set({ snapshot, lost: undefined })
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

/** What happened before the eyes of this console, in the words of the plain lines. */
export function useLog({ snapshot, lost }: Link, t: Texts): readonly Seen[] {
  const log = useRef<{ seen: Seen[]; news: ReturnType<typeof narrator>; lost: boolean }>(undefined)
  log.current ??= { seen: [], news: narrator(t), lost: false }
  const { current } = log
  const said = lost ? [] : current.news(snapshot?.job ?? null)
  if (lost && !current.lost) said.push(t.wait.gone)
  current.lost = lost !== undefined
  if (said.length > 0) {
    const at = new Date().toISOString()
    current.seen = [...current.seen, ...said.map(text => ({ at, text }))].slice(-LOG)
  }
  return current.seen
}
