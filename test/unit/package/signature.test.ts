import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createMessage,
  config as defaults,
  enums,
  type PrivateKey,
  readKey,
  readPrivateKey,
  SignaturePacket,
} from 'openpgp'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { armorSignature, unarmorSignature } from '../../../src/package/armor.ts'
import { makeKey, signBytes, signerOf, verifySignatures } from '../../../src/package/signature.ts'
import { type KeyHome, makeKeyHome } from '../../kit/keys.ts'
import { keyringOf } from '../../kit/packages.ts'

const MANIFEST = Buffer.from('{"format": 1}\n')
const THEN = ['--faked-system-time=20250301T000000!']

let home: KeyHome
let folder: string
beforeAll(async () => {
  home = await makeKeyHome()
  folder = await mkdtemp(join(tmpdir(), 'sb-signature-'))
})
afterAll(async () => {
  await home.close()
  await rm(folder, { recursive: true })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Make a key with gpg as if it were `when`. */
async function gpgKey(user: string, algorithm: string, usage = 'sign', expires = 'never', options: string[] = []) {
  const said = await home.gpg([...options, '--status-fd=1', '--quick-generate-key', user, algorithm, usage, expires])
  return /KEY_CREATED \w ([0-9A-F]{40})/.exec(said.stdout)?.[1] ?? ''
}

const gpgSign = async (fingerprint: string, options: string[] = [], data: Uint8Array = MANIFEST) =>
  (await home.gpg([...options, '--armor', '--local-user', fingerprint, '--detach-sign', '-'], data)).stdout

const nameOf = (fingerprint: string) => `signatures/${fingerprint}.asc`

/** What comes of one signature file when the device trusts these keys. */
async function outcome(fingerprint: string, armor: string | Uint8Array, ...trusted: string[]) {
  const keyring = await keyringOf(...trusted)
  expect(keyring.problems).toEqual([])
  const { signers, rejected } = await verifySignatures(
    MANIFEST,
    [{ name: nameOf(fingerprint), armor: Buffer.from(armor) }],
    keyring,
  )
  expect(signers.length + rejected.length).toBe(1)
  return rejected[0]?.code ?? signers[0]?.fingerprint
}

describe('signatures by gpg', () => {
  it('RSA 4096, over SHA-256, SHA-384 and SHA-512', async () => {
    const key = await gpgKey('rsa4096', 'rsa4096')
    for (const digest of ['SHA256', 'SHA384', 'SHA512'])
      expect(await outcome(key, await gpgSign(key, ['--digest-algo', digest]), await home.publicKey(key))).toBe(key)
  })

  it('Ed25519, many of them, whatever their numbers begin with', async () => {
    const key = await gpgKey('ed25519', 'ed25519')
    const publicKey = await home.publicKey(key)
    const keyring = await keyringOf(publicKey)
    for (let i = 0; i < 40; i++) {
      const data = Buffer.from(`manifest ${i}`)
      const armor = Buffer.from(await gpgSign(key, [], data))
      const { signers } = await verifySignatures(data, [{ name: nameOf(key), armor }], keyring)
      expect(signers).toEqual([{ fingerprint: key, userId: 'ed25519', made: expect.any(Date) }])
    }
  })

  it('NIST P-256', async () => {
    const key = await gpgKey('p256', 'nistp256')
    expect(await outcome(key, await gpgSign(key), await home.publicKey(key))).toBe(key)
  })

  it('a signing subkey signs for its primary key', async () => {
    const key = await gpgKey('with subkey', 'ed25519', 'cert')
    await home.gpg(['--quick-add-key', key, 'ed25519', 'sign', 'never'])
    const armor = await gpgSign(key)
    expect(await outcome(key, armor, await home.publicKey(key))).toBe(key)
  })

  it('a revoked signing subkey does not, also for what it signed before', async () => {
    const key = await gpgKey('revoked subkey', 'ed25519', 'cert', 'never', THEN)
    await home.gpg([...THEN, '--quick-add-key', key, 'ed25519', 'sign', 'never'])
    const armor = await gpgSign(key, THEN)
    expect(await outcome(key, armor, await home.publicKey(key))).toBe(key)
    await home.gpg(['--command-fd=0', '--edit-key', key, 'key 1', 'revkey', 'save'], 'y\n0\n\ny\ny\n')
    expect(await outcome(key, armor, await home.publicKey(key))).toBe('revoked-key')
  })

  it('a revoked key does not; the revocation counts from whichever copy of the key, in any order', async () => {
    const key = await gpgKey('revoked', 'ed25519', 'sign', 'never', THEN)
    const armor = await gpgSign(key, THEN)
    const before = await home.publicKey(key)
    expect(await outcome(key, armor, before)).toBe(key)
    await home.gpg(['--command-fd=0', '--edit-key', key, 'revkey', 'save'], 'y\n0\n\ny\ny\n')
    const after = await home.publicKey(key)
    expect(await outcome(key, armor, after)).toBe('revoked-key')
    expect(await outcome(key, armor, before, after)).toBe('revoked-key')
    expect(await outcome(key, armor, after, before)).toBe('revoked-key')
  })

  it('text mode is refused: it lets line ends change', async () => {
    const key = await gpgKey('text', 'ed25519')
    expect(await outcome(key, await gpgSign(key, ['--textmode']), await home.publicKey(key))).toBe('weak-signature')
  })

  it('SHA-1, RIPEMD-160 and SHA-224 are refused', async () => {
    const key = await gpgKey('sha1', 'rsa2048')
    const publicKey = await home.publicKey(key)
    for (const digest of ['SHA1', 'RIPEMD160', 'SHA224']) {
      const armor = await gpgSign(key, ['--allow-weak-digest-algos', '--digest-algo', digest])
      expect([digest, await outcome(key, armor, publicKey)]).toEqual([digest, 'weak-signature'])
    }
  })

  it('weak keys are refused: RSA below 2048 bits, DSA', async () => {
    for (const algorithm of ['rsa1024', 'dsa2048']) {
      const key = await gpgKey(algorithm, algorithm)
      expect([algorithm, await outcome(key, await gpgSign(key), await home.publicKey(key))]).toEqual([
        algorithm,
        'weak-signature',
      ])
    }
  })

  it('a stranger is unknown, and so is everybody to an empty keyring', async () => {
    const key = await gpgKey('stranger', 'ed25519')
    const trusted = await makeKey({ userId: 'trusted' })
    expect(await outcome(key, await gpgSign(key), trusted.publicKey)).toBe('unknown-signer')
    expect(await outcome(key, await gpgSign(key))).toBe('unknown-signer')
  })

  it('two signers are two, one signer with two files is one', async () => {
    const first = await gpgKey('first', 'ed25519')
    const second = await gpgKey('second', 'ed25519')
    const keyring = await keyringOf(await home.publicKey(first), await home.publicKey(second))
    const file = async (key: string, time: string) => ({
      name: nameOf(key),
      armor: Buffer.from(await gpgSign(key, [`--faked-system-time=${time}!`])),
    })
    const newer = await file(first, '20300102T000000')
    const files = [await file(first, '20300101T000000'), newer, await file(second, '20300101T000000')]
    const { signers } = await verifySignatures(MANIFEST, files, keyring)
    expect(signers.map(signer => signer.fingerprint).sort()).toEqual([first, second].sort())
    expect(signers[0]?.made).toEqual(new Date('2030-01-02T00:00:00Z'))
    expect((await verifySignatures(MANIFEST, files.slice(0, 2), keyring)).signers).toHaveLength(1)
  })
})

describe('no clock', () => {
  const shortLived = () => gpgKey(`until 2025-04-01 ${Math.random()}`, 'ed25519', 'sign', '20250401T000000', THEN)

  it.each(['1970-01-01', '2025-03-01', '2026-01-01', '2099-01-01'])(
    'a key that has expired still vouches for what it signed before; the device believes it is %s',
    async now => {
      const key = await shortLived()
      const armor = await gpgSign(key, ['--faked-system-time=20250315T000000!'])
      vi.useFakeTimers({ now: new Date(now), toFake: ['Date'] })
      expect(await outcome(key, armor, await home.publicKey(key))).toBe(key)
    },
  )

  it.each(['1970-01-01', '2025-03-15', '2099-01-01'])(
    'what is dated after the end of its key is refused; the device believes it is %s',
    async now => {
      const key = await shortLived()
      const armor = await signAt(await home.secretKey(key), '2025-04-02')
      vi.useFakeTimers({ now: new Date(now), toFake: ['Date'] })
      expect(await outcome(key, armor, await home.publicKey(key))).toBe('expired-key')
    },
  )

  it('what is dated before its key was made is refused', async () => {
    const key = await shortLived()
    const armor = await signAt(await home.secretKey(key), '2025-02-01')
    expect(await outcome(key, armor, await home.publicKey(key))).toBe('expired-key')
  })

  it('a subkey that had expired is refused, though its primary key lives', async () => {
    const key = await gpgKey('subkey ends', 'ed25519', 'cert', 'never', THEN)
    await home.gpg([...THEN, '--quick-add-key', key, 'ed25519', 'sign', '20250401T000000'])
    const early = await signAt(await home.secretKey(key), '2025-03-15', 1)
    const late = await signAt(await home.secretKey(key), '2025-04-15', 1)
    expect(await outcome(key, early, await home.publicKey(key))).toBe(key)
    expect(await outcome(key, late, await home.publicKey(key))).toBe('expired-key')
  })

  it('a key whose life was extended counts with its new end', async () => {
    const key = await shortLived()
    const armor = await signAt(await home.secretKey(key), '2025-05-01')
    expect(await outcome(key, armor, await home.publicKey(key))).toBe('expired-key')
    await home.gpg(['--quick-set-expire', key, '2030-01-01'])
    expect(await outcome(key, armor, await home.publicKey(key))).toBe(key)
  })
})

/** Sign with one of a key's packets, whatever it is allowed to do and whenever. */
async function signAt(secretKey: string, date: string, subkey?: number): Promise<string> {
  const key = await readPrivateKey({ armoredKey: secretKey })
  const packet = new SignaturePacket()
  const signing = (subkey === undefined ? key : key.subkeys[subkey - 1])?.keyPacket as PrivateKey['keyPacket']
  packet.signatureType = enums.signature.binary
  packet.hashAlgorithm = enums.hash.sha256
  packet.publicKeyAlgorithm = signing.algorithm
  const literal = (await createMessage({ binary: MANIFEST })).packets[0]
  const sign = packet.sign.bind(packet) as unknown as (...all: unknown[]) => Promise<void>
  await sign(signing, literal, new Date(date), true, { ...defaults, nonDeterministicSignaturesViaNotation: false })
  const body = packet.write()
  return armorSignature(Buffer.concat([Buffer.from([0x89, body.length >> 8, body.length & 0xff]), body]))
}

describe('permission', () => {
  it('a subkey without the flag for signing is refused', async () => {
    const key = await gpgKey('auth only', 'ed25519', 'cert')
    await home.gpg(['--quick-add-key', key, 'ed25519', 'auth', 'never'])
    const armor = await signAt(await home.secretKey(key), '2030-01-01', 1)
    expect(await outcome(key, armor, await home.publicKey(key))).toBe('unknown-signer')
  })

  it('a primary key that may only certify is refused', async () => {
    const key = await gpgKey('certify only', 'ed25519', 'cert')
    const armor = await signAt(await home.secretKey(key), '2030-01-01')
    expect(await outcome(key, armor, await home.publicKey(key))).toBe('unknown-signer')
  })

  it('a subkey whose own consent, the back-signature, is missing is refused', async () => {
    const key = await gpgKey('no consent', 'ed25519', 'cert')
    await home.gpg(['--quick-add-key', key, 'ed25519', 'sign', 'never'])
    const armor = await gpgSign(key)
    const publicKey = await readKey({ armoredKey: await home.publicKey(key) })
    const binding = publicKey.subkeys[0]?.bindingSignatures[0]
    expect(binding?.embeddedSignature).not.toBeNull()
    if (binding) binding.unhashedSubpackets = binding.unhashedSubpackets.filter(({ type }) => type !== 32)
    expect(await outcome(key, armor, publicKey.armor())).toBe('unknown-signer')
  })

  it('a subkey that another key claims for itself is refused', async () => {
    const owner = await gpgKey('owner', 'ed25519', 'cert')
    await home.gpg(['--quick-add-key', owner, 'ed25519', 'sign', 'never'])
    const armor = await gpgSign(owner)
    const thief = await gpgKey('thief', 'ed25519', 'cert')
    const stolen = await readKey({ armoredKey: await home.publicKey(thief) })
    stolen.subkeys.push(...(await readKey({ armoredKey: await home.publicKey(owner) })).subkeys)
    expect(await outcome(thief, armor, stolen.armor())).toBe('unknown-signer')
  })
})

describe('a signature file', () => {
  let key: string
  let armor: string
  let publicKey: string
  beforeAll(async () => {
    key = await gpgKey('form', 'ed25519')
    armor = await gpgSign(key)
    publicKey = await home.publicKey(key)
  })

  it('over other bytes is refused', async () => {
    expect(await outcome(key, await gpgSign(key, [], Buffer.from('{"format": 1}')), publicKey)).toBe('tampered')
  })

  it('under the name of another key is refused', async () => {
    expect(await outcome('A'.repeat(40), armor, publicKey)).toBe('tampered')
    const other = await gpgKey('other name', 'ed25519')
    expect(await outcome(other, armor, publicKey, await home.publicKey(other))).toBe('tampered')
  })

  it('with two blocks, two packets, or anything around its one block is refused', async () => {
    const packet = unarmorSignature(Buffer.from(armor)) ?? Buffer.alloc(0)
    const others = [
      armor + armor,
      `${armor}\n`,
      `\n${armor}`,
      armor.replace('\n\n', '\nComment: hello\n\n'),
      armor.replaceAll('\n', '\r\n'),
      armor.replaceAll('SIGNATURE', 'MESSAGE'),
      armor.replace(/=.*\n-/, '-'),
      armor.trimEnd(),
      armorSignature(Buffer.concat([packet, packet])),
      armorSignature(packet.subarray(0, -1)),
      armorSignature(Buffer.alloc(0)),
      packet,
      '',
    ]
    for (const other of others)
      expect([String(other), await outcome(key, other, publicKey)]).toEqual([String(other), 'tampered'])
  })

  it('has no bit that could be another, the checksum of its armor made right or not', async () => {
    const keyring = await keyringOf(publicKey)
    const packet = unarmorSignature(Buffer.from(armor)) ?? Buffer.alloc(0)
    for (let bit = 0; bit < packet.length * 8; bit++) {
      const changed = Buffer.from(packet)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const file = { name: nameOf(key), armor: Buffer.from(armorSignature(changed)) }
      expect([bit, (await verifySignatures(MANIFEST, [file], keyring)).signers]).toEqual([bit, []])
    }
  })

  it('of a cleartext or an inline signed message is refused', async () => {
    const inline = (await home.gpg(['--armor', '--local-user', key, '--sign', '-'], MANIFEST)).stdout
    const clear = (await home.gpg(['--armor', '--local-user', key, '--clear-sign', '-'], MANIFEST)).stdout
    for (const other of [inline, clear]) expect(await outcome(key, other, publicKey)).toBe('tampered')
  })

  it('of 20 MB, or of junk, costs next to nothing', async () => {
    const junk = Buffer.alloc(20_000_000, 'A')
    Buffer.from('-----BEGIN PGP SIGNATURE-----\n\n').copy(junk)
    const before = process.cpuUsage()
    expect(await outcome(key, junk, publicKey)).toBe('too-large')
    expect(await outcome(key, junk.subarray(0, 16 * 1024), publicKey)).toBe('tampered')
    const { user, system } = process.cpuUsage(before)
    const one = process.cpuUsage()
    for (let i = 0; i < 100; i++) await outcome(key, armor, publicKey)
    const hundred = process.cpuUsage(one)
    expect(user + system).toBeLessThan(hundred.user + hundred.system)
  })
})

describe('our own keys and signatures', () => {
  it('are read and checked by gpg', async () => {
    const key = await makeKey({ userId: 'Acme Updates <updates@acme.example>' })
    const { fingerprint, armor } = await signBytes(MANIFEST, key.secretKey)
    expect(fingerprint).toBe(key.fingerprint)
    await home.gpg(['--import'], key.publicKey)
    const [data, file] = [join(folder, 'manifest.json'), join(folder, 'ours.asc')]
    await writeFile(data, MANIFEST)
    await writeFile(file, armor)
    const { stdout } = await home.gpg(['--status-fd=1', '--verify', file, data])
    expect(stdout).toContain(`VALIDSIG ${key.fingerprint}`)
    expect(stdout).toContain('Acme Updates <updates@acme.example>')
    expect(await outcome(key.fingerprint, armor, key.publicKey)).toBe(key.fingerprint)
  })

  it('the secret key can sign in gpg, with its passphrase', async () => {
    const key = await makeKey({ userId: 'Acme <a@acme.example>', passphrase: 'open sesame' })
    const open = ['--batch', '--passphrase', 'open sesame']
    await home.gpg([...open, '--import'], key.secretKey)
    expect(await outcome(key.fingerprint, await gpgSign(key.fingerprint, open), key.publicKey)).toBe(key.fingerprint)
  })

  it('a passphrase is asked for, and must be right', async () => {
    const key = await makeKey({ userId: 'Acme', passphrase: 'open sesame' })
    const code = (passphrase?: string) =>
      signBytes(MANIFEST, key.secretKey, passphrase).then(
        () => 'signed',
        e => e.code,
      )
    expect([await code(), await code('wrong'), await code('open sesame')]).toEqual(['bad-key', 'bad-key', 'signed'])
    await expect(signBytes(MANIFEST, 'junk')).rejects.toMatchObject({ code: 'bad-key' })
    await expect(signBytes(MANIFEST, key.publicKey)).rejects.toMatchObject({ code: 'bad-key' })
    for (const userId of ['', ' ', 'Acme <acme', '<no address>', 'Acme <@>'])
      await expect(makeKey({ userId })).rejects.toMatchObject({ code: 'bad-user-id' })
  })

  it('the same bytes signed at the same second give the same signature', async () => {
    const key = await makeKey({ userId: 'Acme', made: new Date('2026-01-01') })
    const sign = () => signBytes(MANIFEST, key.secretKey, undefined, new Date('2026-01-02'))
    expect(await sign()).toEqual(await sign())
  })

  it('a secret key that gpg exported signs, and its subkey signs for it', async () => {
    const key = await gpgKey('exported', 'rsa2048', 'cert')
    await home.gpg(['--quick-add-key', key, 'rsa2048', 'sign', 'never'])
    const { fingerprint, armor } = await signBytes(MANIFEST, await home.secretKey(key))
    expect(fingerprint).toBe(key)
    expect(await outcome(key, armor, await home.publicKey(key))).toBe(key)
  })
})

describe('a signature made elsewhere', () => {
  it('is taken in armored or binary, with comments or other line ends, in the form that a package wants', async () => {
    const key = await gpgKey('elsewhere', 'ed25519')
    const publicKey = await home.publicKey(key)
    const armor = await gpgSign(key)
    const forms = [
      armor,
      armor.replace('\n\n', '\nComment: hello\nVersion: 1\n\n'),
      armor.replaceAll('\n', '\r\n'),
      unarmorSignature(Buffer.from(armor)) ?? '',
    ]
    for (const form of forms) {
      const taken = await signerOf(MANIFEST, Buffer.from(form), await keyringOf(publicKey))
      expect(taken).toMatchObject({ fingerprint: key, userId: 'elsewhere', made: expect.any(Date) })
      expect(await outcome(key, taken.armor, publicKey)).toBe(key)
    }
  })

  it('is refused with the code that a device would have for it', async () => {
    const key = await gpgKey('refused', 'ed25519')
    const keyring = await keyringOf(await home.publicKey(key))
    const code = (bytes: Uint8Array | string, form: string, ring = keyring) =>
      signerOf(Buffer.from(bytes), Buffer.from(form), ring).then(
        () => 'taken',
        e => e.code,
      )
    const armor = await gpgSign(key)
    expect(await code('other', armor)).toBe('tampered')
    expect(await code(MANIFEST, armor + armor)).toBe('tampered')
    expect(await code(MANIFEST, 'junk')).toBe('tampered')
    expect(await code(MANIFEST, '')).toBe('tampered')
    expect(await code(MANIFEST, await gpgSign(key, ['--textmode']))).toBe('weak-signature')
    expect(await code(MANIFEST, armor, await keyringOf())).toBe('unknown-signer')
  })
})
