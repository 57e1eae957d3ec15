/** The control socket: HTTP with JSON for any client, and the snapshot as server-sent events. */
import { chmod, chown, unlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import * as v from 'valibot'
import { asFailure, errno, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { isRefusalCode } from '../trust.ts'
import type { Updater } from '../update/updater.ts'
import type { ErrorBody, Snapshot } from './protocol.ts'

const Install = v.strictObject({
  id: v.optional(v.pipe(v.string(), v.minLength(8))),
  path: v.optional(v.pipe(v.string(), v.startsWith('/', 'must be an absolute path'))),
  allowDowngrade: v.optional(v.boolean()),
})
const Rollback = v.strictObject({
  index: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  reason: v.pipe(v.string(), v.maxLength(500)),
  force: v.optional(v.boolean()),
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

export function makeApp(updater: Updater, changes: Changes): Hono {
  const app = new Hono()
  const accepted = (c: Context) => c.json({ job: updater.snapshot().job }, 202)

  app.get('/v1/status', c => c.json(updater.snapshot()))
  app.get('/v1/events', c =>
    streamSSE(c, async stream => {
      const gone = new Promise<void>(resolve => stream.onAbort(resolve))
      let wake = () => {}
      let isNew = true
      const stop = changes.listen(() => {
        isNew = true
        wake()
      })
      try {
        while (!stream.aborted) {
          if (isNew) {
            isNew = false
            await stream.writeSSE({ event: 'snapshot', data: JSON.stringify(updater.snapshot() satisfies Snapshot) })
            await Promise.race([gone, stream.sleep(1000 / FRAMES)])
            continue
          }
          const timer = new Promise<'quiet'>(resolve => {
            const quiet = setTimeout(() => resolve('quiet'), KEEP_ALIVE)
            wake = () => {
              clearTimeout(quiet)
              resolve('quiet')
            }
          })
          await Promise.race([gone, timer])
          wake()
          if (!isNew && !stream.aborted) await stream.write(': still here\n\n')
        }
      } finally {
        stop()
      }
    }),
  )
  app.get('/v1/history', async c => {
    const entries = await updater.history()
    return c.json(c.req.query('verify') ? { entries, chain: await updater.verifyHistory() } : { entries })
  })
  app.get('/v1/doctor', async c => c.json({ checks: await updater.doctor() }))
  app.post('/v1/install', async c => {
    await updater.install(await body(c, Install))
    return accepted(c)
  })
  app.post('/v1/rollback', async c => {
    await updater.rollback(await body(c, Rollback))
    return accepted(c)
  })
  app.post('/v1/cancel', async c => {
    await updater.cancel()
    return accepted(c)
  })
  app.post('/v1/reboot', async c => {
    await updater.reboot()
    return accepted(c)
  })
  for (const verb of ['pin', 'unpin'])
    app.post(`/v1/${verb}`, async c => {
      await updater.setPinned((await body(c, Place)).index, verb === 'pin')
      return c.json({ deployments: updater.snapshot().deployments })
    })
  app.notFound(c =>
    answer(c, new Failure('no-such-route', `cannot answer ${c.req.method} ${c.req.path}: see docs/api.md`)),
  )
  app.onError((error, c) => answer(c, asFailure(error, 'do that')))
  return app
}

async function body<T>(c: Context, schema: v.GenericSchema<unknown, T>): Promise<T> {
  const text = Number(c.req.header('content-length') ?? BODY_LIMIT + 1) > BODY_LIMIT ? undefined : await c.req.text()
  if (text === undefined)
    throw new Failure('bad-request', `cannot read the request: it needs a Content-Length of at most ${BODY_LIMIT}`)
  let value: unknown
  try {
    value = JSON.parse(text || '{}')
  } catch (error) {
    throw new Failure('bad-request', 'cannot read the request: it is no JSON', { cause: error })
  }
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  throw new Failure('bad-request', `cannot read the request: ${v.getDotPath(issue) ?? 'it'}: ${issue.message}`)
}

const STATUS: { [code: string]: ContentfulStatusCode } = {
  'bad-request': 400,
  'not-found': 404,
  'no-such-route': 404,
  ambiguous: 409,
  busy: 409,
  'not-cancellable': 409,
  'already-booted': 409,
}

function answer(c: Context, failure: Failure): Response {
  const status = STATUS[failure.code] ?? (isRefusalCode(failure.code) ? 422 : 500)
  const { code, message, facts } = failure
  return c.json<ErrorBody, ContentfulStatusCode>({ error: { code, message, ...(facts && { facts }) } }, status)
}

/**
 * Listen on the socket: its file mode, 0660 for root and `group`, is the access control.
 * @throws Failure `already-running` when another service answers there
 */
export async function listen(app: Hono, path: string, group: number | undefined, log: Log): Promise<Server> {
  if (await answers(path)) throw new Failure('already-running', `cannot listen on ${path}: another superblockd does`)
  await unlink(path).catch(error => {
    if (errno(error) !== 'ENOENT') throw error
  })
  const server = createServer(getRequestListener(app.fetch))
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
