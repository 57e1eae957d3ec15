/** Flushing on the way: it never disturbs the work, and the end tells when the disk could not take it. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFlusher } from '../../../src/base/flush.ts'

const MB = 1024 * 1024
const PATH = process.env.PATH

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-flush-'))
})
afterEach(async () => {
  process.env.PATH = PATH
  await rm(folder, { recursive: true, force: true })
})

test('a disk that is gone is said at the end, not on the way', async () => {
  const flusher = makeFlusher('/nowhere')
  await flusher.written(100 * MB)
  await expect(flusher.end()).rejects.toMatchObject({ code: 'command-failed' })
})

test('what could not be written on the way is said at the end, though the disk says it only once', async () => {
  const said = join(folder, 'said')
  await mkdir(join(folder, 'bin'))
  await writeFile(join(folder, 'bin/sync'), `#!/bin/sh\n[ -e ${said} ] || { : >${said}; exit 1; }\n`)
  await chmod(join(folder, 'bin/sync'), 0o755)
  process.env.PATH = `${join(folder, 'bin')}:${PATH}`
  const flusher = makeFlusher(folder)
  await flusher.written(40 * MB)
  await flusher.written(120 * MB) // waits for the one that fails
  await expect(flusher.end()).rejects.toMatchObject({ code: 'command-failed' })
})

test('who is faster than the disk waits for it, when much is to be written', async () => {
  // A disk that takes as long as this file is not there.
  const done = join(folder, 'done')
  await mkdir(join(folder, 'bin'))
  await writeFile(join(folder, 'bin/sync'), `#!/bin/sh\nuntil [ -e ${done} ]; do sleep 0.05; done\n`)
  await chmod(join(folder, 'bin/sync'), 0o755)
  process.env.PATH = `${join(folder, 'bin')}:${PATH}`
  const flusher = makeFlusher(folder)
  await flusher.written(40 * MB)
  await flusher.written(100 * MB)
  let waited = true
  const more = flusher.written(110 * MB).then(() => {
    waited = false
  })
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(waited).toBe(true)
  await writeFile(done, '')
  await more
  await flusher.end()
})
