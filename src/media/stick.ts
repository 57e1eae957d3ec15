/** One stick, through the child process that touches it: whatever the stick does, the service goes on. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Failure } from '../base/failure.ts'
import { findProgram } from '../base/program.ts'
import { start } from '../base/run.ts'
import type { Source } from '../base/source.ts'
import type { Found } from './watch.ts'
import { type Answer, type Event, type Request, SLOT, SLOTS } from './wire.ts'

/** Milliseconds between looks at whether the stick still answers, and how long it may take. */
const PING = 2000
const PATIENCE = 4000

export interface StickReader {
  /** @throws Failure `media-gone`, `media-error`, `not-a-package` */
  open(path: string): Promise<Source>
  /** Let go of the stick at once, whatever it is doing; what is being read fails with `media-gone`. */
  close(): Promise<void>
}

export interface StickEvents {
  found(file: Found): void
  gone(path: string): void
  /** the first look is complete */
  ready(beyond: boolean): void
  error(message: string): void
  /** it has not answered for a while, or does again */
  answering(does: boolean): void
  /** the child has ended, which nobody asked for */
  ended(): void
}

type Ask = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never
type Told = Extract<Answer, { handle?: number }>

/**
 * @param root mount folder
 * @param folder private and on a tmpfs, for the file that bytes are handed over in
 * @param on without it the stick is read only, not watched
 */
export async function openStick(root: string, folder: string, on?: StickEvents): Promise<StickReader> {
  const shared = await nameless(folder)
  const argv = [process.execPath, ...READER_LIMITS, await findProgram('reader'), root, ...(on ? ['watch'] : [])]
  const child = start(argv, ['pipe', 'pipe', 'inherit', shared.fd])
  const pending = new Map<number, { resolve: (told: Told) => void; reject: (error: Failure) => void }>()
  const slots = makeSlots(SLOTS)
  let ids = 0
  let closed = false

  function ask(request: Ask): Promise<Told> {
    if (closed) return Promise.reject(gone(root))
    const id = ++ids
    return new Promise<Told>((resolve, reject) => {
      pending.set(id, { resolve, reject })
      child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  function hear(message: Answer | Event): void {
    if ('event' in message) {
      if (closed || !on) return
      if (message.event === 'found') on.found(message.file)
      else if (message.event === 'gone') on.gone(message.path)
      else if (message.event === 'ready') on.ready(message.beyond)
      else on.error(message.message)
      return
    }
    const waiting = pending.get(message.id)
    pending.delete(message.id)
    if ('error' in message) waiting?.reject(new Failure(message.error.code, message.error.message))
    else waiting?.resolve(message)
  }

  function end(): void {
    closed = true
    clearInterval(pinging)
    for (const { reject } of pending.values()) reject(gone(root))
    pending.clear()
  }

  child.stdin?.on('error', () => {}) // its end tells
  child.once('error', () => {}) // likewise
  child.once('close', () => {
    const unasked = !closed
    end()
    if (unasked) on?.ended()
  })
  if (child.stdout)
    createInterface({ input: child.stdout }).on('line', line => hear(JSON.parse(line) as Answer | Event))

  let asked: number | undefined
  let answering = true
  const pinging = setInterval(() => {
    if (asked !== undefined && answering && performance.now() - asked > PATIENCE) {
      answering = false
      on?.answering(false)
    }
    if (asked !== undefined) return
    asked = performance.now()
    ask({ do: 'ping' }).then(
      () => {
        asked = undefined
        if (!answering) on?.answering(true)
        answering = true
      },
      () => {
        asked = undefined
      },
    )
  }, PING)

  async function readPiece(handle: number, position: number, bytes: Buffer): Promise<number> {
    const slot = await slots.take()
    try {
      const told = await ask({ do: 'read', handle, position, length: bytes.length, slot })
      const filled = told.bytes ?? 0
      for (let at = 0; at < filled; ) at += (await shared.read(bytes, at, filled - at, slot * SLOT + at)).bytesRead
      return filled
    } finally {
      slots.give(slot)
    }
  }

  return {
    async open(path) {
      const { handle = 0, size = 0 } = await ask({ do: 'open', path })
      return {
        size,
        async read(position, length) {
          const bytes = Buffer.allocUnsafeSlow(length)
          let filled = 0
          while (filled < length) {
            const piece = bytes.subarray(filled, Math.min(length, filled + SLOT))
            const count = await readPiece(handle, position + filled, piece)
            filled += count
            if (count < piece.length) break
          }
          return bytes.subarray(0, filled)
        },
        async close() {
          // Not awaited: a stick that hangs would keep us.
          ask({ do: 'close', handle }).catch(() => {})
        },
      }
    },
    async close() {
      end()
      child.kill('SIGKILL')
      await shared.close()
    },
  }
}

/** It reads and watches; what V8 would set aside beyond that is not needed. */
const READER_LIMITS = ['--max-semi-space-size=1', '--max-old-space-size=64']

const gone = (root: string) =>
  new Failure('media-gone', `cannot read ${root}: the stick was removed; put it back to continue`)

/** A file that only its descriptor leads to. */
async function nameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `read-${randomBytes(8).toString('hex')}`)
  const file = await open(path, 'wx+', 0o600)
  await unlink(path)
  return file
}

function makeSlots(count: number) {
  const free = Array.from({ length: count }, (_, slot) => slot)
  const waiting: ((slot: number) => void)[] = []
  return {
    take: (): Promise<number> => {
      const slot = free.pop()
      return slot === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(slot)
    },
    give: (slot: number): void => {
      const next = waiting.shift()
      if (next) next(slot)
      else free.push(slot)
    },
  }
}
