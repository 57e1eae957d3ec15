/** Content objects of an archive that ostree made, unpacked, and looked at by ostree. */
import { createHash } from 'node:crypto'
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { run } from '../../../src/base/run.ts'
import { getAttributes, setAttributes } from '../../../src/ostree/attributes.ts'
import { isMetadata } from '../../../src/ostree/contents.ts'
import { format } from '../../../src/ostree/gvariant.ts'
import { plainPath } from '../../../src/ostree/object.ts'
import { isObject, type PlainMode, unpackObject } from '../../../src/ostree/unpack.ts'

const isRoot = process.getuid?.() === 0
const MODES: PlainMode[] = isRoot ? ['bare', 'bare-user-only'] : ['bare-user-only']
const buffer = Buffer.alloc(64 * 1024)
/** Does not get smaller: more than is unpacked in the same thread. */
const noise = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 2654435761) >>> 24))

let lab: string
beforeAll(async () => {
  lab = await mkdtemp(join(tmpdir(), 'sb-unpack-'))
  for (const mode of MODES) await makeArchive(mode)
})
afterAll(() => rm(lab, { recursive: true, force: true }))

const archive = (mode: PlainMode) => join(lab, mode, 'archive')

async function makeArchive(mode: PlainMode): Promise<void> {
  const tree = join(lab, mode, 'tree')
  await mkdir(join(tree, 'usr/bin'), { recursive: true })
  const path = (name: string) => join(tree, 'usr', name)
  await writeFile(path('empty'), '')
  await writeFile(path('text'), 'some words\n'.repeat(2000), { mode: 0o600 })
  await writeFile(path('noise'), noise)
  await writeFile(path('zeros'), Buffer.alloc(3_000_000))
  await writeFile(path('bin/program'), '#!/bin/sh\n', { mode: 0o755 })
  await symlink('text', path('link'))
  await symlink('far/'.repeat(90), path('long'))
  if (mode === 'bare') {
    await writeFile(path('bin/raised'), 'raised')
    await chown(path('bin/raised'), 0, 42)
    await chmod(path('bin/raised'), 0o6750)
    await chown(path('text'), 1000, 1001)
    await writeFile(path('bin/able'), 'able', { mode: 0o755 })
    const ping = Buffer.from('0100000200200000000000000000000000000000', 'hex') // cap_net_raw=ep, linux/capability.h
    await setAttributes(path('bin/able'), [
      [Buffer.from('security.capability\0'), ping],
      [Buffer.from('user.note\0'), Buffer.from('x'.repeat(300))],
    ])
  }
  await run(['ostree', 'init', `--repo=${archive(mode)}`, '--mode=archive'])
  const canonical = mode === 'bare' ? [] : ['--canonical-permissions', '--no-xattrs']
  await run(['ostree', 'commit', `--repo=${archive(mode)}`, '--branch=r', ...canonical, `--tree=dir=${tree}`])
}

interface Packed {
  path: string
  bytes: Buffer
  checksum: string
  size: number
}

/** Every object of the archive; of a content object its content's size. */
async function objects(mode: PlainMode): Promise<Packed[]> {
  const names = await readdir(join(archive(mode), 'objects'), { recursive: true })
  const files = names.filter(name => name.includes('.')).map(name => `objects/${name}`)
  return Promise.all(
    files.map(async path => {
      const bytes = await readFile(join(archive(mode), path))
      const checksum = path.slice(8, 10) + path.slice(11, path.indexOf('.'))
      return { path, bytes, checksum, size: path.endsWith('.filez') ? Number(bytes.readBigUInt64BE(8)) : bytes.length }
    }),
  )
}

let made = 0
let repo: string
beforeEach(() => {
  repo = join(lab, `repo-${++made}`)
})
const place = ({ path }: Packed) => join(repo, plainPath(path))

async function unpackAll(mode: PlainMode, asFiles: boolean): Promise<Packed[]> {
  await run(['ostree', 'init', `--repo=${repo}`, `--mode=${mode}`])
  const all = await objects(mode)
  for (const one of all) {
    const path = place(one)
    await mkdir(dirname(path), { recursive: true })
    const isLink = one.bytes.length < 600 && one.size === 0
    if (one.path.endsWith('.filez'))
      await unpackObject(asFiles && !isLink ? { file: join(archive(mode), one.path) } : one.bytes, {
        ...one,
        path,
        mode,
      })
    else await writeFile(path, one.bytes)
  }
  await cp(join(archive(mode), 'refs'), join(repo, 'refs'), { recursive: true })
  return all.filter(({ path }) => path.endsWith('.filez'))
}

/** Objects by their checksums with all that a file has beside its content. */
async function listing(of: string): Promise<string[]> {
  const names = await readdir(join(of, 'objects'), { recursive: true })
  const lines = names
    .filter(name => name.endsWith('.file'))
    .map(async name => {
      const { mode, uid, gid, mtimeMs, size } = await lstat(join(of, 'objects', name))
      const isLink = (mode & 0o170000) === 0o120000
      return [name, mode.toString(8), uid, gid, isLink ? 'now' : mtimeMs, size].join(' ')
    })
  return (await Promise.all(lines)).sort()
}

describe.each(MODES)('for a repo of mode %s', mode => {
  test.each([
    ['bytes', false],
    ['files', true],
  ])('what was %s is what ostree makes of it', async (_, asFiles) => {
    await unpackAll(mode, asFiles)
    const own = join(lab, `own-${made}`)
    await run(['ostree', 'init', `--repo=${own}`, `--mode=${mode}`])
    await run(['ostree', 'pull-local', '--untrusted', `--repo=${own}`, archive(mode)])
    expect(await listing(repo)).toEqual(await listing(own))
    // Checks contents and extended attributes, too.
    await run(['ostree', 'fsck', `--repo=${repo}`])
  })

  test('one that is there whole is known, and one that is not', async () => {
    const known: boolean[] = []
    for (const one of await unpackAll(mode, false)) {
      const is = () => isObject(place(one), one.checksum, mode, buffer)
      known.push(await is())
      const { mode: bits, size } = await lstat(place(one))
      if ((bits & 0o170000) === 0o120000) {
        await rm(place(one))
        await symlink('elsewhere', place(one))
        expect(await is()).toBe(false)
        continue
      }
      await chmod(place(one), (bits & 0o777) ^ 0o010)
      expect(await is()).toBe(false)
      await chmod(place(one), bits & 0o7777)
      await utimes(place(one), 1, 1)
      expect(await is()).toBe(false)
      await utimes(place(one), 0, 0)
      expect(await is()).toBe(true)
      if (mode === 'bare') {
        await setAttributes(place(one), [[Buffer.from('user.more\0'), Buffer.from('x')]])
        expect(await is()).toBe(false)
      }
      if (size === 0) continue
      await truncate(place(one), size - 1)
      await truncate(place(one), size) // a hole, as a power cut leaves it
      await utimes(place(one), 0, 0)
      expect([size, await is()]).toEqual([size, size === 3_000_000 && mode !== 'bare'])
    }
    expect(known.every(is => is)).toBe(true)
  })

  test('another object, a damaged one, or one of another size is refused, and nothing is left', async () => {
    await mkdir(repo)
    const path = join(repo, 'out')
    const attempt = async (packed: Buffer | { file: string }, one: Packed) =>
      unpackObject(packed, { ...one, path, mode }).then(
        () => 'unpacked',
        error => (error instanceof Failure ? error.code : String(error)),
      )
    const all = (await objects(mode)).filter(one => one.path.endsWith('.filez'))
    const spoiled = join(repo, 'spoiled')
    for (const one of all) {
      expect(await attempt(one.bytes, { ...one, checksum: '0'.repeat(64) })).toBe('ref-mismatch')
      expect(await attempt(one.bytes, { ...one, size: one.size + 1 })).toBe('ref-mismatch')
      const length = one.bytes.readUInt32BE(0)
      // Four bytes of padding, a device number that is always nothing: neither has a part in the checksum.
      const counts = (at: number) => (at < 4 || at >= 8) && (at < 28 || at >= 32)
      for (let at = 0; at < 8 + length; at++) {
        const bytes = Buffer.from(one.bytes)
        bytes[at] = (bytes[at] ?? 0) ^ 1
        if (counts(at)) expect([at, await attempt(bytes, one)]).toEqual([at, 'ref-mismatch'])
      }
      for (const cut of [0, 4, 8, 20, length, length + 8 + Math.floor((one.bytes.length - length - 8) / 2)]) {
        if (cut === one.bytes.length) continue
        await writeFile(spoiled, one.bytes.subarray(0, cut))
        expect([cut, await attempt(one.bytes.subarray(0, cut), one)]).toEqual([cut, 'ref-mismatch'])
        expect([cut, await attempt({ file: spoiled }, one)]).toEqual([cut, 'ref-mismatch'])
      }
      expect((await readdir(repo)).filter(name => name === 'out')).toEqual([])
    }
  })

  test('more content than the object says is not unpacked any further', async () => {
    await mkdir(repo)
    const zeros = (await objects(mode)).find(({ size }) => size === 3_000_000)
    if (!zeros) throw new Error('it is not there')
    const lying = Buffer.from(zeros.bytes)
    lying.writeBigUInt64BE(1000n, 8)
    await writeFile(join(repo, 'lying'), lying)
    for (const packed of [lying, { file: join(repo, 'lying') }])
      await expect(unpackObject(packed, { ...zeros, size: 1000, path: join(repo, 'out'), mode })).rejects.toMatchObject(
        { code: 'ref-mismatch' },
      )
  })

  test('whoever follows a large one can end it', async () => {
    await mkdir(repo)
    const zeros = (await objects(mode)).find(({ size }) => size === 3_000_000)
    if (!zeros) throw new Error('it is not there')
    let pieces = 0
    const stop = async () => {
      if (++pieces === 3) throw new Failure('cancelled', 'cannot go on')
    }
    const unpacking = unpackObject(
      { file: join(archive(mode), zeros.path) },
      { ...zeros, path: join(repo, 'out'), mode },
      stop,
    )
    await expect(unpacking).rejects.toMatchObject({ code: 'cancelled' })
    expect(await readdir(repo)).toEqual([])
  })

  test('what is there already is left alone, and what cannot be written says why', async () => {
    await mkdir(repo)
    const text = (await objects(mode)).find(({ size }) => size === 22_000)
    if (!text) throw new Error('it is not there')
    const path = join(repo, 'out')
    await writeFile(path, 'mine')
    await expect(unpackObject(text.bytes, { ...text, path, mode })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await readFile(path, 'utf8')).toBe('mine')
    const nowhere = { ...text, path: join(repo, 'none/out'), mode }
    await expect(unpackObject(text.bytes, nowhere)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

test('an attribute whose name does not end where it says is refused', async () => {
  await mkdir(repo)
  const number = (value: number) => Buffer.from([0, 0, value >> 8, value & 255])
  const object = (name: string) => {
    const rest = [number(0), number(0), number(0o100644), number(0), '', [[Buffer.from(name), Buffer.from('value')]]]
    const framed = (header: Buffer) => Buffer.concat([number(header.length), number(0), header])
    const hash = createHash('sha256').update(framed(format('(uuuusa(ayay))', rest)))
    const packed = framed(format('(tuuuusa(ayay))', [Buffer.alloc(8), ...rest]))
    return { bytes: Buffer.concat([packed, deflateRawSync('')]), checksum: hash.digest('hex') }
  }
  for (const name of ['user.x', '', '\0', 'user.x\0y\0']) {
    const { bytes, checksum } = object(name)
    const to = { checksum, size: 0, path: join(repo, 'out'), mode: 'bare' as const }
    await expect(unpackObject(bytes, to)).rejects.toMatchObject({ code: 'ref-mismatch' })
  }
  if (!isRoot) return
  const { bytes, checksum } = object('user.x\0')
  await unpackObject(bytes, { checksum, size: 0, path: join(repo, 'out'), mode: 'bare' })
  expect(await getAttributes(join(repo, 'out'))).toEqual([[Buffer.from('user.x\0'), Buffer.from('value')]])
})

test('metadata has the form of its kind', async () => {
  const all = (await objects('bare-user-only')).filter(({ path }) => !path.endsWith('.filez'))
  const kinds = ['commit', 'dirtree', 'dirmeta']
  for (const { path, bytes } of all) {
    const own = path.slice(path.lastIndexOf('.') + 1)
    const having = kinds.filter(kind => isMetadata(`objects/aa/bb.${kind}`, bytes))
    expect([own, having.includes(own), having.includes('commit')]).toEqual([own, true, own === 'commit'])
    expect([own, isMetadata(path, Buffer.concat([bytes, Buffer.from([255])]))]).toEqual([own, false])
    if (own !== 'dirmeta') continue
    const file = Buffer.from(bytes)
    file[10] = 0x81 // the mode of a file
    expect(isMetadata(path, file)).toBe(false)
  }
  expect(isMetadata('config', Buffer.from('[core]\n'))).toBe(true)
})

test('what no device could hold is no metadata', async () => {
  const sum = (size: number) => Buffer.alloc(size, 7)
  const tree = (...files: [string, Buffer][]) => format('(a(say)a(sayay))', [files, []])
  const folders = (...all: [string, Buffer, Buffer][]) => format('(a(say)a(sayay))', [[], all])
  const isTree = (bytes: Buffer) => isMetadata('objects/aa/bb.dirtree', bytes)
  expect(isTree(tree(['a', sum(32)], ['ü'.repeat(127), sum(32)]))).toBe(true)
  expect(isTree(folders(['a', sum(32), sum(32)]))).toBe(true)
  for (const size of [0, 31, 33]) {
    expect(isTree(tree(['a', sum(size)]))).toBe(false)
    expect(isTree(folders(['a', sum(32), sum(size)]))).toBe(false)
  }
  for (const name of ['', '.', '..', 'a/b', 'x'.repeat(256), 'ü'.repeat(128)])
    expect(isTree(tree([name, sum(32)])), name).toBe(false)
  expect(isTree(tree(['a', sum(32)], ['a', sum(32)]))).toBe(false)
  const number = (value: number) => Buffer.from([value >>> 24, value >> 16, value >> 8, value])
  const folder = (mode: number) => format('(uuua(ayay))', [number(0), number(0), number(mode), []])
  expect(isMetadata('objects/aa/bb.dirmeta', folder(0o040755))).toBe(true)
  for (const mode of [0o100755, 0o240755, 0o755]) expect(isMetadata('objects/aa/bb.dirmeta', folder(mode))).toBe(false)
})

test.runIf(isRoot)('what needs an owner is not for a repo without root (needs root)', async () => {
  await mkdir(repo)
  const path = join(repo, 'out')
  const codes = new Set<string>()
  for (const one of (await objects('bare')).filter(({ path }) => path.endsWith('.filez')))
    await unpackObject(one.bytes, { ...one, path, mode: 'bare-user-only' }).then(
      () => rm(path),
      error => codes.add(`${one.size} ${error.code}`),
    )
  expect([...codes].sort()).toEqual(['22000 unholdable', '4 unholdable', '6 unholdable'])
})
