/** The control socket: HTTP with JSON for any client, and the snapshot as server-sent events. */
import { once } from 'node:events'
import { chmod, chown, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { asFailure, errno, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { safe } from '../base/text.ts'
import { isRefusalCode } from '../trust.ts'
import type { Updater } from '../update/updater.ts'
import type { ErrorBody, Snapshot } from './protocol.ts'

const Install = v.strictObject({
  id: v.optional(v.pipe(v.string(), v.minLength(8))),
  path: v.optional(v.pipe(v.string(), v.startsWith('/', 'must be an absolute path'))),
  allowDowngrade: v.optional(v.boolean()),
  disownNewer: v.optional(v.boolean()),
  reason: v.optional(v.pipe(v.string(), v.maxLength(500))),
})
const Rollback = v.strictObject({
  index: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  reason: v.pipe(v.string(), v.maxLength(500)),
  force: v.optional(v.boolean()),
})
const Repair = v.strictObject({
  id: v.optional(v.pipe(v.string(), v.minLength(8))),
  path: v.optional(v.pipe(v.string(), v.startsWith('/', 'must be an absolute path'))),
})
const Place = v.strictObject({ index: v.pipe(v.number(), v.integer(), v.minValue(0)) })

/** At most so many snapshots a second, however fast the bytes come. */
const FRAMES = 10
const KEEP_ALIVE = 5000
/** No request of this protocol is longer. */
const BODY_LIMIT = 16 * 1024

export interface Changes {
  /** Call when the snapshot is another than before. */
  tell(): void
  /** @returns how to stop listening */
  listen(listener: () => void): () => void
}

export function makeChanges(): Changes {
  const listeners = new Set<() => void>()
  return {
    tell() {
      for (const listener of listeners) listener()
    },
    listen(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** What one request is answered with; nothing for one that has been answered. */
type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  query: URLSearchParams,
) => Promise<[number, unknown] | undefined>

/** Requests by method and path, with node:http alone: a web framework costs more memory than everything else here. */
export function makeApp(updater: Updater, changes: Changes): RequestListener {
  const accepted = (): [number, unknown] => [202, { job: updater.snapshot().job }]
  const pinned = (isPinned: boolean) => async (request: IncomingMessage) => {
    await updater.setPinned((await body(request, Place)).index, isPinned)
    return [200, { deployments: updater.snapshot().deployments }] as [number, unknown]
  }
  const frames = makeFrames(updater, changes)
  const routes: Record<string, Handler> = {
    'GET /v1/status': async () => [200, updater.snapshot()],
    'GET /v1/events': async (_, response) => {
      await stream(response, frames)
      return undefined
    },
    'GET /v1/history': async (_request, _response, query) => {
      const entries = await updater.history()
      return [200, query.get('verify') ? { entries, chain: await updater.verifyHistory() } : { entries }]
    },
    'GET /v1/doctor': async (_request, _response, query) => [200, { checks: await updater.doctor(query.has('deep')) }],
    'POST /v1/install': async request => {
      await updater.install(await body(request, Install))
      return accepted()
    },
    'POST /v1/rollback': async request => {
      await updater.rollback(await body(request, Rollback))
      return accepted()
    },
    'POST /v1/repair': async request => {
      await updater.repair(await body(request, Repair))
      return accepted()
    },
    'POST /v1/remove': async request => {
      await updater.remove((await body(request, Place)).index)
      return [200, { deployments: updater.snapshot().deployments }]
    },
    'POST /v1/cancel': async () => {
      await updater.cancel()
      return accepted()
    },
    'POST /v1/reboot': async () => {
      await updater.reboot()
      return accepted()
    },
    'POST /v1/pin': pinned(true),
    'POST /v1/unpin': pinned(false),
  }
  return async (request, response) => {
    try {
      const [path, query] = (request.url ?? '').split('?', 2)
      const route = `${request.method} ${path}`
      const handler = Object.hasOwn(routes, route) ? routes[route] : undefined
      if (!handler) throw new Failure('no-such-route', `cannot answer ${route}: see docs/api.md`)
      const result = await handler(request, response, new URLSearchParams(query))
      if (result) answer(response, ...result)
    } catch (error) {
      refuse(response, asFailure(error, 'do that'))
    }
    request.resume() // what nobody asked for would keep the connection from its next request
  }
}

interface Frame {
  /** rises with every change of the snapshot */
  version: number
  event: Buffer
}

interface Frames {
  /** Resolves with the newest frame once there is another than that of this version; with none when the signal aborts. */
  after(version: number, signal: AbortSignal): Promise<Frame | undefined>
}

/**
 * Snapshots as events, for all streams together: one is made when a stream is ready for it, and then not another one for a
 * moment, however many streams there are and however fast the bytes come. Nothing of it is kept.
 */
function makeFrames(updater: Updater, changes: Changes): Frames {
  let version = 1
  let made = Number.NEGATIVE_INFINITY
  let making: Promise<Frame> | undefined
  changes.listen(() => {
    version++
  })

  async function make(): Promise<Frame> {
    await sleep(Math.max(0, made + 1000 / FRAMES - performance.now()))
    made = performance.now()
    making = undefined
    const snapshot = JSON.stringify(updater.snapshot() satisfies Snapshot)
    return { version, event: Buffer.from(`event: snapshot\ndata: ${snapshot}\n\n`) }
  }

  const changed = (last: number, signal: AbortSignal) =>
    new Promise<void>(resolve => {
      const look = () => {
        if (version === last && !signal.aborted) return
        stop()
        signal.removeEventListener('abort', look)
        resolve()
      }
      const stop = changes.listen(look)
      signal.addEventListener('abort', look)
      look()
    })

  return {
    async after(last, signal) {
      await changed(last, signal)
      if (signal.aborted) return undefined
      making ??= make()
      return making
    },
  }
}

/** Every snapshot that the client is ready for, the newest each time, until it goes. */
async function stream(response: ServerResponse, frames: Frames): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const write = async (data: string | Buffer) => {
    if (!response.write(data)) await once(response, 'drain', { signal: gone.signal }).catch(() => {})
  }
  const alive = setInterval(() => response.writableNeedDrain || response.write(': still here\n\n'), KEEP_ALIVE)
  response.once('close', () => clearInterval(alive))
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  for (let version = 0; !gone.signal.aborted; ) {
    const frame = await frames.after(version, gone.signal)
    if (!frame || gone.signal.aborted) return
    version = frame.version
    await write(frame.event)
  }
}

/** @throws Failure `bad-request` */
async function body<T>(request: IncomingMessage, schema: v.GenericSchema<unknown, T>): Promise<T> {
  if (!(Number(request.headers['content-length'] ?? BODY_LIMIT + 1) <= BODY_LIMIT))
    throw new Failure('bad-request', `cannot read the request: it needs a Content-Length of at most ${BODY_LIMIT}`)
  let value: unknown
  try {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    value = JSON.parse(Buffer.concat(chunks).toString() || '{}')
  } catch (error) {
    throw new Failure('bad-request', 'cannot read the request: it is no JSON', { cause: error })
  }
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  throw new Failure('bad-request', `cannot read the request: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`)
}

const STATUS: { [code: string]: number } = {
  'bad-request': 400,
  'not-found': 404,
  'no-such-route': 404,
  ambiguous: 409,
  busy: 409,
  'not-cancellable': 409,
  'already-booted': 409,
  'not-removable': 409,
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

function refuse(response: ServerResponse, { code, message, facts }: Failure): void {
  if (response.headersSent) return void response.destroy()
  const status = STATUS[code] ?? (isRefusalCode(code) ? 422 : 500)
  answer(response, status, {
    error: { code, message: safe(message, 2000), ...(facts && { facts }) },
  } satisfies ErrorBody)
}

/**
 * Listen on the socket: its file mode, 0660 for root and `group`, is the access control.
 * @throws Failure `already-running` when another service answers there
 */
export async function listen(app: RequestListener, path: string, group: number | undefined, log: Log): Promise<Server> {
  if (await answers(path)) throw new Failure('already-running', `cannot listen on ${path}: another superblockd does`)
  await unlink(path).catch(error => {
    if (errno(error) !== 'ENOENT') throw error
  })
  const server = createServer(app)
  const umask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
  } finally {
    process.umask(umask)
  }
  if (group !== undefined)
    await chown(path, 0, group).catch(error => log.warn({ err: error }, 'cannot give the socket away'))
  await chmod(path, 0o660)
  return server
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
