/** `inspect` and `verify` on real packages: good ones, strangers' ones and spoiled ones. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { superblock } from '../../kit/io.ts'
import { assemble, type Key, smallPackage, testKey } from '../../kit/packages.ts'

let folder: string
let maker: Key
let key: string
let stranger: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-cli-'))
  maker = await testKey('maker')
  key = await file('maker.asc', maker.publicKey)
  stranger = await file('stranger.asc', (await testKey('stranger')).publicKey)
})
afterAll(() => rm(folder, { recursive: true }))

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}
const good = async () => assemble(await smallPackage([maker]))

test('verify reads all of a good package and names its signer', async () => {
  const path = await file('good.superblock', await good())
  const { status, out, err } = await superblock(['verify', path, '--key', key])
  expect([status, err]).toEqual([0, ''])
  expect(out).toMatch(/good\. Version 2\.0, \d+ members, .* all of its content checked/)
  expect(out).toContain(`signed by maker <maker@example.com>  ${maker.fingerprint}`)
  const answer = JSON.parse((await superblock(['verify', path, '--key', folder, '--json'])).out)
  expect(answer).toMatchObject({ ok: true, version: '2.0', signers: [{ fingerprint: maker.fingerprint }] })
})

test('verify names signatures that do not count beside those that do', async () => {
  const both = await smallPackage([maker, await testKey('other')])
  const { status, out } = await superblock(['verify', await file('both.superblock', assemble(both)), '--key', key])
  expect(status).toBe(0)
  expect(out).toMatch(
    /^ {2}does not count: signatures\/[0-9A-F]{40}\.asc: it was signed with the key .* not trusted here$/m,
  )
})

test('verify shows its progress on a terminal', async () => {
  const path = await file('good.superblock', await good())
  const { err } = await superblock(['verify', path, '--key', key], [])
  expect(err.replaceAll('\r\u001b[K', '<line>')).toMatch(/<line>\d+ % {2}/)
})

const spoil = (bytes: Buffer, at: number) => {
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return bytes
}

test.each([
  ['a byte of the manifest', 'tampered', async () => spoil(await good(), 512 + 20)],
  [
    'a byte of a member',
    'tampered',
    async () => {
      const bytes = await good()
      return spoil(bytes, bytes.lastIndexOf('tree'))
    },
  ],
  ['the end missing', 'truncated', async () => (await good()).subarray(0, -512)],
  ['something after the end', 'tampered', async () => Buffer.concat([await good(), Buffer.alloc(512)])],
  ['no signature', 'unsigned', async () => assemble(await smallPackage([]))],
  ['no package', 'not-a-package', async () => Buffer.alloc(2000, 'x')],
  [
    'a commit of another version',
    'wrong-commit',
    async () => assemble(await smallPackage([maker], { change: m => ({ ...m, version: '2.1' }) })),
  ],
  [
    'a commit of another time',
    'wrong-commit',
    async () => assemble(await smallPackage([maker], { change: m => ({ ...m, timestamp: '2026-02-01T00:00:01Z' }) })),
  ],
  [
    'a signature older than the release',
    'early-signature',
    async () => assemble(await smallPackage([maker], { change: m => ({ ...m, timestamp: '2026-06-01T00:00:00Z' }) })),
  ],
])('verify refuses %s: exit status 4 and the code %s', async (_, code, make) => {
  const path = await file('bad.superblock', await make())
  const { status, out, err } = await superblock(['verify', path, '--key', key])
  expect(status).toBe(4)
  expect(err).toMatch(/^superblock: cannot /)
  expect(err).toContain(`(${code})`)
  expect(out).not.toContain('content checked')
})

test('verify with no key, with a wrong key and with a key file that is not there', async () => {
  const path = await file('good.superblock', await good())
  expect(await superblock(['verify', path])).toMatchObject({ status: 4, err: expect.stringContaining('(no-keys)') })
  expect(await superblock(['verify', path, '--key', stranger])).toMatchObject({
    status: 4,
    err: expect.stringContaining('(unknown-signer)'),
  })
  expect((await superblock(['verify', path, '--key', join(folder, 'none.asc')])).status).toBe(2)
})

test('inspect shows a trusted release as such', async () => {
  const path = await file('good.superblock', await good())
  const { status, out } = await superblock(['inspect', path, '--key', key])
  expect(status).toBe(0)
  expect(out).toMatch(/^signatures +good/m)
  expect(out).toMatch(/^release\n {2}version +2\.0$/m)
  expect(out).toMatch(/delta +from [0-9a-f]{12}, 700 B/)
  expect(out).toContain('Better.')
  expect(out).not.toContain('claims')
})

test.each([
  ['a stranger signed', () => [key, good()] as const, () => stranger, 'unknown-signer'],
  ['nobody signed', () => [key, smallPackage([]).then(assemble)] as const, () => key, 'unsigned'],
])('inspect where %s: the manifest is shown as claims only', async (_, make, trusted, code) => {
  const path = await file('bad.superblock', await make()[1])
  const { status, out } = await superblock(['inspect', path, '--key', trusted()])
  expect(status).toBe(0)
  expect(out).toMatch(new RegExp(`NOT TRUSTED.*\\(${code}\\)`))
  expect(out).toMatch(/claims \(not verified\).*\n {2}version +2\.0/)
  expect(out).not.toMatch(/^release/m)
  const report = JSON.parse((await superblock(['inspect', path, '--key', trusted(), '--json'])).out)
  expect(report).toMatchObject({ trusted: false, code, claims: { version: '2.0' } })
  expect(report.manifest).toBeUndefined()
})

test('inspect survives a manifest that is none, and shows what it could', async () => {
  const path = await file('bad.superblock', assemble(await smallPackage([maker], { change: () => Buffer.from('{') })))
  const { status, out } = await superblock(['inspect', path, '--key', key])
  expect(status).toBe(0)
  expect(out).toMatch(/cannot /)
  expect(out).not.toMatch(/^release/m)
})

test('inspect of something else: exit status 4', async () => {
  const path = await file('text.superblock', 'hello')
  expect((await superblock(['inspect', path, '--key', key])).status).toBe(4)
})
