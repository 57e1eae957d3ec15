import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { fingerprints, loadKeys, watchedKeys } from '../../../src/package/signature.ts'
import { type KeyHome, makeKeyHome } from '../../kit/keys.ts'
import { type Key, testKey } from '../../kit/packages.ts'

let folder: string
let home: KeyHome
let one: Key
let two: Key
beforeAll(async () => {
  home = await makeKeyHome()
  one = await testKey('one')
  two = await testKey('two')
  await home.gpg(['--import'], one.publicKey + two.publicKey)
})
afterAll(() => home.close())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-keyring-'))
  return () => rm(folder, { recursive: true })
})

const put = (name: string, content: string | Uint8Array) => writeFile(join(folder, name), content)
const both = () => [one.fingerprint, two.fingerprint].sort()
const binary = (...names: string[]) => execFileSync('gpg', ['--homedir', home.folder, '--export', ...names])

it('no folder, or an empty one, holds no key and is no problem', async () => {
  expect(await loadKeys([join(folder, 'none'), folder])).toEqual({
    ...{ keys: [], files: 0, problems: [] },
    ...{ passedOver: [], revoked: new Set() },
  })
})

it('reads armored and binary files, several keys in one, by the end of their names', async () => {
  const forms: [string, string | Uint8Array][] = [
    ['both.asc', one.publicKey + two.publicKey],
    ['both.asc', `remarks\n\n${two.publicKey}\nmore remarks\n${one.publicKey}`],
    ['both.gpg', binary()],
    ['both.pgp', Buffer.concat([binary('one'), binary('two')])],
    ['both.asc', (await home.gpg(['--armor', '--export'])).stdout],
  ]
  for (const [name, content] of forms) {
    await put(name, content)
    const keyring = await loadKeys([folder])
    expect([fingerprints(keyring), keyring.files, keyring.problems]).toEqual([both(), 1, []])
    await rm(join(folder, name))
  }
  await put('one.txt', one.publicKey)
  await put('.one.asc', one.publicKey)
  await put('one.asc~', one.publicKey)
  expect(await loadKeys([folder])).toMatchObject({
    files: 0,
    passedOver: [join(folder, 'one.asc~'), join(folder, 'one.txt')],
  })
})

it('reads text as every editor saves it', async () => {
  const utf16 = (text: string) => Buffer.from(text, 'utf16le')
  const lines = one.publicKey.replaceAll('\n', '\r\n')
  const forms: Record<string, Buffer> = {
    'UTF-8 with a mark': Buffer.from(`\ufeff${one.publicKey}`),
    'UTF-16 as PowerShell writes it': utf16(`\ufeff${lines}`),
    'UTF-16 without a mark': utf16(one.publicKey),
    'UTF-16, big-endian': utf16(`\ufeff${one.publicKey}`).swap16(),
    'UTF-16, big-endian, without a mark': utf16(one.publicKey).swap16(),
    'lines of DOS': Buffer.from(lines),
  }
  for (const [name, bytes] of Object.entries(forms)) {
    await put('one.asc', bytes)
    const keyring = await loadKeys([folder])
    expect([name, fingerprints(keyring), keyring.problems]).toEqual([name, [one.fingerprint], []])
  }
})

it('a megabyte of beginnings costs next to nothing', async () => {
  const begin = '-----BEGIN PGP PUBLIC KEY BLOCK-----\n'
  await put('many.asc', begin.repeat(28_000))
  await put('signatures.asc', '-----BEGIN PGP SIGNATURE-----\n'.repeat(30_000))
  const before = performance.now()
  expect((await loadKeys([folder])).problems).toHaveLength(2)
  expect(performance.now() - before).toBeLessThan(1000)
})

it('watched keys are loaded anew when something about their files changed, and only then', async () => {
  const keys = watchedKeys([folder, join(folder, 'later')])
  const now = async () => fingerprints(await keys())
  await put('one.asc', one.publicKey)
  expect(await now()).toEqual([one.fingerprint])
  expect(await keys()).toBe(await keys())
  const [first, second] = await Promise.all([keys(), keys()])
  expect(first).toBe(second)
  await put('two.asc', two.publicKey)
  expect(await now()).toEqual(both())
  await rm(join(folder, 'one.asc'))
  expect(await now()).toEqual([two.fingerprint])
  // of the same length and date
  await put('one.asc', one.publicKey)
  const { mtime } = await stat(join(folder, 'one.asc'))
  await keys()
  await put('one.asc', one.publicKey.replace('PUBLIC', 'public'))
  await utimes(join(folder, 'one.asc'), mtime, mtime)
  expect(await now()).toEqual([two.fingerprint])
  await mkdir(join(folder, 'later'))
  await put('later/one.asc', one.publicKey)
  expect(await now()).toEqual(both())
  await symlink('nowhere', join(folder, 'link.asc'))
  expect((await keys()).problems).toHaveLength(2)
  expect(await keys()).not.toBe(await keys())
})

it('later folders and single files add; the same key twice is one', async () => {
  await mkdir(join(folder, 'usr'))
  await mkdir(join(folder, 'etc'))
  await put('usr/one.asc', one.publicKey)
  await put('etc/one.asc', one.publicKey)
  await put('etc/two.asc', two.publicKey)
  const keyring = await loadKeys([join(folder, 'usr'), join(folder, 'etc')])
  expect([fingerprints(keyring), keyring.files]).toEqual([both(), 3])
  expect(fingerprints(await loadKeys([join(folder, 'etc/two.asc')]))).toEqual([two.fingerprint])
})

it('what cannot be used is reported in a sentence, and the other keys still count', async () => {
  await put('a-empty.asc', '')
  await put('b-junk.asc', 'junk')
  await put('c-junk.gpg', Buffer.alloc(100, 0xff))
  await put('d-half.asc', one.publicKey.slice(0, -60))
  await put('e-more.asc', one.publicKey + two.publicKey.slice(0, -60))
  await put('f-secret.asc', one.secretKey)
  await put('g-secret.gpg', execFileSync('sh', ['-c', 'gpg --dearmor'], { input: one.secretKey }))
  await put('h-both.asc', one.publicKey + one.secretKey)
  await put('i-large.asc', one.publicKey + ' '.repeat(1024 * 1024))
  await put('j-keybox.gpg', Buffer.from('\0\0\0\x20\x01\x01\0\x02KBXf', 'latin1'))
  await put('k-message.asc', '-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n')
  await mkdir(join(folder, 'l-folder.asc'))
  await symlink('nowhere', join(folder, 'm-link.asc'))
  execFileSync('mkfifo', [join(folder, 'n-pipe.asc')])
  await put('z-good.asc', two.publicKey)
  const keyring = await loadKeys([folder])
  expect(fingerprints(keyring)).toEqual([two.fingerprint])
  expect(keyring.files).toBe(15)
  expect(keyring.problems.map(text => /^cannot use the keys in .*\/(.)-.*: ./.exec(text)?.[1]).join('')).toBe(
    'abcdefghijklmn',
  )
  const about = (name: string) => keyring.problems.find(text => text.includes(name))
  expect(about('a-empty')).toContain('it is empty')
  for (const name of ['f-secret', 'g-secret', 'h-both']) expect(about(name)).toContain('secret key')
  expect(about('j-keybox')).toContain('gpg --export')
})

it('more keys than anybody needs are refused', async () => {
  const keys = await Promise.all(Array.from({ length: 257 }, (_, at) => testKey(`key-${at}`)))
  await Promise.all(keys.map((key, at) => put(`${String(at).padStart(3, '0')}.asc`, key.publicKey)))
  const keyring = await loadKeys([folder])
  expect(keyring.keys).toHaveLength(256)
  expect(keyring.problems).toEqual([expect.stringContaining('more than 256')])
})
