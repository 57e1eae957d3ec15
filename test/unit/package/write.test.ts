import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { openFile } from '../../../src/package/read.ts'
import { signBytes } from '../../../src/package/signature.ts'
import { addSignature, type NewPackage, writePackage } from '../../../src/package/write.ts'
import { type KeyHome, makeKeyHome } from '../../kit/keys.ts'
import {
  assemble,
  type Key,
  keyringOf,
  readWhole,
  repoMembers,
  SIGNED,
  sha256,
  smallManifest,
  smallMembers,
  smallPackage,
  testKey,
} from '../../kit/packages.ts'

let folder: string
let out: string
let key: Key
let other: Key
beforeAll(async () => {
  key = await testKey('writer')
  other = await testKey('other')
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-write-'))
  out = join(folder, 'p.superblock')
  return () => rm(folder, { recursive: true })
})

const signedBy =
  (...keys: Key[]) =>
  (manifest: Buffer) =>
    Promise.all(keys.map(k => signBytes(manifest, k.secretKey, undefined, SIGNED)))
const small = (): NewPackage => ({ manifest: smallManifest(), members: smallMembers(), sign: signedBy(key) })
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    error => error.code ?? String(error),
  )
const accept = async (file: string, required: number, ...keys: Key[]) => {
  const source = await openFile(file)
  try {
    return await readWhole(source, await keyringOf(...keys), required)
  } finally {
    await source.close()
  }
}

/** Small members, and one that takes the way of large ones. */
async function withLargeFile(): Promise<{ input: NewPackage; file: string }> {
  const file = join(folder, 'large')
  await writeFile(file, Buffer.alloc(5_000_000, 'large '))
  const path = `objects/ff/${'f'.repeat(62)}.filez`
  return { input: { ...small(), members: [...smallMembers(), { path, file, unpacked: 6_000_000 }] }, file }
}

describe('writePackage', () => {
  it('writes byte for byte what the format says', async () => {
    const { id, manifest } = await writePackage(out, small())
    const bytes = await readFile(out)
    expect(bytes).toEqual(assemble(await smallPackage([key])))
    expect(id).toBe(sha256(bytes.subarray(512, 512 + bytes.indexOf(0, 512) - 512)))
    expect(manifest.payload.members).toBe(smallMembers().length)
    expect((await readdir(folder)).length).toBe(1)
  })

  it('the same inputs in any order give the same bytes', async () => {
    const { input } = await withLargeFile()
    await writePackage(out, input)
    const again = join(folder, 'again')
    await writePackage(again, { ...input, members: input.members.toReversed() })
    expect((await readFile(out)).equals(await readFile(again))).toBe(true)
  })

  it('puts signatures in order, and makes packages without any', async () => {
    await writePackage(out, {
      ...small(),
      sign: signedBy(...[key, other].sort((a, b) => (a.fingerprint < b.fingerprint ? 1 : -1))),
    })
    expect((await accept(out, 2, key, other)).signatures).toHaveLength(2)
    await writePackage(out, { ...small(), sign: undefined })
    await expect(accept(out, 1, key)).rejects.toMatchObject({ code: 'unsigned' })
  })

  it('tells how far it is: each byte is read twice', async () => {
    const { input } = await withLargeFile()
    const told: [number, number][] = []
    await writePackage(out, { ...input, onBytes: (done, total) => told.push([done, total]) })
    const size = 2 * (5_000_000 + smallMembers().reduce((sum, member) => sum + member.bytes.length, 0))
    expect(told.at(-1)).toEqual([size, size])
    expect(told.every(([done], at) => done >= (told[at - 1]?.[0] ?? 0))).toBe(true)
    expect(told.length).toBeGreaterThan(10)
  })

  it.each<[string, (file: string) => Promise<void>]>([
    ['grew', file => appendFile(file, 'x')],
    ['shrank', file => truncate(file, 4_000_000)],
    ['has other bytes', file => writeFile(file, Buffer.alloc(5_000_000, 'egral '))],
    ['went', file => rm(file)],
  ])(
    'a file that %s between its hash and its packing fails the write, and leaves what was there',
    async (_, change) => {
      await writeFile(out, 'before')
      for (const size of [5_000_000, 1000]) {
        const { input, file } = await withLargeFile()
        await truncate(file, size)
        const sign = async (manifest: Buffer) => {
          await change(file)
          return signedBy(key)(manifest)
        }
        expect(['changed', 'ENOENT']).toContain(await codeOf(writePackage(out, { ...input, sign })))
        expect(await readFile(out, 'utf8')).toBe('before')
        expect((await readdir(folder)).filter(name => name.endsWith('.tmp'))).toEqual([])
      }
    },
  )

  it('what a reader would refuse is not written', async () => {
    const member = { path: 'objects/../../etc/passwd', bytes: Buffer.from('x'), unpacked: 1 }
    const bad: [Partial<NewPackage>, string][] = [
      [{ members: [...smallMembers(), member] }, 'tampered'],
      [{ members: [...smallMembers(), smallMembers()[0] as never] }, 'tampered'],
      [{ members: smallMembers().slice(1) }, 'tampered'],
      [{ members: [] }, 'bad-manifest'],
      [{ manifest: { ...smallManifest(), version: 'a b' } }, 'bad-manifest'],
      [{ manifest: { ...smallManifest(), deltas: [] } }, 'tampered'],
      [{ sign: signedBy(key, key) }, 'bad-signature'],
      [{ sign: async () => [{ fingerprint: key.fingerprint, armor: 'junk' }] }, 'bad-signature'],
      [
        { sign: async () => [{ ...(await signedBy(key)(Buffer.from('')))[0], fingerprint: 'x' } as never] },
        'bad-signature',
      ],
    ]
    for (const [change, code] of bad) expect(await codeOf(writePackage(out, { ...small(), ...change }))).toBe(code)
    expect(await readdir(folder)).toEqual([])
  })

  it('a disk that cannot be written gives the system’s error and leaves nothing', async () => {
    expect(await codeOf(writePackage(join(folder, 'none', 'p'), small()))).toBe('ENOENT')
    await mkdir(out)
    expect(await codeOf(writePackage(out, small()))).toBe('EISDIR')
    expect(await readdir(folder)).toEqual(['p.superblock'])
  })
})

describe('addSignature', () => {
  it('adds in order, keeps every other byte, and replaces the file in one step', async () => {
    const { input } = await withLargeFile()
    await writePackage(out, { ...input, sign: signedBy(key) })
    const before = await stat(out)
    const [signature] = await signedBy(other)((await accept(out, 1, key)).manifest)
    await addSignature(out, signature as never)
    expect((await accept(out, 2, key, other)).signatures).toHaveLength(2)
    expect((await stat(out)).ino).not.toBe(before.ino)
    const both = join(folder, 'both')
    await writePackage(both, { ...input, sign: signedBy(other, key) })
    expect((await readFile(out)).equals(await readFile(both))).toBe(true)
    expect((await readdir(folder)).sort()).toEqual(['both', 'large', 'p.superblock'])
  })

  it('refuses a second one of the same key, and a 17th', async () => {
    const keys = await Promise.all(Array.from({ length: 17 }, (_, at) => testKey(`signer-${at}`)))
    await writePackage(out, { ...small(), sign: signedBy(...keys.slice(0, 15)) })
    const add = async (k?: Key) => {
      const [signature] = await signedBy(k as Key)((await accept(out, 1, ...keys)).manifest)
      return codeOf(addSignature(out, signature as never))
    }
    expect(await add(keys[0])).toBe('bad-signature')
    expect(await add(keys[15])).toBe('done')
    expect(await add(keys[16])).toBe('bad-signature')
    expect((await accept(out, 16, ...keys)).signatures).toHaveLength(16)
  })

  it('touches no file that is no whole package', async () => {
    await writePackage(out, small())
    const [signature] = await signedBy(other)(Buffer.from(''))
    const whole = await readFile(out)
    for (const bytes of [whole.subarray(0, -512), Buffer.concat([whole, Buffer.alloc(512)]), Buffer.from('junk')]) {
      await writeFile(out, bytes)
      expect(['truncated', 'tampered', 'not-a-package']).toContain(await codeOf(addSignature(out, signature as never)))
      expect((await readFile(out)).equals(bytes)).toBe(true)
    }
    expect(await readdir(folder)).toEqual(['p.superblock'])
  })
})

describe('a package of a real repository', () => {
  let made: string
  let repo: string
  let commit: string
  let home: KeyHome
  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'sb-real-'))
    repo = join(made, 'repo')
    const tree = join(made, 'tree')
    await mkdir(join(tree, 'usr/bin'), { recursive: true })
    for (let at = 0; at < 50; at++) await writeFile(join(tree, `usr/file-${at}`), `content ${at}\n`.repeat(at * 50))
    await writeFile(join(tree, 'usr/bin/tool'), '#!/bin/sh\n')
    await chmod(join(tree, 'usr/bin/tool'), 0o755)
    await run(['ln', '-s', 'tool', join(tree, 'usr/bin/link')])
    await run(['ostree', `--repo=${repo}`, 'init', '--mode=archive'])
    const ref = smallManifest().ref
    const options = ['--canonical-permissions', `--branch=${ref}`, '--add-metadata-string=version=2.0']
    await run(['ostree', `--repo=${repo}`, 'commit', ...options, `--tree=dir=${tree}`])
    commit = (await run(['ostree', `--repo=${repo}`, 'rev-parse', ref])).stdout.trim()
    home = await makeKeyHome()
  })
  afterAll(async () => {
    await home.close()
    await rm(made, { recursive: true })
  })

  it('can be audited with tar, gpg, sha256sum and ostree alone', async () => {
    const fingerprint = await home.generate('auditor')
    const manifest = { ...smallManifest(), commit, deltas: [] }
    const members = await repoMembers(repo, manifest.ref)
    const sign = async (bytes: Buffer) => [{ fingerprint, armor: await home.sign(bytes, fingerprint) }]
    await writePackage(out, { manifest, members, sign })
    const publicKey = await home.publicKey(fingerprint)
    await accept(out, 1, { fingerprint, publicKey, secretKey: '' })

    const unpacked = join(folder, 'unpacked')
    await mkdir(unpacked)
    const shell = (script: string) => run(['sh', '-euc', script], { cwd: unpacked, env: { GNUPGHOME: home.folder } })
    await shell('tar xf ../p.superblock')
    const { stdout } = await shell(`gpg --status-fd 1 --verify signatures/${fingerprint}.asc manifest.json`)
    expect(stdout).toContain(`VALIDSIG ${fingerprint}`)
    await shell(`grep -q "\\"sha256\\": \\"$(sha256sum index | cut -d' ' -f1)\\"" manifest.json`)
    await shell(`awk '{ print $1 "  " $4 }' index | sha256sum --check --strict --quiet`)
    await shell('mkdir -p refs/remotes && ostree --repo=. fsck')
    expect((await shell(`ostree --repo=. rev-parse ${manifest.ref}`)).stdout.trim()).toBe(commit)
    await shell(`ostree --repo=. ls -R ${commit} | grep -q usr/file-49`)
    await shell('for file in objects/*/*.commit; do printf x >> $file; done; ! ostree --repo=. fsck')
  })
})
