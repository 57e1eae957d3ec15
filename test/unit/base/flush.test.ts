/** Flushing on the way: it never disturbs the work, and the end tells when the disk could not take it. */
import { expect, test } from 'vitest'
import { makeFlusher } from '../../../src/base/flush.ts'

test('a disk that is gone is said at the end, not on the way', async () => {
  const flusher = makeFlusher('/nowhere')
  flusher.written(100 * 1024 * 1024)
  await expect(flusher.end()).rejects.toMatchObject({ code: 'command-failed' })
})
