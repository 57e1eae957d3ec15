/** Reading through the child process: whatever is asked for at once, everybody gets their own bytes. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStick, type StickReader } from '../../../src/media/stick.ts'

const SIZE = 5_000_000
const content = randomBytes(SIZE)

let folder: string
let stick: StickReader
const file = () => join(folder, 'stick/package')
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-stick-'))
  await mkdir(join(folder, 'stick'))
  await writeFile(file(), content)
  stick = await openStick(join(folder, 'stick'), folder, {}, false)
})
afterEach(async () => {
  await stick.close()
  await rm(folder, { recursive: true, force: true })
})

/** Places all over the file, small and large ones, as an update asks for them. */
const places = Array.from({ length: 700 }, (_, at) => ({
  position: (at * 7919 * 613) % SIZE,
  length: at % 50 === 0 ? 1_500_000 : 1 + ((at * 4111) % 9000),
}))

test('many parts at once, of two files', async () => {
  const other = randomBytes(SIZE)
  await writeFile(join(folder, 'stick/other'), other)
  const sources = [
    { source: await stick.open(file()), bytes: content },
    { source: await stick.open(join(folder, 'stick/other')), bytes: other },
  ]
  const reading = places.map(async ({ position, length }, at) => {
    const { source, bytes } = sources[at % 2] as (typeof sources)[0]
    const into = at % 3 === 0 ? Buffer.alloc(length + 10) : undefined
    const read = await source.read(position, length, into)
    return read.equals(bytes.subarray(position, position + length))
  })
  expect((await Promise.all(reading)).filter(isRight => !isRight)).toEqual([])
})

test('at the end of the file there are fewer bytes, also among other parts, and behind it none', async () => {
  const source = await stick.open(file())
  await truncate(file(), 3_000_000)
  const lengths = [2_999_000, 2_999_990, 1000, 3_000_000, 4_000_000].map(async position => {
    const read = await source.read(position, 500)
    expect(read.equals(content.subarray(position, position + read.length))).toBe(true)
    return read.length
  })
  expect(await Promise.all(lengths)).toEqual([500, 10, 500, 0, 0])
})

test('a part that cannot be read disturbs no later one', async () => {
  const source = await stick.open(file())
  // A regular file of which the kernel says that it cannot be read: nothing is mapped there.
  const bad = await stick.open('/proc/self/mem')
  const beside = places.slice(0, 100).map(({ position, length }) => source.read(position, length))
  const failing = [bad.read(0, 100), bad.read(4096, 100)]
  const results = await Promise.allSettled([...failing, ...beside])
  for (const result of results.slice(0, 2))
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'media-error' } })
  for (const result of results.slice(2)) expect(result).toMatchObject({ status: 'fulfilled' })
  for (const { position, length } of places.slice(0, 100))
    expect((await source.read(position, length)).equals(content.subarray(position, position + length))).toBe(true)
})

test('when the stick is let go of, whoever waits hears it, also those that had not been asked for yet', async () => {
  const source = await stick.open(file())
  const reading = places.map(({ position, length }) => source.read(position, length))
  const ended = Promise.allSettled(reading)
  await stick.close()
  const results = await ended
  expect(results.length).toBe(places.length)
  for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'media-gone' } })
  await expect(source.read(0, 1)).rejects.toMatchObject({ code: 'media-gone' })
})
