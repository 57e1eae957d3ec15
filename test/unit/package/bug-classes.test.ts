/** Kinds of mistakes that became vulnerabilities in other update systems; each is named after its class. */
import { readdirSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMessage, config as defaults, enums, readPrivateKey, SignaturePacket } from 'openpgp'
import { beforeAll, beforeEach, expect, it } from 'vitest'
import { armorSignature } from '../../../src/package/armor.ts'
import { ustarHeader } from '../../../src/package/header.ts'
import { parseManifest } from '../../../src/package/manifest.ts'
import { readHead, readIndex, type Source, verifyWhole } from '../../../src/package/read.ts'
import { type Keyring, loadKeys, verifySignatures } from '../../../src/package/signature.ts'
import { writePackage } from '../../../src/package/write.ts'
import { stagingOf } from '../../../src/update/staging.ts'
import {
  archiveOf,
  assemble,
  copyMembers,
  entriesOf,
  flip,
  type Key,
  keyringOf,
  memorySource,
  type Parts,
  SIGNED,
  sha256,
  signatures,
  smallManifest,
  smallMembers,
  smallPackage,
  testKey,
  verdictOn,
} from '../../kit/packages.ts'

let folder: string
let key: Key
let keyring: Keyring
let parts: Parts
let good: Buffer
beforeAll(async () => {
  key = await testKey('classes')
  keyring = await keyringOf(key)
  parts = await smallPackage([key])
  good = assemble(parts)
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-classes-'))
  return () => rm(folder, { recursive: true })
})

it('time of check, time of use: a medium that tells something else the second time gets nothing past the check', async () => {
  for (let turn = 0; turn < 40; turn++) {
    let reads = 0
    const truth = memorySource(good)
    const liar: Source = {
      ...truth,
      read: async (position, length) => {
        const bytes = await truth.read(position, length)
        reads++
        return reads > turn % 10 ? flip(bytes, (turn * 131) % Math.max(1, bytes.length), 1) : bytes
      },
    }
    const copies = join(folder, String(turn))
    const refused = await copyAll(liar, copies).then(
      () => '',
      error => error.code,
    )
    if (refused) expect(refused).toMatch(/tampered|truncated|not-a-package/)
    for (const name of await readdir(copies).catch(() => []))
      expect(good.includes(await readFile(join(copies, name)))).toBe(true)
    if (!refused) expect(await readdir(copies)).toHaveLength(smallMembers().length)
  }
})

async function copyAll(source: Source, to: string): Promise<void> {
  const head = await readHead(source)
  const { signers } = await verifySignatures(head.manifest, head.signatures, keyring)
  if (signers.length === 0) throw Object.assign(new Error('unsigned'), { code: 'tampered' })
  const members = await readIndex(source, head, parseManifest(head.manifest))
  await rm(to, { recursive: true, force: true })
  await mkdir(to)
  await copyMembers(source, members, member => join(to, sha256(member.path)))
}

it('a signature over part of the file: no byte of it is outside', async () => {
  for (let at = 0; at < good.length; at += 61)
    expect([at, await verdictOn(flip(good, at, 0x20), keyring)]).not.toEqual([at, 'accepted'])
  expect(await verdictOn(Buffer.concat([good, Buffer.from('x')]), keyring)).toBe('tampered')
  expect(await verdictOn(Buffer.concat([Buffer.from('x'), good]), keyring)).toBe('not-a-package')
})

it('headers and metadata outside the signature: owner, mode, time and kind of an entry cannot be chosen', async () => {
  for (const [at, entry] of entriesOf(parts).entries())
    for (const [offset, text] of [
      [100, '004755 '],
      [108, '001750 '],
      [136, '14000000000 '],
      [156, '2'],
      [157, '/etc/passwd'],
    ] as const) {
      const header = ustarHeader(entry.path, entry.bytes.length)
      header.write(text, offset, 'latin1')
      header.fill(0x20, 148, 156)
      header.write(
        `${header
          .reduce((sum, byte) => sum + byte, 0)
          .toString(8)
          .padStart(6, '0')} \0`,
        148,
        'latin1',
      )
      const code = await verdictOn(archiveOf(entriesOf(parts).with(at, { ...entry, header })), keyring)
      expect([at, offset, code]).toEqual([at, offset, at === 0 ? 'not-a-package' : 'tampered'])
    }
})

it('predictable temporary names and planted links: a package is written under a random name and replaces a link', async () => {
  const victim = join(folder, 'victim')
  await writeFile(victim, 'mine')
  const names = new Set<string>()
  for (let i = 0; i < 3; i++) {
    const out = join(folder, `p${i}`)
    await symlink(victim, out)
    const big = { path: `objects/ff/${'f'.repeat(62)}.filez`, bytes: Buffer.alloc(3_000_000, i), unpacked: 1 }
    await writePackage(out, {
      manifest: smallManifest(),
      members: [...smallMembers(), big],
      onBytes: () => {
        for (const name of readdirSync(folder)) if (name.endsWith('.tmp')) names.add(name)
      },
    })
    await expect(readlink(out)).rejects.toThrow()
  }
  expect(await readFile(victim, 'utf8')).toBe('mine')
  expect(names.size).toBe(3)
  for (const name of names) expect(name).toMatch(/^\.[0-9a-f]{16}\.tmp$/)
})

it('a missing key file means that anything is accepted: here it means that nothing is', async () => {
  for (const keys of [[], [join(folder, 'none')], [folder]])
    expect(await verdictOn(good, await loadKeys(keys))).toBe('unknown-signer')
  await writeFile(join(folder, 'empty.asc'), '')
  expect(await verdictOn(good, await loadKeys([folder]))).toBe('unknown-signer')
  expect(await verdictOn(assemble({ ...parts, signatures: [] }), keyring)).toBe('unsigned')
})

it('a bypass by the kind of signature: only one over binary data counts', async () => {
  const secret = await readPrivateKey({ armoredKey: key.secretKey })
  const literal = (await createMessage({ binary: parts.manifest })).packets[0]
  const kinds = { binary: 0x00, text: 0x01, standalone: 0x02, timestamp: 0x40 }
  for (const [kind, type] of Object.entries(kinds)) {
    const packet = new SignaturePacket()
    packet.signatureType = type
    packet.hashAlgorithm = enums.hash.sha512
    packet.publicKeyAlgorithm = secret.keyPacket.algorithm
    const sign = packet.sign.bind(packet) as unknown as (...all: unknown[]) => Promise<void>
    await sign(secret.keyPacket, literal, SIGNED, true, { ...defaults, nonDeterministicSignaturesViaNotation: false })
    const body = packet.write()
    const bytes = Buffer.from(armorSignature(Buffer.concat([Buffer.from([0x88, body.length]), body])))
    const file = { path: `signatures/${key.fingerprint}.asc`, bytes }
    const expected = kind === 'binary' ? 'accepted' : 'weak-signature'
    expect([kind, await verdictOn(assemble({ ...parts, signatures: [file] }), keyring)]).toEqual([kind, expected])
  }
})

it('code run from removable media: what is copied lies where its owner alone can enter', async () => {
  const ignored = { read() {}, written() {} }
  await stagingOf(folder, 'x').fill(memorySource(good), [], 'bare', new Map(), ignored)
  for (const path of ['staging/x', 'staging/x/repo', 'staging/x/repo/objects'])
    expect([path, (await stat(join(folder, path))).mode & 0o777]).toEqual([path, 0o700])
})

it('path traversal and link targets: no path outside the repository can be named, not even by who signs', async () => {
  for (const path of [
    '../../etc/shadow',
    '/etc/shadow',
    'objects/../config',
    'objects/aa',
    'refs/heads/../../x',
    'state/x',
    'tmp/x',
  ]) {
    const members = smallMembers().map(m => (m.path === 'config' ? { ...m, path } : m))
    members.sort((a, b) => (a.path < b.path ? -1 : 1))
    expect([path, await verdictOn(assemble(await smallPackage([key], { members })), keyring)]).toEqual([
      path,
      'tampered',
    ])
  }
})

it('a branch not bound by the signature: ref and commit are what the signed manifest says', async () => {
  const spoiled = async (change: (m: { path: string; bytes: Buffer; unpacked: number }) => object) =>
    verdictOn(
      assemble(await smallPackage([key], { members: smallMembers().map(m => ({ ...m, ...change(m) })) })),
      keyring,
    )
  const isRef = (path: string) => path.startsWith('refs/')
  expect(await spoiled(m => (isRef(m.path) ? { path: 'refs/heads/acme/other' } : {}))).toBe('tampered')
  expect(await spoiled(m => (isRef(m.path) ? { bytes: Buffer.from(`${sha256('other')}\n`) } : {}))).toBe('tampered')
  const other = await smallPackage([key], { change: m => ({ ...m, ref: 'acme/other' }) })
  expect(await verdictOn(assemble(other), keyring)).toBe('tampered')
  const commit = await smallPackage([key], { change: m => ({ ...m, commit: sha256('other') }) })
  expect(await verdictOn(assemble(commit), keyring)).toBe('tampered')
})

it('a threshold that one signer fills alone: distinct primary keys are what counts', async () => {
  const [file] = await signatures(parts.manifest, [key])
  const twice = [file, file].map(entry => ({ name: entry?.path ?? '', armor: entry?.bytes ?? Buffer.alloc(0) }))
  expect((await verifySignatures(parts.manifest, twice, keyring)).signers).toHaveLength(1)
  expect(await verdictOn(good, keyring, 2)).toBe('unsigned')
})

it('decompression bombs: reading unpacks nothing, and what unpacking will take is signed', async () => {
  const bomb = smallMembers().map(m => (m.unpacked === 4000 ? { ...m, unpacked: 2 ** 50 } : m))
  const honest = await smallPackage([key], { members: bomb })
  expect(parseManifest(honest.manifest).payload.unpacked).toBeGreaterThan(2 ** 50)
  const lying = await smallPackage([key], {
    members: bomb,
    change: m => ({ ...m, payload: { ...m.payload, unpacked: 8000 } }),
  })
  expect(await verdictOn(assemble(lying), keyring)).toBe('tampered')
  const source = memorySource(assemble(honest))
  const head = await readHead(source)
  await verifyWhole(source, await readIndex(source, head, parseManifest(head.manifest)))
})
