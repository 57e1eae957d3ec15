/** The service as seen by CLI and console: each request of the control socket is one typed function, with node:http alone so that both start fast. */
import { type IncomingMessage, request } from 'node:http'
import { asFailure, errno, Failure } from '../base/failure.ts'
import type { Chain } from '../update/history.ts'
import {
  API,
  type ErrorBody,
  type Examination,
  type HistoryEntry,
  type InstallRequest,
  type JobInfo,
  type RollbackRequest,
  type Snapshot,
} from './protocol.ts'

export interface Client {
  status(): Promise<Snapshot>
  /**
   * Each snapshot as it comes, the present one first. Ends when `signal` aborts; throws a Failure when the service goes
   * away or is silent for 15 s: connecting again is the caller's affair.
   */
  events(signal: AbortSignal): AsyncGenerator<Snapshot>
  /** @returns the job that was started; a no comes as a Failure with the service's own code and sentence */
  install(what: InstallRequest): Promise<JobInfo>
  cancel(): Promise<void>
  rollback(what: RollbackRequest): Promise<JobInfo>
  reboot(): Promise<void>
  pin(index: number): Promise<void>
  unpin(index: number): Promise<void>
  /** delete a deployment that may go */
  remove(index: number): Promise<void>
  history(verify: true): Promise<{ entries: HistoryEntry[]; chain: Chain }>
  history(verify?: false): Promise<{ entries: HistoryEntry[] }>
  doctor(): Promise<{ checks: Examination[] }>
}

const ANSWER_LIMIT = 64 * 1024 * 1024
/** The service sends something at least every 5 s on an event stream. */
const SILENCE = 15_000
/** An answer may need a look at a slow stick. */
const PATIENCE = 60_000

const NEXT = 'see `systemctl status superblockd`'

/** @param socket path of the control socket; nothing is opened before the first request */
export function connect(socket: string): Client {
  const post = (path: string, body: unknown = {}) => call(socket, 'POST', path, body)
  const get = (path: string) => call(socket, 'GET', path)
  return {
    status: async () => known(await get('/v1/status')),
    events: signal => events(socket, signal),
    install: async what => started(await post('/v1/install', what)),
    cancel: async () => void (await post('/v1/cancel')),
    rollback: async what => started(await post('/v1/rollback', what)),
    reboot: async () => void (await post('/v1/reboot')),
    pin: async index => void (await post('/v1/pin', { index })),
    unpin: async index => void (await post('/v1/unpin', { index })),
    remove: async index => void (await post('/v1/remove', { index })),
    history: (verify?: boolean) => get(verify ? '/v1/history?verify=1' : '/v1/history') as Promise<never>,
    doctor: () => get('/v1/doctor') as Promise<{ checks: Examination[] }>,
  }
}

/** A newer protocol could mean something else by the same field, so it is not guessed at. */
function known(answer: unknown): Snapshot {
  const snapshot = answer as Snapshot
  if (typeof snapshot?.api !== 'number')
    throw new Failure('service-answer', `cannot understand the service: its status names no protocol; ${NEXT}`)
  if (snapshot.api > API)
    throw new Failure(
      'other-version',
      `cannot work with this service: it speaks protocol ${snapshot.api}, this program ${API}; use the program that was installed with the service`,
    )
  return snapshot
}

function started(answer: unknown): JobInfo {
  const { job } = answer as { job?: JobInfo | null }
  if (job) return job
  throw new Failure('service-answer', `cannot follow the job: the service accepted it and names none; ${NEXT}`)
}

function reach(socket: string, error: unknown): Failure {
  if (error instanceof Failure) return error
  const reason = errno(error)
  const cause = { cause: error }
  if (reason === 'ENOENT' || reason === 'ECONNREFUSED')
    return new Failure('service-down', `cannot reach the service at ${socket}: it is not running; ${NEXT}`, cause)
  if (reason === 'EACCES' || reason === 'EPERM')
    return new Failure(
      'service-denied',
      `cannot reach the service at ${socket}: permission denied; run this as root or as a member of the group superblock`,
      cause,
    )
  if (reason === 'ECONNRESET' || reason === 'EPIPE')
    return new Failure('service-lost', `cannot go on: the service at ${socket} ended the connection; ${NEXT}`, cause)
  return asFailure(error, `talk to the service at ${socket}`)
}

function send(
  socket: string,
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  const headers: Record<string, string | number> = {
    accept: 'application/json, text/event-stream',
    connection: 'close',
  }
  if (text !== undefined) {
    headers['content-type'] = 'application/json'
    headers['content-length'] = Buffer.byteLength(text)
  }
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath: socket, method, path, headers, agent: false, signal, host: 'superblock' },
      resolve,
    )
    asked.setTimeout(PATIENCE, () => asked.destroy(silent(socket, PATIENCE)))
    asked.on('error', reject)
    asked.end(text)
  })
}

const silent = (socket: string, after: number) =>
  new Failure('service-silent', `cannot go on: the service at ${socket} did not answer for ${after / 1000} s; ${NEXT}`)

async function call(socket: string, method: string, path: string, body?: unknown): Promise<unknown> {
  try {
    return await answer(await send(socket, method, path, body), `${method} ${path}`)
  } catch (error) {
    throw reach(socket, error)
  }
}

/** The parsed body, or the Failure that an error answer carries. */
async function answer(from: IncomingMessage, what: string): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of from) {
    size += (chunk as Buffer).length
    if (size > ANSWER_LIMIT)
      throw new Failure('service-answer', `cannot read the service's answer to ${what}: too long`)
    chunks.push(chunk as Buffer)
  }
  const text = Buffer.concat(chunks).toString('utf8')
  const status = from.statusCode ?? 0
  const ok = status >= 200 && status < 300
  let value: unknown
  try {
    value = text === '' && ok ? {} : JSON.parse(text)
  } catch (cause) {
    throw new Failure('service-answer', `cannot understand the service's answer to ${what} (status ${status})`, {
      cause,
    })
  }
  if (ok) return value
  const error = (value as Partial<ErrorBody> | null)?.error
  if (typeof error?.code === 'string' && typeof error.message === 'string')
    throw new Failure(error.code, error.message, { facts: error.facts })
  throw new Failure('service-answer', `cannot understand the service's answer to ${what} (status ${status})`)
}

async function* events(socket: string, signal: AbortSignal): AsyncGenerator<Snapshot> {
  if (signal.aborted) return
  try {
    const stream = await send(socket, 'GET', '/v1/events', undefined, signal)
    if (stream.statusCode !== 200) throw asFailure(await answer(stream, 'GET /v1/events'), 'follow the service')
    stream.setTimeout(SILENCE, () => stream.destroy(silent(socket, SILENCE)))
    stream.setEncoding('utf8')
    let rest = ''
    for await (const chunk of stream) {
      const blocks = (rest + chunk).split('\n\n')
      rest = blocks.pop() ?? ''
      if (rest.length > ANSWER_LIMIT)
        throw new Failure('service-answer', 'cannot follow the service: an event is too long')
      for (const block of blocks) {
        const snapshot = parseEvent(block)
        if (snapshot) yield snapshot
      }
    }
    throw new Failure('service-lost', `cannot go on: the service at ${socket} ended the connection; ${NEXT}`)
  } catch (error) {
    if (signal.aborted) return
    throw reach(socket, error)
  }
}

/** One event of the stream (HTML standard, server-sent events); comments and events of other names yield nothing. */
function parseEvent(block: string): Snapshot | undefined {
  let name = 'message'
  const data: string[] = []
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith('event:')) name = line.slice(6).trim()
    else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
  }
  if (name !== 'snapshot' || data.length === 0) return undefined
  try {
    return known(JSON.parse(data.join('\n')))
  } catch (error) {
    throw asFailure(error, 'understand an event of the service')
  }
}
