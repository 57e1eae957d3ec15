/** How members are copied: with two buffers however many there are, and scattered ones many at a time. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Source } from '../../../src/base/source.ts'
import { padded, ustarHeader } from '../../../src/package/header.ts'
import type { Member } from '../../../src/package/index.ts'
import { copyMembers, sha256 } from '../../kit/packages.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'copying-'))
})
afterEach(() => rm(folder, { recursive: true }))

const contentOf = (at: number, size: number) => Buffer.alloc(size, `member ${at} `)

/** An archive of members of these sizes, and who reads it. */
function archive(sizes: readonly number[]) {
  const members: Member[] = []
  const pieces: Buffer[] = []
  let header = 0
  for (const [at, size] of sizes.entries()) {
    const bytes = contentOf(at, size)
    const path = `objects/${String(at).padStart(6, '0')}`
    members.push({ path, sha256: sha256(bytes), size, unpacked: size, header })
    pieces.push(ustarHeader(path, size), bytes, Buffer.alloc(padded(size) - size))
    header += 512 + padded(size)
  }
  const whole = Buffer.concat(pieces)
  const seen = { buffers: new Set<ArrayBufferLike>(), atOnce: 0 }
  let underWay = 0
  const source: Source = {
    size: whole.length,
    async read(position, length, into) {
      seen.atOnce = Math.max(seen.atOnce, ++underWay)
      await sleep(1)
      underWay--
      const bytes = into?.subarray(0, length) ?? Buffer.alloc(length)
      seen.buffers.add(bytes.buffer)
      return bytes.subarray(0, whole.copy(bytes, 0, position, position + length))
    },
    async close() {},
  }
  return { members, source, seen }
}

async function copied(members: readonly Member[], source: Source) {
  await copyMembers(source, members, member => join(folder, member.path.slice(8)))
  for (const { path, sha256: sum } of members) expect(sha256(await readFile(join(folder, path.slice(8))))).toBe(sum)
}

it('needs two buffers, for large members and small ones', async () => {
  const { members, source, seen } = archive([3e6, ...Array(40).fill(100_000), 2e6, 5, 4e6, 1_048_000, 0])
  await copied(members, source)
  expect(seen.buffers.size).toBe(2)
})

it('members here and there are read many at a time', async () => {
  const { members, source, seen } = archive(Array(200).fill(3000))
  await copied(
    members.filter((_, at) => at % 3 === 0),
    source,
  )
  expect(seen.atOnce).toBeGreaterThan(10)
})
