/** Flushing on the way: it never disturbs the work, and the end tells when the disk could not take it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeFlusher } from '../../../src/base/flush.ts'

const MEBIBYTE = 1024 * 1024

test('what was written is flushed, on the way and at the end', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sb-flush-'))
  const flusher = makeFlusher(folder)
  await writeFile(join(folder, 'file'), Buffer.alloc(40 * MEBIBYTE))
  for (let total = 0; total <= 200; total += 10) flusher.written(total * MEBIBYTE)
  await flusher.end()
  await rm(folder, { recursive: true })
})

test('a disk that is gone is said at the end, not on the way', async () => {
  const flusher = makeFlusher('/nowhere')
  flusher.written(100 * MEBIBYTE)
  await expect(flusher.end()).rejects.toMatchObject({ code: 'command-failed' })
})
