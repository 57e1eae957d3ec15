/** The one form of a signature, subpacket by subpacket: docs/format.md, "Signatures". */
import { expect, test } from 'vitest'
import { signerOf, verifySignatures } from '../../../src/package/signature.ts'
import { handKey, subpacket, T0, u32 } from '../../kit/openpgp.ts'
import { keyringOf } from '../../kit/packages.ts'

const MANIFEST = Buffer.from('{"format": 1}\n')
const key = handKey()
const other = handKey()
const time = subpacket(2, u32(T0 + 1000))
const fingerprint = (of = key, version = 4) =>
  Buffer.concat([Buffer.from([version]), Buffer.from(of.fingerprint, 'hex')])
const issuer = subpacket(33, fingerprint())
const id = subpacket(16, key.id)
const none = Buffer.alloc(0)
const notation = (critical: boolean) => subpacket(20, Buffer.from('80000000000100016162', 'hex'), { critical })

async function outcome(hashed: Buffer, unhashed: Buffer) {
  const armor = Buffer.from(key.sign(MANIFEST, { hashed, unhashed }))
  const keyring = await keyringOf(key.publicKey(), other.publicKey())
  const files = [{ name: `signatures/${key.fingerprint}.asc`, armor }]
  const { signers, rejected } = await verifySignatures(MANIFEST, files, keyring)
  const imported = await signerOf(MANIFEST, armor, keyring).then(
    () => 'good',
    error => error.code,
  )
  return [rejected[0]?.code ?? (signers.length === 1 ? 'good' : 'none'), imported]
}

const all = (...parts: Buffer[]) => Buffer.concat(parts)

test.each([
  ['as gpg makes it', all(issuer, time), id],
  ['with nothing unsigned', all(issuer, time), none],
  ['with the key id alone, signed', all(time, id), none],
  ['with the key id alone, unsigned', time, id],
  ['that names its key in every way', all(issuer, time, id), id],
  ['with a notation', all(issuer, time, notation(false)), id],
  ['with a subpacket that nobody knows', all(issuer, time, subpacket(100, Buffer.from('x'))), id],
  [
    'with critical ones that are understood',
    all(subpacket(33, fingerprint(), { critical: true }), subpacket(2, u32(T0 + 1000), { critical: true })),
    id,
  ],
  ["with the signer's user id, critical", all(issuer, time, subpacket(28, Buffer.from('x'), { critical: true })), id],
  ['with long lengths where they are signed', all(subpacket(33, fingerprint(), { long: true }), time), id],
])('a signature %s is good', async (_, hashed, unhashed) => {
  expect(await outcome(hashed, unhashed)).toEqual(['good', 'good'])
})

/** What was unsigned is left away where a signature is brought from elsewhere. */
test.each([
  ['a critical unsigned issuer', all(issuer, time), subpacket(16, key.id, { critical: true }), 'good'],
  ['an unsigned issuer with a long length', all(issuer, time), subpacket(16, key.id, { long: true }), 'good'],
  ['two unsigned issuers', all(issuer, time), all(id, id), 'good'],
  ['something else unsigned', all(issuer, time), subpacket(100, Buffer.from('x')), 'good'],
  ['an unsigned issuer that is not the signed one', all(issuer, time), subpacket(16, other.id), 'tampered'],
  ['a signed key id that is not of the fingerprint', all(issuer, time, subpacket(16, other.id)), none, 'tampered'],
  ['a fingerprint of another version', all(subpacket(33, fingerprint(key, 5)), time), id, 'tampered'],
  ['a fingerprint that is too short', all(subpacket(33, fingerprint().subarray(0, 20)), time), id, 'tampered'],
  ['no time', issuer, id, 'tampered'],
  ['two times', all(issuer, time, subpacket(2, u32(T0 + 2000))), id, 'tampered'],
  ['a time of three bytes', all(issuer, subpacket(2, Buffer.alloc(3, 1))), id, 'tampered'],
  ['two fingerprints', all(issuer, issuer, time), id, 'tampered'],
  ['a subpacket of length 0', all(issuer, time, Buffer.from([0])), id, 'tampered'],
  ['a subpacket longer than its area', all(issuer, time, Buffer.from([9, 100, 1])), id, 'tampered'],
  ['a critical notation', all(issuer, time, notation(true)), id, 'tampered'],
  [
    'a critical subpacket that nobody knows',
    all(issuer, time, subpacket(100, Buffer.from('x'), { critical: true })),
    id,
    'tampered',
  ],
  ['a critical key expiration', all(issuer, time, subpacket(9, u32(0), { critical: true })), id, 'tampered'],
  ['a signature target', all(issuer, time, subpacket(31, all(Buffer.from([22, 8]), Buffer.alloc(32)))), id, 'tampered'],
  ['a signature in it', all(issuer, time, subpacket(32, key.signature({ type: 0, data: MANIFEST }))), id, 'tampered'],
  ['a revocation key', all(issuer, time, subpacket(12, Buffer.alloc(22))), id, 'tampered'],
])('a signature with %s is tampered with', async (_, hashed, unhashed, imported) => {
  expect(await outcome(hashed, unhashed)).toEqual(['tampered', imported])
})

test.each([
  ['names no key', time, none],
  [
    'has the right key id and a fingerprint of nobody',
    all(subpacket(33, all(Buffer.from([4]), Buffer.alloc(12), key.id)), time),
    id,
  ],
  ['names a key that is not there', all(subpacket(33, all(Buffer.from([4]), Buffer.alloc(20, 7))), time), none],
])('a signature that %s is of an unknown signer', async (_, hashed, unhashed) => {
  expect((await outcome(hashed, unhashed))[0]).toBe('unknown-signer')
})
