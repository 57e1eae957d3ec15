import { expect, it } from 'vitest'
import { padded, ustarHeader } from '../../../src/package/header.ts'
import type { Member } from '../../../src/package/index.ts'
import { readMember, readMembers, type Source, verifyWhole } from '../../../src/package/read.ts'
import { copyMembers, sha256 } from '../../kit/packages.ts'

/** SHA-256 of 2^32 + 1024 zeros. */
const ZEROS = 'cc538cf24684e3ab41d64d20c90d28a912c93e7ea2b188909789b7fd70dfe588'
const SIZE = 2 ** 32 + 1024
const small = Buffer.from('behind four gibibytes')

const members: Member[] = [
  { path: 'objects/big', sha256: ZEROS, size: SIZE, unpacked: SIZE, header: 0 },
  {
    path: 'objects/small',
    sha256: sha256(small),
    size: small.length,
    unpacked: small.length,
    header: 512 + padded(SIZE),
  },
  { path: 'objects/tiny', sha256: sha256(''), size: 0, unpacked: 0, header: 512 + padded(SIZE) + 1024 },
]

/** An archive of more than 4 GiB that needs no disk: zeros, but for headers and the small members. */
function hugeSource(): Source {
  const pieces = members.map(member => ({ at: member.header, bytes: ustarHeader(member.path, member.size) }))
  pieces.push({ at: (members[1]?.header ?? 0) + 512, bytes: small })
  return {
    size: (members[2]?.header ?? 0) + 512 + 1024,
    async read(position, length) {
      const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - position)))
      for (const piece of pieces)
        if (piece.at + piece.bytes.length > position && piece.at < position + bytes.length) {
          const from = Math.max(0, position - piece.at)
          piece.bytes.copy(bytes, Math.max(0, piece.at - position), from)
        }
      return bytes
    },
    async close() {},
  }
}

it('members that lie beyond 4 GiB are found', async () => {
  expect(await readMember(hugeSource(), members[1] as Member)).toEqual(small)
  const found = []
  for await (const { bytes } of readMembers(hugeSource(), members.slice(1))) found.push(bytes.toString())
  expect(found).toEqual([small.toString(), ''])
})

it('2 GiB and 4 GiB overflow: a member larger than 4 GiB is hashed to its last byte', async () => {
  let count = 0
  await verifyWhole(hugeSource(), members, more => {
    count += more
  })
  expect(count).toBe(hugeSource().size - 1024)
}, 120_000)

it('a size cut to 32 bits is another member’s', async () => {
  const cut = members.with(0, { ...(members[0] as Member), size: SIZE % 2 ** 32 })
  await expect(verifyWhole(hugeSource(), cut)).rejects.toMatchObject({ code: 'tampered' })
  await expect(copyMembers(hugeSource(), cut, () => '/nowhere')).rejects.toMatchObject({ code: 'tampered' })
})
