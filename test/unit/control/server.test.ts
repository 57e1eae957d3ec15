/** The control socket as any HTTP client meets it: routes, refusals, and what is not a request of this protocol. */
import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Control, makeControl } from '../../kit/control.ts'

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
