/** The real control socket in front of a device that is a script: it shows the snapshots that a test sets, and notes what is asked. */
import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Failure } from '../../src/base/failure.ts'
import { makeLog } from '../../src/base/log.ts'
import type { Examination, HistoryEntry, JobInfo, Snapshot } from '../../src/control/protocol.ts'
import { listen, makeApp, makeChanges } from '../../src/control/server.ts'
import type { Chain } from '../../src/update/history.ts'
import { snapshot } from './snapshots.ts'

type Verb = 'install' | 'rollback' | 'cancel' | 'repair' | 'remove' | 'reboot' | 'pin' | 'unpin'

export interface Control {
  socket: string
  /** every request that would change the device: its verb and what came with it */
  asked: [Verb, unknown][]
  /** what history, its check and doctor answer */
  entries: HistoryEntry[]
  chain: Chain
  examinations: Examination[]
  set(next: Snapshot): void
  /** the same with another job */
  job(next: JobInfo | null): void
  /** how often a snapshot was taken, for whomever */
  taken(): number
  /** somebody was given the snapshot that is set now */
  told(): Promise<void>
  /** before this request is answered, this happens */
  on(verb: Verb, then: (what: unknown) => void): void
  /** from now on this request is refused */
  refuse(verb: Verb, failure: Failure): void
  /** end every connection and stop listening, as a restart of the service would */
  stop(): Promise<void>
  listen(): Promise<void>
  /** stop, and remove the socket's folder */
  close(): Promise<void>
}

export async function makeControl(): Promise<Control> {
  const folder = await mkdtemp(join(tmpdir(), 'sb-control-'))
  const socket = join(folder, 'control.sock')
  const changes = makeChanges()
  const log = makeLog('silent')
  const then = new Map<Verb, (what: unknown) => void>()
  let now = snapshot()
  let server: Server | undefined
  let taken = 0
  const waiting: (() => void)[] = []

  const ask = async (verb: Verb, what?: unknown) => {
    control.asked.push([verb, what])
    then.get(verb)?.(what)
  }
  const app = makeApp(
    {
      snapshot() {
        taken++
        for (const resolve of waiting.splice(0)) resolve()
        return now
      },
      install: request => ask('install', request),
      rollback: request => ask('rollback', request),
      repair: request => ask('repair', request),
      remove: index => ask('remove', index),
      cancel: () => ask('cancel'),
      reboot: () => ask('reboot'),
      setPinned: (index, pinned) => ask(pinned ? 'pin' : 'unpin', index),
      history: async () => control.entries,
      verifyHistory: async () => control.chain,
      doctor: async () => control.examinations,
      close: async () => {},
    },
    changes,
  )
  const control: Control = {
    socket,
    asked: [],
    entries: [],
    chain: { ok: true, lines: 0 },
    examinations: [],
    set(next) {
      now = next
      changes.tell()
    },
    job: next => control.set({ ...now, job: next }),
    taken: () => taken,
    told: () => new Promise(resolve => waiting.push(resolve)),
    on: (verb, what) => void then.set(verb, what),
    refuse: (verb, failure) =>
      void then.set(verb, () => {
        throw failure
      }),
    async listen() {
      server = await listen(app, socket, undefined, log)
    },
    async stop() {
      const ended = new Promise(resolve => server?.close(resolve))
      server?.closeAllConnections()
      await ended
    },
    async close() {
      if (server?.listening) await control.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
  await control.listen()
  return control
}
