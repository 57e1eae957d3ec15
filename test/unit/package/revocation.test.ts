/** What ends a key: certificates of revocation in whatever file, also those that nobody here can check. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { verifySignatures } from '../../../src/package/signature.ts'
import { type KeyHome, makeKeyHome } from '../../kit/keys.ts'
import { armorKey, type HandKey, handKey, packet, revocationOf, T0, u32 } from '../../kit/openpgp.ts'
import { keyringOf } from '../../kit/packages.ts'

const MANIFEST = Buffer.from('{"format": 1}\n')

let home: KeyHome
beforeAll(async () => {
  home = await makeKeyHome()
})
afterAll(() => home.close())

/** What comes of the signatures, and of what the files' problems say. */
async function outcome(signatures: Record<string, string>, ...files: (string | Buffer)[]) {
  const keyring = await keyringOf(...files)
  const armors = Object.entries(signatures).map(([key, armor]) => ({
    name: `signatures/${key}.asc`,
    armor: Buffer.from(armor),
  }))
  const { signers, rejected } = await verifySignatures(MANIFEST, armors, keyring)
  return { signers: signers.length, codes: rejected.map(({ code }) => code), problems: keyring.problems }
}
const by = (...keys: HandKey[]) => Object.fromEntries(keys.map(key => [key.fingerprint, key.sign(MANIFEST)]))

it('the certificate that gpg makes with every key, and the one that it makes when asked', async () => {
  const key = await home.generate('Acme <a@acme.example>')
  const publicKey = await home.publicKey(key)
  const armor = { [key]: await home.sign(MANIFEST, key) }
  expect(await outcome(armor, publicKey)).toMatchObject({ signers: 1 })
  const [name = ''] = await readdir(join(home.folder, 'openpgp-revocs.d'))
  const own = await readFile(join(home.folder, 'openpgp-revocs.d', name), 'utf8')
  expect(own).toContain('\n:-----BEGIN PGP PUBLIC KEY BLOCK-----')
  const how = [
    '--no-tty',
    '--pinentry-mode=loopback',
    '--passphrase=',
    '--command-fd=0',
    '--armor',
    '--gen-revoke',
    key,
  ]
  const asked = (await run(['gpg', `--homedir=${home.folder}`, ...how], { input: 'y\n0\n\ny\n' })).stdout
  const revoked = { signers: 0, codes: ['revoked-key'], problems: [] }
  for (const certificate of [own, own.replace('\n:', '\n'), asked]) {
    expect(await outcome(armor, publicKey, certificate)).toEqual(revoked)
    expect(await outcome(armor, certificate, publicKey)).toEqual(revoked)
    expect(await outcome(armor, publicKey + certificate)).toEqual(revoked)
  }
})

it('a binary one, alone or behind the keys of a file, ends the key that it names and no other', async () => {
  const [one, two] = [handKey(), handKey()]
  const certificate = packet(2, revocationOf(one))
  const dearmored = (key: HandKey) => Buffer.from(key.publicKey().split('-----')[2] ?? '', 'base64')
  const ended = { signers: 1, codes: ['revoked-key'], problems: [] }
  expect(await outcome(by(one, two), one.publicKey(), two.publicKey(), certificate)).toEqual(ended)
  expect(await outcome(by(one), one.publicKey(), armorKey(certificate))).toEqual({ ...ended, signers: 0 })
  // Behind another key it looks like a part of that, which then is not used either.
  const behind = Buffer.concat([dearmored(one), dearmored(two), certificate])
  expect(await outcome(by(one, two), behind)).toMatchObject({ codes: ['revoked-key', 'revoked-key'] })
})

it('one of a subkey ends that subkey', async () => {
  const [primary, subkey, other] = [handKey(), handKey(), handKey()]
  const key = primary.publicKey(
    [14, subkey.body],
    [2, primary.bind(subkey)],
    [14, other.body],
    [2, primary.bind(other)],
  )
  const framed = (one: HandKey) => Buffer.concat([Buffer.from([0x99, 0, one.body.length]), one.body])
  const certificate = primary.signature({ type: 0x28, data: Buffer.concat([framed(primary), framed(subkey)]) })
  const signed = (one: HandKey) => ({ [primary.fingerprint]: one.sign(MANIFEST) })
  const files = [key, armorKey(packet(2, certificate))]
  expect(await outcome(signed(subkey), ...files)).toEqual({ signers: 0, codes: ['revoked-key'], problems: [] })
  expect(await outcome(signed(other), ...files)).toEqual({ signers: 1, codes: [], problems: [] })
})

it('one for a key that is not here is no trouble', async () => {
  const [here, gone] = [handKey(), handKey()]
  const certificate = armorKey(packet(2, revocationOf(gone)))
  expect(await outcome(by(here), here.publicKey(), certificate)).toEqual({ signers: 1, codes: [], problems: [] })
})

it('one that names a key and is not good ends it all the same, and is said', async () => {
  const [key, other] = [handKey(), handKey()]
  const good = revocationOf(key)
  const cases = {
    broken: Buffer.concat([good.subarray(0, -1), Buffer.from([(good.at(-1) ?? 0) ^ 1])]),
    'of another key': revocationOf(other, key),
    'of version 7': Buffer.concat([Buffer.from([7]), good.subarray(1)]),
    'of algorithm 99': Buffer.concat([good.subarray(0, 2), Buffer.from([99]), good.subarray(3)]),
    'of version 3': Buffer.concat([Buffer.from([3, 5, 0x20]), u32(T0), key.id, Buffer.from([22, 10, 0, 0, 0, 1, 1])]),
  }
  for (const [name, certificate] of Object.entries(cases)) {
    const found = await outcome(by(key, other), key.publicKey(), other.publicKey(), armorKey(packet(2, certificate)))
    expect(found, name).toMatchObject({ signers: 1, codes: ['revoked-key'] })
    expect(found.problems, name).toEqual([expect.stringMatching(/^cannot check the revocation in .*2\.asc: it names/)])
    expect(found.problems[0], name).toContain(key.fingerprint)
  }
})

it('one in a key that openpgp cannot read ends the key, and is said', async () => {
  const key = handKey()
  const good = revocationOf(key)
  const unknown = [
    Buffer.concat([Buffer.from([7]), good.subarray(1)]),
    Buffer.concat([good.subarray(0, 2), Buffer.from([99]), good.subarray(3)]),
    Buffer.concat([Buffer.from([3, 5, 0x20]), u32(T0), key.id, Buffer.from([22, 10, 0, 0, 0, 1, 1])]),
  ]
  for (const revocation of unknown)
    expect(await outcome(by(key), key.publicKey([2, revocation]))).toEqual({
      signers: 0,
      codes: ['revoked-key'],
      problems: [expect.stringMatching(/^cannot check a revocation in .*counts as revoked$/)],
    })
})

it('a weak hash takes trust away, too', async () => {
  const key = handKey('rsa')
  for (const hash of ['sha1', 'md5'] as const) {
    const certificate = armorKey(packet(2, revocationOf(key, key, hash)))
    const found = await outcome(by(key), key.publicKey(), certificate)
    expect(found).toEqual({ signers: 0, codes: ['revoked-key'], problems: [] })
  }
})

it('a signature that revokes nothing is named', async () => {
  const key = handKey()
  const signature = packet(2, key.signature({ type: 0, data: MANIFEST }))
  for (const file of [armorKey(signature), signature, key.sign(MANIFEST)]) {
    const { problems } = await outcome({}, file)
    expect(problems).toEqual([expect.stringContaining('it holds a signature that revokes nothing')])
  }
})
