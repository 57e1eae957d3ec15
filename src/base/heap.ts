/** How V8 uses memory: for a service that is idle most of its life, little garbage matters more than speed. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Keep the space for young objects at its initial size, where V8 would let it grow to 48 MiB before it looks for garbage.
 * Takes effect from now on.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/**
 * Give back now what V8 would give back after some seconds of rest: before other programs need the memory. It takes some
 * hundredths of a second.
 */
export function collectGarbage(): void {
  collector()()
}

/** Bytes of buffers that may gather: V8 would let ten times as many. */
const GATHERED = 4 * 1024 * 1024
let gathered = 0

/** So many bytes of young buffers are let go; now and then they are given back, which takes a thousandth of a second. */
export function letGo(bytes: number): void {
  gathered += bytes
  if (gathered < GATHERED) return
  gathered = 0
  collector()({ type: 'minor' })
}

let collect: ((how?: { type: 'minor' }) => void) | undefined

/** Node has no other way to it once it runs. */
function collector() {
  setFlagsFromString('--expose-gc')
  collect ??= runInNewContext('gc') as NonNullable<typeof collect>
  return collect
}
