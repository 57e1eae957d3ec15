/**
 * A child process that touches one stick and nothing else: it watches it and reads from it, so that a stick that hangs
 * hangs only this. Requests come as JSON lines on standard input, answers and events go as JSON lines to standard output;
 * bytes that were read are put into the shared file at descriptor 3. It ends when standard input does.
 */
import { writeSync } from 'node:fs'
import { type FileHandle, readlink, statfs } from 'node:fs/promises'
import { asFailure, Failure } from '../base/failure.ts'
import { collectGarbage } from '../base/heap.ts'
import { onLines } from '../base/lines.ts'
import { bytesOf, nameOf } from '../base/names.ts'
import { openRegular, readInto } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { readAsAsked } from './advise.ts'
import { type MediumWatch, watchMedium } from './watch.ts'
import { type Answer, type Event, type Request, SLOT, SLOTS } from './wire.ts'

const SHARED = 3
const NONE = Buffer.alloc(0)

/**
 * @param root mount folder of the stick
 * @param watching false to read one file that was named, by whatever way
 */
export function serve(root: string, watching: boolean): void {
  const say = (message: Answer | Event) => process.stdout.write(`${JSON.stringify(message)}\n`)
  const open = new Map<number, { file: FileHandle; path: string }>()
  const buffers = Array.from({ length: SLOTS }, () => NONE)
  let handles = 0
  let watch: MediumWatch | undefined

  const act = async (request: Request): Promise<Omit<Answer, 'id'>> => {
    switch (request.do) {
      case 'open': {
        const { file, size } = await openRegular(request.path)
        // A folder on the way may have become a link since it was found.
        const real = await readlink(`/proc/self/fd/${file.fd}`, { encoding: 'buffer' })
        if (watching && nameOf(real) !== request.path) {
          await file.close()
          throw new Failure('not-a-package', `cannot open ${safe(request.path)}: it is reached through a link`)
        }
        await readAsAsked(file.fd)
        open.set(++handles, { file, path: request.path })
        return { handle: handles, size }
      }
      case 'read': {
        const opened = open.get(request.handle)
        if (!opened) throw new Failure('media-gone', 'cannot read: the file was closed')
        if (buffers[request.slot]?.length === 0) buffers[request.slot] = Buffer.allocUnsafeSlow(SLOT)
        const buffer = buffers[request.slot] as Buffer
        let total = 0
        const reading = request.parts.map(([position, length]) => {
          total += length
          return readInto(opened.file, opened.path, buffer.subarray(total - length, total), position)
        })
        // Also when one fails, none may still be filling the buffer that the next request gets.
        await Promise.allSettled(reading)
        const bytes = await Promise.all(reading)
        for (let at = 0; at < total; ) at += writeSync(SHARED, buffer, at, total - at, request.slot * SLOT + at)
        return { bytes }
      }
      case 'close':
        await open.get(request.handle)?.file.close()
        open.delete(request.handle)
        if (open.size === 0) {
          // Whoever read this may go on to what needs the memory.
          buffers.fill(NONE)
          collectGarbage()
        }
        return {}
      case 'ping':
        await statfs(bytesOf(root)).catch(error => {
          throw new Failure('media-gone', 'its filesystem has ended; take it out and put it back', { cause: error })
        })
        return { waiting: watch?.waiting() ?? 0 }
    }
  }

  onLines(process.stdin, async line => {
    const request = JSON.parse(line) as Request
    try {
      say({ id: request.id, ...(await act(request)) })
    } catch (error) {
      const { code, message } = asFailure(error, 'read the stick')
      say({ id: request.id, error: { code, message } })
    }
  })
  // Nobody is left to read for; a stick that hangs would keep an orderly end waiting.
  process.stdin.on('close', () => process.kill(process.pid, 'SIGKILL'))

  say({ event: 'started' })
  if (!watching) return
  watch = watchMedium(root, {
    found: file => say({ event: 'found', file }),
    gone: path => say({ event: 'gone', path }),
    looked: look => say({ event: 'looked', look }),
    unmounted: () => say({ event: 'unmounted' }),
  })
}
