/** The control socket as any HTTP client meets it: routes, refusals, and what is not a request of this protocol. */
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Control, makeControl } from '../../kit/control.ts'
import { job } from '../../kit/snapshots.ts'

let control: Control
beforeAll(async () => {
  control = await makeControl()
})
afterAll(() => control.close())

interface Answer {
  status: number | undefined
  type: string | undefined
  value: { error?: { code: string; message: string }; api?: number }
}

function ask(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: control.socket, method, path, headers }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          type: response.headers['content-type'],
          value: JSON.parse(text) as Answer['value'],
        }),
      )
    })
    asking.once('error', reject)
    asking.end(body)
  })
}

test('the snapshot is JSON, with a query or without', async () => {
  for (const path of ['/v1/status', '/v1/status?x=1'])
    expect(await ask('GET', path)).toMatchObject({ status: 200, type: 'application/json', value: { api: 1 } })
})

test.each([
  ['GET', '/'],
  ['GET', '/v1/nothing'],
  ['POST', '/v1/status'],
  ['GET', '/v1/install'],
  ['GET', '//'],
  ['GET', '/constructor'],
])('there is no %s %s', async (method, path) => {
  const { status, value } = await ask(method, path)
  expect(status).toBe(404)
  expect(value.error).toMatchObject({ code: 'no-such-route' })
})

test.each([
  ['no JSON', '{"id"', {}],
  ['another shape', '{"id": 5}', {}],
  ['unknown fields', '{"id": "1234567890", "force": true}', {}],
  ['no length', '{"id": "1234567890"}', { 'transfer-encoding': 'chunked' }],
  ['more than anybody needs', `"${'x'.repeat(20_000)}"`, {}],
])('a body of %s is refused, and nothing is done', async (_, body, headers) => {
  const length: Record<string, string> = 'transfer-encoding' in headers ? {} : { 'content-length': `${body.length}` }
  const { status, value } = await ask('POST', '/v1/install', body, { ...headers, ...length })
  expect(status).toBe(400)
  expect(value.error?.message).toMatch(/^cannot read the request: /)
  expect(control.asked).toEqual([])
})

/** An event stream; `events` are the snapshots that came, `pause` stops reading. */
function follow(): Promise<{ events: { job: { text: string } | null }[]; pause(): void; end(): void }> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: control.socket, path: '/v1/events' }, response => {
      const events: { job: { text: string } | null }[] = []
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        const blocks = (rest + chunk).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks)
          if (block.startsWith('event')) events.push(JSON.parse(block.split('data: ')[1] ?? ''))
      })
      response.on('error', () => {})
      resolve({ events, pause: () => response.pause(), end: () => asking.destroy() })
    })
    asking.once('error', reject)
    asking.end()
  })
}

test('however many streams there are, a snapshot is made once for all of them, and each ends with the newest', async () => {
  const streams = await Promise.all(Array.from({ length: 40 }, follow))
  await expect.poll(() => streams.every(({ events }) => events.length > 0)).toBe(true)
  const before = control.taken()
  const from = performance.now()
  for (let i = 1; i <= 200; i++) {
    control.job(job({ text: `${i}` }))
    await sleep(4)
  }
  await expect.poll(() => streams.every(({ events }) => events.at(-1)?.job?.text === '200')).toBe(true)
  const frames = (performance.now() - from) / 100
  expect(control.taken() - before).toBeLessThanOrEqual(frames + 2)
  for (const { end } of streams) end()
  await sleep(150)
  const after = control.taken()
  control.job(job({ text: 'for nobody' }))
  await sleep(300)
  expect(control.taken()).toBe(after)
})

test('nothing is made for a stream that does not read', async () => {
  const stream = await follow()
  await expect.poll(() => stream.events.length).toBeGreaterThan(0)
  stream.pause()
  const long = 'x'.repeat(4_000_000)
  // What the sockets and the stream's own buffers hold is all that is made.
  for (let i = 0; i < 5; i++) {
    control.job(job({ text: `${i} ${long}` }))
    await sleep(150)
  }
  const before = control.taken()
  for (let i = 0; i < 5; i++) {
    control.job(job({ text: `${i} ${long}` }))
    await sleep(150)
  }
  expect(control.taken()).toBe(before)
  stream.end()
  control.job(null)
})
