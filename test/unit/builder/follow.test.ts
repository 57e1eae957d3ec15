/** Releases that could not be followed by another: what is refused before it leaves the house, and what is said. */
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { type CommitOptions, commit } from '../../../src/builder/commit.ts'
import { checkHoldable } from '../../../src/builder/holdable.ts'
import { makePackage } from '../../../src/builder/package.ts'
import { commitView, folderView } from '../../../src/builder/tree/view.ts'
import type { Work } from '../../../src/builder/work.ts'
import { readCommit } from '../../../src/ostree/contents.ts'
import { makeKey } from '../../../src/package/signature.ts'
import { armorKey, handKey, packet, revocationOf } from '../../kit/openpgp.ts'
import type { Key } from '../../kit/packages.ts'
import { makeTree } from '../../kit/sysroot.ts'

const REF = 'acme/gw'
const KEYS = 'usr/lib/superblock/keys'
const TOML = { 'usr/lib/superblock/superblock.toml': '[device]\ncompatible = "acme-gw"\n' }

let folder: string
let repo: string
let count = 0
let maker: Key
let other: Key
let old: Key
const notes: string[] = []
const work: Work = {
  signal: new AbortController().signal,
  progress: (_, task) => task(() => {}),
  note: text => notes.push(text),
}

const made = new Date('2025-01-01T00:00:00Z')
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'follow-'))
  maker = await makeKey({ userId: 'Maker <m@acme.example>', made })
  other = await makeKey({ userId: 'Other <o@acme.example>', made })
  old = await makeKey({ userId: 'Old <old@acme.example>', made, life: 86_400 })
  for (const key of [maker, other, old]) await writeFile(join(folder, `${key.fingerprint}.key`), key.secretKey)
})
beforeEach(() => {
  repo = join(folder, `repo-${count++}`)
  notes.length = 0
})
afterAll(() => rm(folder, { recursive: true, force: true }))

type Files = Record<string, string | Uint8Array>
const tree = (files: Files) => makeTree(join(folder, `tree-${count++}`), { version: '1', files: { ...TOML, ...files } })
const release = async (files: Files | string, options: Partial<CommitOptions> = {}) =>
  commit(
    {
      ...{ input: typeof files === 'string' ? files : await tree(files), ostreeRepo: repo, ref: REF, version: '1.0' },
      ...{ canonicalPermissions: true, timestamp: Date.parse('2026-01-01T00:00:00Z') / 1000, ...options },
    },
    work,
  )
const pack = (keys: readonly Key[], options: Partial<Parameters<typeof makePackage>[0]> = {}) =>
  makePackage(
    {
      ...{ ostreeRepo: repo, ref: REF, os: 'acme', compatible: ['acme-gw'], epoch: 0 },
      ...{
        signKey: keys.map(key => join(folder, `${key.fingerprint}.key`)),
        out: join(folder, `${count++}.superblock`),
      },
      ...options,
    },
    work,
  )
const refs = async () => (await run(['ostree', 'refs', `--repo=${repo}`])).stdout.trim()
const said = () => notes.join('\n')

describe('keys', () => {
  const good = () => ({ [`${KEYS}/acme.asc`]: maker.publicKey })

  test('that work are nothing to talk about', async () => {
    await release(good())
    await pack([maker])
    expect(notes).toEqual([])
  })

  test.each<[string, () => Files, RegExp]>([
    [
      'a name that devices pass over',
      () => ({ [`${KEYS}/release.pub`]: maker.publicKey }),
      /devices pass over \/usr\/lib\/superblock\/keys\/release\.pub/,
    ],
    [
      'a key that is cut short',
      () => ({ [`${KEYS}/a.asc`]: maker.publicKey.slice(0, -60) }),
      /cannot use the keys in \/usr\/lib\/superblock\/keys\/a\.asc: it holds something else/,
    ],
    ['a secret key', () => ({ [`${KEYS}/a.asc`]: maker.secretKey }), /it holds a secret key/],
    [
      'a key that has expired',
      () => ({ [`${KEYS}/a.asc`]: old.publicKey }),
      /The key [0-9A-F]{40} \(Old <old@acme\.example>\) expired on 2025-01-02/,
    ],
    [
      'nothing in the folder of its own settings',
      () => ({
        ...good(),
        'usr/lib/superblock/superblock.d/9.toml': '[signatures]\nkeys = ["/usr/share/acme/keys"]\n',
        'usr/share/acme/keys/a.asc': 'junk',
      }),
      /cannot use the keys in \/usr\/share\/acme\/keys\/a\.asc/,
    ],
    [
      'one key where two are wanted',
      () => ({ ...good(), 'usr/etc/superblock/superblock.toml': '[signatures]\nrequired = 2\n' }),
      /has keys of one signer, and its devices want 2\./,
    ],
    ['a link out of the tree', () => ({ [`${KEYS}/a.asc`]: '' }), /it is empty/],
  ])('with %s are refused, from a folder, an archive and a repository alike', async (_, files, why) => {
    const input = await tree(files())
    const refused = { code: 'no-usable-key', message: expect.stringMatching(why) }
    await expect(release(input)).rejects.toMatchObject(refused)
    await run(['tar', 'cf', `${input}.tar`, '-C', input, '.'])
    await expect(release(`${input}.tar`)).rejects.toMatchObject(refused)
    const from = `${input}-repo`
    await run(['ostree', 'init', `--repo=${from}`, '--mode=bare-user-only'])
    await run(['ostree', 'commit', `--repo=${from}`, '--branch=x', '--canonical-permissions', `--tree=dir=${input}`])
    await expect(release('x', { fromRepo: from })).rejects.toMatchObject(refused)
    expect(await refs()).toBe('')
    await release(input, { allowKeyless: true })
    expect(said()).toMatch(why)
    await expect(pack([maker])).rejects.toMatchObject(refused)
    await pack([maker], { allowKeyless: true })
  })

  test('that are all revoked, weak, or not for signing are none', async () => {
    const [revoked, weak] = [handKey(), handKey('rsa')]
    const user = 'Hand <hand@example.com>'
    const parts: [number, Buffer][] = [
      [6, weak.body],
      [13, Buffer.from(user)],
      [2, weak.certify(user, { hash: 'sha1' })],
    ]
    const files = {
      [`${KEYS}/a.asc`]: revoked.publicKey(),
      [`${KEYS}/a.rev`]: armorKey(packet(2, revocationOf(revoked))),
      [`${KEYS}/b.asc`]: armorKey(Buffer.concat(parts.map(one => packet(...one)))),
    }
    await expect(release(files)).rejects.toThrow(
      /can sign nothing: it was revoked; .* can sign nothing: it has no user id that it vouches for by SHA-256/,
    )
  })

  test('that are none at all are said by commit and refused by package', async () => {
    await release({})
    expect(said()).toMatch(
      /^WARNING: this release has no usable key in \/usr\/lib\/superblock\/keys or \/etc\/superblock\/keys\./,
    )
    await expect(pack([maker])).rejects.toMatchObject({ code: 'no-usable-key' })
  })

  test('of a folder that only devices have are not judged', async () => {
    await release({ 'usr/etc/superblock/superblock.toml': '[signatures]\nkeys = ["/var/lib/acme/keys"]\n' })
    expect(said()).toBe('This release has keys of 0 signers; what is in /var/lib/acme/keys only a device knows.')
    await pack([maker])
  })

  test('with a byte order mark work; the end of a life and files beside are said', async () => {
    const ends = await makeKey({ userId: 'Ends <e@acme.example>', made, life: 20 * 365 * 86_400 })
    await release({
      [`${KEYS}/a.asc`]: `\ufeff${ends.publicKey}`,
      [`${KEYS}/b.pub`]: other.publicKey,
      [`${KEYS}/README`]: 'x',
    })
    expect(notes).toEqual([
      `WARNING: devices pass over /${KEYS}/b.pub: a key's name must end in .asc, .pgp or .gpg`,
      expect.stringMatching(
        /^The key [0-9A-F]{40} \(Ends <e@acme\.example>\) expires on 2044-12-27: devices with this copy/,
      ),
    ])
  })

  test('that would not accept the package are said, those of the release and of the one before', async () => {
    await release(good())
    await release({ [`${KEYS}/acme.asc`]: maker.publicKey + other.publicKey }, { version: '2.0' })
    await release({ [`${KEYS}/acme.asc`]: other.publicKey }, { version: '3.0' })
    const by = async (rev: string, ...keys: Key[]) => {
      notes.length = 0
      await pack(keys, { rev })
      return notes
    }
    expect(await by(`${REF}^`, maker)).toEqual([])
    expect(await by(`${REF}^`, other)).toEqual([
      expect.stringMatching(
        /^WARNING: Devices that run version 1\.0 accept 0 of the signers .* where they want 1: .*; they refuse this package\.$/,
      ),
    ])
    expect(await by(REF, maker)).toEqual([
      expect.stringMatching(/^WARNING: Devices that run this release accept 0 .*; sign the next one with a key/),
    ])
    expect(await by(REF, other)).toEqual([])
    expect(await by(REF, maker, other)).toEqual([])
  })

  test('of which two are wanted want two signers', async () => {
    const two = { [`${KEYS}/acme.asc`]: maker.publicKey + other.publicKey }
    await release({ ...two, 'usr/lib/superblock/superblock.d/1.toml': '[signatures]\nrequired = 2\n' })
    await pack([maker, other])
    expect(notes).toEqual([])
    await pack([maker])
    expect(said()).toMatch(/accept 1 of the signers of this package, where they want 2/)
  })
})

describe('settings', () => {
  test.each([
    ['an unknown key', '[signatures]\nrequierd = 2\n', /superblock\.toml: signatures\.requierd/],
    ['no TOML', 'compatible: acme', /superblock\.toml/],
    ['a wrong type', '[signatures]\nrequired = "2"\n', /superblock\.toml: signatures\.required/],
  ])('with %s would stop the service of every device', async (_, text, why) => {
    const bad = release({ [`${KEYS}/acme.asc`]: maker.publicKey, 'usr/etc/superblock/superblock.toml': text })
    await expect(bad).rejects.toMatchObject({ code: 'bad-settings', message: expect.stringMatching(why) })
  })

  test('that are of another product than the package are said', async () => {
    await release({
      [`${KEYS}/acme.asc`]: maker.publicKey,
      'usr/lib/superblock/superblock.d/1.toml': '[device]\nref = "acme/other"\n',
    })
    await pack([maker], { compatible: ['acme-tablet'] })
    expect(notes).toEqual([
      'WARNING: the package is for acme-tablet, but devices that run this release call themselves acme-gw.',
      'WARNING: the package is for acme/gw, but devices that run this release follow acme/other.',
    ])
    notes.length = 0
    await release(
      { [`${KEYS}/acme.asc`]: maker.publicKey, 'usr/lib/superblock/superblock.toml': '' },
      { version: '2.0' },
    )
    expect(said()).toContain('no product name')
  })

  test('are not missed in a tree that is not for superblock', async () => {
    const plain = join(folder, `plain-${count++}`)
    await mkdir(join(plain, 'usr'), { recursive: true })
    await release(plain)
    await pack([maker])
    expect(notes).toEqual([])
    await mkdir(join(plain, 'usr/lib/systemd'), { recursive: true })
    await writeFile(join(plain, 'usr/lib/systemd/systemd'), '')
    await release(plain, { version: '2.0', allowUnbootable: true })
    expect(said()).toBe('WARNING: superblockd is not in this release: its devices cannot install any package.')
  })
})

describe('checks and hooks', () => {
  const HEALTH = 'usr/lib/superblock/health.d'
  const HOOKS = 'usr/lib/superblock/hooks'
  const sayOf = async (files: Files, not: readonly string[] = []) => {
    const input = await tree({ [`${KEYS}/acme.asc`]: maker.publicKey, 'usr/bin/sh': '#!x', ...files })
    for (const name of Object.keys(files)) await chmod(join(input, name), not.includes(name) ? 0o644 : 0o755)
    notes.length = 0
    await release(input, { version: `${count++}`, allowUnbootable: true })
    return notes.filter(text => !/kernel arguments|same as/.test(text)).map(text => text.replace(/^WARNING: /, ''))
  }

  test('that devices can execute are nothing to talk about', async () => {
    expect(
      await sayOf({
        [`${HEALTH}/required.d/1`]: '#!/bin/sh\nexit 0\n',
        [`${HEALTH}/required.d/2`]: '#! /usr/bin/sh -e',
        [`${HEALTH}/wanted.d/3`]: '#!/usr/bin/env -S A=b sh -x\n',
        [`${HOOKS}/post-boot.d/4`]: '#!/var/lib/acme/interpreter\n',
        'usr/bin/env': '#!x',
      }),
    ).toEqual([])
  })

  test('that they cannot are named, and what that means', async () => {
    const found = await sayOf(
      {
        [`${HEALTH}/required.d/crlf`]: '#!/bin/sh\r\nexit 0\r\n',
        [`${HEALTH}/required.d/python`]: '#!/usr/bin/python9\n',
        [`${HEALTH}/required.d/env`]: '#!/usr/bin/env python9\n',
        [`${HEALTH}/required.d/bom`]: '\ufeff#!/bin/sh\n',
        [`${HEALTH}/required.d/plain`]: 'echo\n',
        [`${HEALTH}/required.d/mode`]: '#!/bin/sh\n',
        [`${HEALTH}/required.d/native`]: elf('/lib/ld-acme.so.2'),
        [`${HEALTH}/20-beside`]: '#!/bin/sh\n',
        [`${HEALTH}/wanted.d/windows`]: '#!/bin/sh\r\n',
        [`${HOOKS}/pre-deploy.d/hook`]: '#!/bin/sh -e\r\n',
        [`${HOOKS}/pre-install.d/x`]: '#!/bin/sh\n',
        'usr/bin/env': '#!x',
        'usr/lib/systemd/systemd': '#!x',
      },
      [`${HEALTH}/required.d/mode`],
    )
    const of = (name: string) => found.find(text => text.includes(`/${name} `)) ?? 'nothing'
    const ends = 'no device will keep this release: '
    expect(of('crlf')).toMatch(new RegExp(`^${ends}.*CRLF`))
    expect(of('python')).toBe(
      `${ends}/${HEALTH}/required.d/python is run by /usr/bin/python9, which is not in this release`,
    )
    expect(of('env')).toBe(`${ends}/${HEALTH}/required.d/env is run by python9, which is not in this release`)
    expect(of('native')).toBe(
      `${ends}/${HEALTH}/required.d/native needs /lib/ld-acme.so.2, which is not in this release`,
    )
    expect(of('hook')).toMatch(new RegExp(`^${ends}.*CRLF`))
    expect(of('bom')).toMatch(/^\/usr\/.* begins with a byte order mark/)
    expect(of('plain')).toMatch(/^\/usr\/.* has no #! line/)
    expect(of('mode')).toBe(`/${HEALTH}/required.d/mode is not executable, so it is not run`)
    expect(of('20-beside')).toBe(`/${HEALTH}/20-beside is run by nobody: health checks are in required.d, wanted.d`)
    expect(of('windows')).toMatch(/^\/usr\/.*CRLF/)
    expect(of('pre-install.d')).toMatch(/is run by nobody: hooks are in pre-deploy\.d, post-boot\.d, pre-rollback\.d$/)
    expect(found).toHaveLength(11)
  })
})

/** The start of a 64-bit program with one segment, which names its loader (elf(5)). */
function elf(loader: string): Buffer {
  const bytes = Buffer.alloc(64 + 56 + 100)
  bytes.write('\x7fELF\x02\x01', 'latin1')
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(56, 54)
  bytes.writeUInt16LE(1, 56)
  bytes.writeUInt32LE(3, 64)
  bytes.writeBigUInt64LE(120n, 64 + 8)
  bytes.writeBigUInt64LE(BigInt(loader.length + 1), 64 + 32)
  bytes.write(loader, 120, 'latin1')
  return bytes
}

describe('dates', () => {
  const at = (time: string) => Date.parse(time) / 1000
  const good = () => ({ [`${KEYS}/acme.asc`]: maker.publicKey })

  test('are later than those of the release before, whatever was asked for', async () => {
    const input = await tree(good())
    const first = await release(input)
    expect(await release(input, { version: '1.1', timestamp: at('2025-06-01T00:00:00Z') })).toMatchObject({
      timestamp: '2026-01-01T00:00:01Z',
      parent: first.commit,
    })
    expect(notes).toEqual([
      expect.stringMatching(
        /^WARNING: the release is dated 2026-01-01T00:00:01Z, a second after version 1\.0, though --timestamp says 2025-06-01/,
      ),
      expect.stringContaining('The files are the same'),
    ])
    notes.length = 0
    // As Yocto sets it for everything.
    const build = { version: '1.2', timestamp: undefined, buildTime: 1302044400 }
    expect(await release(input, build)).toMatchObject({ timestamp: '2026-01-01T00:00:02Z' })
    expect(said()).toContain('though SOURCE_DATE_EPOCH says 2011-04-05T23:00:00Z')
    // Made again from the same, it is the same.
    const again = repo
    repo = `${repo}-again`
    for (const more of [{}, { version: '1.1', timestamp: at('2025-06-01T00:00:00Z') }, build])
      await release(input, more)
    expect((await run(['ostree', 'rev-parse', `--repo=${repo}`, REF])).stdout).toBe(
      (await run(['ostree', 'rev-parse', `--repo=${again}`, REF])).stdout,
    )
    notes.length = 0
    expect(await release(input, { version: '1.3', timestamp: at('2026-02-01T00:00:00Z') })).toMatchObject({
      timestamp: '2026-02-01T00:00:00Z',
    })
    expect(said()).not.toContain('WARNING')
  })

  test('in the future, or from a clock that was not set, are said by commit and package', async () => {
    await release(good(), { timestamp: at('1980-01-01T00:00:00Z') })
    expect(said()).toMatch(
      /^WARNING: this release is of 1980-01-01T00:00:00Z: the clock, or SOURCE_DATE_EPOCH, was not set/,
    )
    await release(good(), { version: '2.0', timestamp: at('2131-01-01T00:00:00Z') })
    notes.length = 0
    await pack([maker])
    expect(said()).toMatch(
      /^WARNING: this release is of 2131-01-01T00:00:00Z, which is in the future\. A device that has installed it/,
    )
    notes.length = 0
    // What follows it must be later still.
    await release(good(), { version: '3.0', timestamp: undefined })
    expect(said()).toMatch(/dated 2131-01-01T00:00:01Z, a second after version 2\.0, though this computer's clock says/)
  })

  test('that another program let go backwards are said by package', async () => {
    await release(good())
    const how = ['--add-metadata-string=version=2.0', '--timestamp=2025-06-01T00:00:00Z', '--canonical-permissions']
    await run(['ostree', 'commit', `--repo=${repo}`, `--branch=${REF}`, ...how, `--tree=dir=${await tree(good())}`])
    await pack([maker])
    expect(said()).toMatch(
      /^WARNING: version 2\.0 is of 2025-06-01T00:00:00Z, before version 1\.0, which it follows: devices/,
    )
  })
})

test('kernel arguments that differ from those of the release before are said', async () => {
  const files = { [`${KEYS}/acme.asc`]: maker.publicKey }
  await release({ ...files, 'usr/lib/ostree-boot/kargs': 'console=ttyS0 quiet\n' })
  await release({ ...files, 'usr/lib/ostree-boot/kargs': 'console=ttyS0 quiet\n', 'usr/x': '' }, { version: '2.0' })
  expect(notes).toEqual([])
  await release({ ...files, 'usr/lib/ostree-boot/kargs': 'console=ttyS1\n' }, { version: '3.0' })
  expect(said()).toMatch(
    /differ from those of version 2\.0: devices drop "console=ttyS0 quiet" and take "console=ttyS1"/,
  )
})

describe('what no device could hold', () => {
  test('is refused where it comes in an archive', async () => {
    const input = await tree({ [`${KEYS}/acme.asc`]: maker.publicKey })
    const name = 'x'.repeat(150)
    await mkdir(join(input, 'usr/share'), { recursive: true })
    await writeFile(join(input, 'usr/share', name), 'x')
    await run(['tar', 'cf', `${input}.tar`, '--format=pax', `--transform=s,${name},${name}${name},`, '-C', input, '.'])
    await expect(release(`${input}.tar`)).rejects.toMatchObject({
      code: 'unfit',
      message: expect.stringMatching(
        /cannot commit .*: no device could hold it: \/usr\/share\/x+.*: its name has 300 bytes/,
      ),
    })
    expect(await refs()).toBe('')
  })

  test.each([
    ['bits of the mode that no inode has', { mode: 0x18000 | 0o100644 }, /its mode is 0\d+, which no file can have/],
    ['an owner that is none', { uid: 0xffffffff }, /its owner is 4294967295:0/],
    ['a group that is none', { gid: 0xffffffff }, /its owner is 0:4294967295/],
    ['the mode of a device', { mode: 0o020644 }, /neither a file nor a link/],
  ])('is known by %s', (_, change, why) => {
    const is = { uid: 0, gid: 0, mode: 0o100644 }
    const object = { path: 'objects/aa/b.filez', size: 1, unpacked: 1, place: '/usr/a', is }
    expect(() => checkHoldable('pack it', [object])).not.toThrow()
    expect(() => checkHoldable('pack it', [{ ...object, is: { ...is, ...change } }])).toThrow(why)
  })

  test('is known by its size where devices read it as a whole', () => {
    const object = { path: 'objects/aa/b.dirtree', size: 8 * 2 ** 20, unpacked: 1, place: '/usr/share/many' }
    expect(() => checkHoldable('pack it', [object])).not.toThrow()
    expect(() => checkHoldable('pack it', [{ ...object, size: object.size + 1 }])).toThrow(
      /\/usr\/share\/many: it has too many entries/,
    )
  })
})

test('a folder and a commit of it look the same', async () => {
  const input = await tree({
    [`${KEYS}/acme.asc`]: maker.publicKey,
    'usr/lib/opt/vendor/tool': '#!/bin/sh\n',
    'usr/share/large': 'x'.repeat(100_000),
  })
  await symlink('/etc/superblock', join(input, 'usr/lib/superblock/link'))
  await symlink('link/../keys/acme.asc', join(input, 'usr/lib/superblock/round'))
  await symlink('circle', join(input, 'usr/lib/circle'))
  await symlink('/home/ann', join(input, 'usr/lib/people'))
  await mkdir(join(input, 'usr/etc/superblock/keys'), { recursive: true })
  await writeFile(join(input, 'usr/etc/superblock/own'), 'own')
  const { commit: checksum } = await release(input)
  const views = [folderView(input), commitView(repo, await readCommit(repo, checksum))]
  const looks = await Promise.all(
    views.map(async view => {
      const look = async (path: string) => {
        const found = await view.find(path).catch(error => error.message)
        if (found === undefined || typeof found === 'string') return found
        const { kind, mode } = found
        return kind === 'file' ? [kind, mode, (await found.read(10)).toString()] : [kind, mode]
      }
      const paths = [
        `/${KEYS}/acme.asc`,
        '/etc/superblock/own',
        '/usr/lib/superblock/link/own',
        '/usr/lib/superblock/round',
      ]
      const more = [
        '/opt/vendor/tool',
        '/var/opt/vendor/tool',
        '/usr/lib/people',
        '/var/lib/x',
        '/usr/lib/circle',
        '/nothing/here',
      ]
      const rest = ['/usr/share/large', '/bin/../usr/etc', '/', '/etc', '/usr/share/large/below']
      return [
        Object.fromEntries(await Promise.all([...paths, ...more, ...rest].map(async path => [path, await look(path)]))),
        await view.list('/etc/superblock'),
        await view.list(`/${KEYS}`),
        await view.list('/nothing'),
      ]
    }),
  )
  expect(looks[1]).toEqual(looks[0])
  expect(looks[0]?.[0]).toMatchObject({
    '/etc/superblock/own': ['file', 0o644, 'own'],
    '/usr/lib/superblock/link/own': ['file', 0o644, 'own'],
    '/opt/vendor/tool': ['file', 0o755, '#!/bin/sh\n'],
    '/var/opt/vendor/tool': ['file', 0o755, '#!/bin/sh\n'],
    '/usr/lib/people': 'elsewhere',
    '/var/lib/x': 'elsewhere',
    '/usr/lib/circle': expect.stringContaining('lead in a circle'),
    '/usr/share/large': ['file', 0o644, 'xxxxxxxxxx'],
  })
  expect(looks[0]?.slice(1)).toEqual([['keys', 'own'], ['acme.asc'], []])
})
