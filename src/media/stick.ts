/** One stick, through the child process that touches it: whatever the stick does, the service goes on. */
import { randomBytes } from 'node:crypto'
import { readSync } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { onLines } from '../base/lines.ts'
import { findProgram } from '../base/program.ts'
import { start } from '../base/run.ts'
import type { Source } from '../base/source.ts'
import type { Found, Look } from './scan.ts'
import { type Answer, type Event, PARTS, type Part, type Request, SLOT, SLOTS } from './wire.ts'

/** Milliseconds between looks at whether the stick still answers, and how long it may take: six seconds in all until it is said. */
const PING = 1000
const PATIENCE = 4000

export interface StickReader {
  /** @throws Failure `media-gone`, `media-error`, `not-a-package` */
  open(path: string): Promise<Source>
  /**
   * Let go of the stick at once, whatever it is doing.
   * @param why what is being read fails with this; `media-gone` unless something else is said
   */
  close(why?: Failure): Promise<void>
}

export interface StickEvents {
  found(file: Found): void
  gone(path: string): void
  /** a look is complete */
  looked(look: Look): void
  /** it does not even say how large it is */
  error(message: string): void
  /** it has not answered for a while, or does again */
  answering(does: boolean): void
  /** its filesystem is gone from under the folder */
  unmounted(): void
  /** the child has ended, which nobody asked for */
  ended(): void
}

type Ask = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never
type Told = Extract<Answer, { handle?: number }>

/** A part of a file that somebody waits for; at most SLOT bytes. */
interface Piece {
  handle: number
  position: number
  bytes: Buffer
  resolve: (count: number) => void
  reject: (error: unknown) => void
}

interface Waiting {
  /** ms; when the child was asked */
  since: number
  resolve: (told: Told) => void
  reject: (error: Failure) => void
}

/**
 * @param root mount folder, or the folder of one file
 * @param folder private and on a tmpfs, for the file that bytes are handed over in
 * @param on what is done about events
 * @param watching false to read one file, also by a way with links in it
 */
export async function openStick(
  root: string,
  folder: string,
  on: Partial<StickEvents>,
  watching: boolean,
): Promise<StickReader> {
  const program = await findProgram('reader')
  const shared = await nameless(folder)
  const argv = [process.execPath, ...READER_LIMITS, program, root, ...(watching ? ['watch'] : [])]
  const child = start(argv, ['pipe', 'pipe', 'inherit', shared.fd])
  const pending = new Map<number, Waiting>()
  let ids = 0
  /** ms; a processor that is slow to start a program is no fault of the stick */
  let started: number | undefined
  let closed: Failure | undefined
  let answering = true
  /** milliseconds that a look at the stick had been waiting for it when the child answered last */
  let looking = 0

  function ask(request: Ask): Promise<Told> {
    if (closed) return Promise.reject(closed)
    const id = ++ids
    return new Promise<Told>((resolve, reject) => {
      pending.set(id, { since: performance.now(), resolve, reject })
      child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  function hear(message: Answer | Event): void {
    if ('event' in message) {
      hearEvent(message)
      return
    }
    const waiting = pending.get(message.id)
    pending.delete(message.id)
    if ('error' in message) waiting?.reject(new Failure(message.error.code, message.error.message))
    else {
      looking = message.waiting ?? looking
      waiting?.resolve(message)
    }
    if (answering || oldest() > PATIENCE) return
    answering = true
    on.answering?.(true)
  }

  function hearEvent(message: Event): void {
    if (closed) return
    if (message.event === 'started') started = performance.now()
    else if (message.event === 'found') on.found?.(message.file)
    else if (message.event === 'gone') on.gone?.(message.path)
    else if (message.event === 'looked') on.looked?.(message.look)
    else on.unmounted?.()
  }

  /** Milliseconds that the request which has waited longest has waited for the stick, or a look at it. */
  function oldest(): number {
    if (started === undefined) return 0
    const [first] = pending.values() // in the order in which they were asked
    return Math.max(looking, first ? performance.now() - Math.max(started, first.since) : 0)
  }

  let pinged = false
  const watch = setInterval(() => {
    if (answering && oldest() > PATIENCE) {
      answering = false
      on.answering?.(false)
    }
    if (pinged) return
    pinged = true
    ask({ do: 'ping' })
      .catch((error: Failure) => closed || on.error?.(error.message))
      .finally(() => {
        pinged = false
      })
  }, PING)

  function end(why: Failure): void {
    closed = why
    clearInterval(watch)
    for (const { reject } of pending.values()) reject(why)
    pending.clear()
  }

  child.stdin?.on('error', () => {}) // its end tells
  child.once('error', () => {}) // likewise
  child.once('close', () => {
    if (closed) return
    end(gone(root))
    void shared.close()
    on.ended?.()
  })
  onLines(child.stdout, line => hear(JSON.parse(line) as Answer | Event))

  /** What waits for a free slot; what is asked for at once goes together. */
  const queue: Piece[] = []
  const free = Array.from({ length: SLOTS }, (_, slot) => slot)

  function readPiece(handle: number, position: number, bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      queue.push({ handle, position, bytes, resolve, reject })
      if (queue.length === 1) queueMicrotask(send)
    })
  }

  function send(): void {
    for (let slot = free.pop(); slot !== undefined; slot = free.pop()) {
      const pieces = nextOf(queue)
      if (pieces.length === 0) return void free.push(slot)
      void readTogether(pieces, slot)
    }
  }

  async function readTogether(pieces: Piece[], slot: number): Promise<void> {
    try {
      const [{ handle }] = pieces as [Piece]
      const parts = pieces.map(({ position, bytes }): Part => [position, bytes.length])
      const { bytes: counts = [] } = await ask({ do: 'read', handle, parts, slot })
      let from = slot * SLOT
      for (const [at, { bytes, resolve }] of pieces.entries()) {
        const count = counts[at] ?? 0
        // From memory: no need to wait.
        for (let done = 0; done < count; ) done += readSync(shared.fd, bytes, done, count - done, from + done)
        from += bytes.length
        resolve(count)
      }
    } catch (error) {
      // The stick may have gone between the child's answer and the taking over of the bytes.
      for (const { reject } of pieces) reject(closed ?? error)
    } finally {
      free.push(slot)
      send()
    }
  }

  return {
    async open(path) {
      const { handle = 0, size = 0 } = await ask({ do: 'open', path })
      return {
        size,
        async read(position, length, into) {
          const bytes = into?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length)
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
    async close(why = gone(root)) {
      if (closed) return
      end(why)
      // It may hang in the kernel and be gone only when the stick is: nothing here waits for it.
      child.kill('SIGKILL')
      child.unref()
      for (const stream of [child.stdin, child.stdout]) stream?.destroy()
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

/** Takes from the queue what fits into a slot: pieces of one file. */
function nextOf(queue: Piece[]): Piece[] {
  const [first] = queue
  let [count, room] = [0, SLOT]
  for (const { handle, bytes } of queue) {
    room -= bytes.length
    if (handle !== first?.handle || room < 0 || count === PARTS) break
    count++
  }
  return queue.splice(0, count)
}
