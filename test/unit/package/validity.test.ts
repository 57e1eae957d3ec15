/** What a key is worth: self-signatures of weak hashes, secrets that are in several keys, and what each key can do. */
import { expect, it } from 'vitest'
import { verifySignatures } from '../../../src/package/signature.ts'
import { abilities } from '../../../src/package/validity.ts'
import { armorKey, type HandKey, handKey, packet, revocationOf, T0 } from '../../kit/openpgp.ts'
import { keyringOf } from '../../kit/packages.ts'

const MANIFEST = Buffer.from('{"format": 1}\n')
const USER = 'Hand <hand@example.com>'
const DAY = 86_400

async function signers(files: readonly string[], ...signed: [as: HandKey, by: HandKey, made?: number][]) {
  const armors = signed.map(([as, by, made]) => ({
    name: `signatures/${as.fingerprint}.asc`,
    armor: Buffer.from(by.sign(MANIFEST, made === undefined ? {} : { made })),
  }))
  const found = await verifySignatures(MANIFEST, armors, await keyringOf(...files))
  return found.rejected.length > 0 ? found.rejected.map(({ code }) => code) : found.signers.map(one => one.fingerprint)
}

/** A key whose self-signatures these are. */
const keyWith = (key: HandKey, ...selfSignatures: Buffer[]) => {
  const parts: [number, Buffer][] = [
    [6, key.body],
    [13, Buffer.from(USER)],
  ]
  return armorKey(
    Buffer.concat([...parts, ...selfSignatures.map((body): [number, Buffer] => [2, body])].map(one => packet(...one))),
  )
}

it('a self-signature by a weak hash permits nothing', async () => {
  const key = handKey('rsa')
  expect(await signers([keyWith(key, key.certify(USER))], [key, key])).toEqual([key.fingerprint])
  for (const hash of ['sha1', 'md5'] as const)
    expect(await signers([keyWith(key, key.certify(USER, { hash }))], [key, key])).toEqual(['unknown-signer'])
})

it('but one that is newer than the others ends the key when it says so, and extends it never', async () => {
  const key = handKey('rsa')
  const [strong, strongEnd] = [key.certify(USER), key.certify(USER, { expires: DAY })]
  for (const hash of ['sha1', 'md5'] as const) {
    const newerEnd = key.certify(USER, { hash, made: T0 + 100, expires: DAY })
    const olderEnd = key.certify(USER, { hash, made: T0, expires: DAY })
    const newerLife = key.certify(USER, { hash, made: T0 + 100 })
    expect(await signers([keyWith(key, strong, newerEnd)], [key, key, T0 + 2 * DAY])).toEqual(['expired-key'])
    expect(await signers([keyWith(key, strong, newerEnd)], [key, key, T0 + DAY - 1])).toEqual([key.fingerprint])
    expect(await signers([keyWith(key, strong, olderEnd)], [key, key, T0 + 2 * DAY])).toEqual([key.fingerprint])
    expect(await signers([keyWith(key, strongEnd, newerLife)], [key, key, T0 + 2 * DAY])).toEqual(['expired-key'])
    // from a second copy of the key as well
    const copies = [keyWith(key, strong), keyWith(key, newerEnd)]
    expect(await signers(copies, [key, key, T0 + 2 * DAY])).toEqual(['expired-key'])
  }
})

it('one secret is one signer, in whatever keys it is; the newest signature is named', async () => {
  const [one, two, shared] = [handKey(), handKey(), handKey()]
  const files = [one, two].map(key => key.publicKey([14, shared.body], [2, key.bind(shared)]))
  expect(await signers(files, [one, one], [two, two])).toHaveLength(2)
  expect(await signers(files, [one, shared, T0 + 2 * DAY], [two, shared, T0 + 3 * DAY])).toEqual([two.fingerprint])
  // The same secret as a key of another date, and as a subkey of another key.
  const again = one.at(T0 + 5)
  const other = [one.publicKey(), again.publicKey(), two.publicKey([14, again.body], [2, two.bind(again)])]
  expect(again.fingerprint).not.toBe(one.fingerprint)
  expect(await signers(other, [one, one], [again, again])).toHaveLength(1)
  expect(await signers(other, [one, one], [two, again])).toHaveLength(1)
  expect(await signers(other, [one, one], [two, two])).toHaveLength(2)
  const [rsa, third] = [handKey('rsa'), handKey()]
  const later = rsa.at(T0 + 5)
  const all = [rsa, later, third].map(key => key.publicKey())
  expect(await signers(all, [rsa, rsa], [later, later], [third, third])).toHaveLength(2)
})

it('whoever shares a secret with two others makes them one', async () => {
  const [one, two, three] = [handKey(), handKey(), handKey()]
  const files = [
    one.publicKey(),
    two.publicKey([14, one.body], [2, two.bind(one)], [14, three.body], [2, two.bind(three)]),
    three.publicKey(),
  ]
  expect(await signers(files, [one, one], [three, three])).toHaveLength(2)
  expect(await signers(files, [one, one], [two, one], [three, three])).toHaveLength(2)
  expect(await signers(files, [one, one], [two, three], [three, three])).toHaveLength(2)
  const bridge = [...files, one.publicKey([14, three.body], [2, one.bind(three)])]
  expect(await signers(bridge, [one, one], [one, three], [three, three])).toHaveLength(1)
})

it('what each key can do, and until when', async () => {
  const [plain, ends, revoked, weak] = [handKey(), handKey(), handKey(), handKey('rsa')]
  const subkey = handKey()
  const keyring = await keyringOf(
    plain.publicKey(),
    keyWith(ends, ends.certify(USER, { expires: DAY })),
    revoked.publicKey([14, subkey.body], [2, revoked.bind(subkey)]),
    armorKey(packet(2, revocationOf(revoked))),
    keyWith(weak, weak.certify(USER, { hash: 'sha1' })),
  )
  const found = new Map((await abilities(keyring)).map(one => [one.fingerprint, one]))
  expect(found.get(plain.fingerprint)).toMatchObject({ userId: USER, until: Number.POSITIVE_INFINITY })
  expect(found.get(ends.fingerprint)?.until).toBe((T0 + DAY) * 1000)
  expect(found.get(revoked.fingerprint)).toMatchObject({ until: undefined, secrets: [] })
  expect(found.get(weak.fingerprint)).toMatchObject({ until: undefined })
})
