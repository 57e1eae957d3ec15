/** The client against the real server, and against servers that misbehave. */
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createPlainServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { connect } from '../../../src/control/client.ts'
import type { Snapshot } from '../../../src/control/protocol.ts'
import { isUnreachable } from '../../../src/control/protocol.ts'
import { type Control, makeControl } from '../../kit/control.ts'
import { job, snapshot } from '../../kit/snapshots.ts'

let folder: string
let server: Server | undefined
let control: Control | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-client-'))
})
afterEach(async () => {
  server?.closeAllConnections()
  server?.close()
  server = undefined
  await control?.close()
  control = undefined
  await rm(folder, { recursive: true })
})

/** A service that answers whatever a test wants, well-formed or not. */
async function serve(listener: RequestListener): Promise<string> {
  const socket = join(folder, 's')
  server = createServer(listener)
  await new Promise<void>(resolve => server?.listen(socket, resolve))
  return socket
}

const failureOf = (promise: Promise<unknown>): Promise<Failure> =>
  promise.then(
    () => expect.unreachable('it did not fail'),
    error => {
      expect(error).toBeInstanceOf(Failure)
      return error
    },
  )

async function collect(events: AsyncGenerator<Snapshot>): Promise<{ seen: Snapshot[]; failure?: Failure }> {
  const seen: Snapshot[] = []
  try {
    for await (const one of events) seen.push(one)
    return { seen }
  } catch (error) {
    return { seen, failure: error as Failure }
  }
}

test('status is the snapshot, with fields that this client does not know', async () => {
  const socket = await serve((_, response) => response.end(JSON.stringify({ ...snapshot(), weather: 'fine' })))
  expect(await connect(socket).status()).toEqual({ ...snapshot(), weather: 'fine' })
})

test('a service of a newer protocol is not guessed at', async () => {
  const socket = await serve((_, response) => response.end(JSON.stringify({ ...snapshot(), api: 2 })))
  expect((await failureOf(connect(socket).status())).code).toBe('other-version')
  expect(await failureOf(connect(socket).status())).toHaveProperty('message', expect.stringContaining('protocol 2'))
})

test.each([
  ['no socket', async () => join(folder, 'nothing'), 'service-down'],
  [
    'a socket that nobody listens on',
    async () => {
      const path = join(folder, 'left')
      const first = createPlainServer().listen(path)
      await new Promise(resolve => first.once('listening', resolve))
      // The file of a killed service stays behind.
      await rename(path, `${path}.kept`)
      await new Promise(resolve => first.close(resolve))
      return `${path}.kept`
    },
    'service-down',
  ],
  ['a service that hangs up', () => serve(request => request.socket.destroy()), 'service-lost'],
])('%s: says so, and what to do next', async (_, at, code) => {
  const failure = await failureOf(connect(await at()).status())
  expect(failure.code).toBe(code)
  expect(failure.message).toMatch(/^cannot .*systemctl status superblockd/)
  expect(isUnreachable(failure)).toBe(true)
})

test.each([
  ['no JSON', 200, '<html>'],
  ['an error without a code', 500, '{"oops":1}'],
  ['a status without a protocol', 200, '{}'],
])('an answer that is %s is a failure of its own', async (_, status, text) => {
  const socket = await serve((_request, response) => response.writeHead(status).end(text))
  const failure = await failureOf(connect(socket).status())
  expect(failure.code).toBe('service-answer')
  expect(isUnreachable(failure)).toBe(false)
})

test('a refusal keeps its code and sentence', async () => {
  control = await makeControl()
  control.refuse('install', new Failure('older', 'cannot install it: it is older'))
  const failure = await failureOf(connect(control.socket).install({ id: '12345678' }))
  expect([failure.code, failure.message]).toEqual(['older', 'cannot install it: it is older'])
})

test('every request reaches the service as it was meant', async () => {
  control = await makeControl()
  control.set(snapshot({ job: job() }))
  control.entries = [{ at: 'now', event: 'good', prev: '' }]
  control.chain = { ok: false, lines: 1, brokenAt: 1 }
  control.examinations = [{ name: 'keys', ok: true, text: '1 key' }]
  const client = connect(control.socket)
  expect(await client.install({ path: '/a/b.superblock', allowDowngrade: true })).toEqual(job())
  expect(await client.rollback({ index: 1, reason: 'because' })).toEqual(job())
  await client.cancel()
  await client.reboot()
  await client.pin(1)
  await client.unpin(2)
  expect(control.asked).toEqual([
    ['install', { path: '/a/b.superblock', allowDowngrade: true }],
    ['rollback', { index: 1, reason: 'because' }],
    ['cancel', undefined],
    ['reboot', undefined],
    ['pin', 1],
    ['unpin', 2],
  ])
  expect(await client.history()).toEqual({ entries: control.entries })
  expect(await client.history(true)).toEqual({ entries: control.entries, chain: control.chain })
  expect(await client.doctor()).toEqual({ checks: control.examinations })
})

test('events: the present snapshot at once, then each change, until the reader stops', async () => {
  control = await makeControl()
  const seen: (string | undefined)[] = []
  for await (const { job: now } of connect(control.socket).events(new AbortController().signal)) {
    seen.push(now?.id)
    if (seen.length === 3) break
    control.job(job({ id: `job-${seen.length}` }))
  }
  expect(seen).toEqual([undefined, 'job-1', 'job-2'])
})

test('events survive any cut of the stream, comments and events of other names', async () => {
  const text = `: hello\n\nevent: weather\ndata: 1\n\nevent: snapshot\ndata: ${JSON.stringify(snapshot({ version: 'ü' }))}\n\n`
  const bytes = Buffer.from(text)
  const socket = await serve(async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let at = 0; at < bytes.length; at += 7) {
      response.write(bytes.subarray(at, at + 7))
      await new Promise(resolve => setImmediate(resolve))
    }
    response.end()
  })
  const { seen, failure } = await collect(connect(socket).events(new AbortController().signal))
  expect(seen.map(one => one.version)).toEqual(['ü'])
  expect(failure?.code).toBe('service-lost')
})

test('events end without a failure when the caller has had enough', async () => {
  control = await makeControl()
  const stop = new AbortController()
  const reading = collect(connect(control.socket).events(stop.signal))
  setTimeout(() => stop.abort(), 50)
  const { failure, seen } = await reading
  expect(failure).toBeUndefined()
  expect(seen).toHaveLength(1)
})

test('a stream that the service refuses gives its reason', async () => {
  const socket = await serve((_, response) =>
    response.writeHead(500).end('{"error":{"code":"internal","message":"cannot do that: broken"}}'),
  )
  const { failure } = await collect(connect(socket).events(new AbortController().signal))
  expect(failure?.message).toContain('broken')
})

test('the values that a refusal names come with it', async () => {
  control = await makeControl()
  const facts = { where: '/boot', need: 5, free: 2 }
  control.refuse('install', new Failure('no-space', 'cannot install: no room', { facts }))
  const asked = connect(control.socket).install({ id: '12345678' })
  await expect(asked).rejects.toMatchObject({ code: 'no-space', message: 'cannot install: no room', facts })
})
