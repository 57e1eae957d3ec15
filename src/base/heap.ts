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
 * hundredths of a second. Node has no other way to it once it runs.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}
