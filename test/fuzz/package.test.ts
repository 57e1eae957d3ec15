/** The reader against spoiled packages: whatever was done to one, it is refused with a code, and nothing else happens. */
import { beforeAll, describe, expect, it } from 'vitest'
import { ustarHeader } from '../../src/package/header.ts'
import { encodeManifest } from '../../src/package/manifest.ts'
import type { Keyring } from '../../src/package/signature.ts'
import { isRefusalCode } from '../../src/trust.ts'
import {
  archiveOf,
  assemble,
  type Entry,
  entriesOf,
  flip,
  type Key,
  keyringOf,
  memorySource,
  type Parts,
  REF,
  sha256,
  signatures,
  smallMembers,
  smallPackage,
  testKey,
  verdictOn,
} from '../kit/packages.ts'

/** A small generator of our own: a failing run can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

let keys: Key[]
let keyring: Keyring
let parts: Parts
let good: Buffer
const verdict = (bytes: Buffer) => verdictOn(bytes, keyring, 2)

beforeAll(async () => {
  keys = [await testKey('one'), await testKey('two')]
  keyring = await keyringOf(...keys)
  parts = await smallPackage(keys)
  good = assemble(parts)
})

it('accepts the package that all others are made from', async () => {
  expect(await verdict(good)).toBe('accepted')
})

describe('cut short', () => {
  it('at every 512-byte boundary', async () => {
    for (let size = 0; size < good.length; size += 512)
      expect([size, await verdict(good.subarray(0, size))]).toEqual([size, 'truncated'])
  })

  it('at random places', async () => {
    const next = random(1)
    for (let i = 0; i < 300; i++) {
      const size = next(good.length)
      expect([size, await verdict(good.subarray(0, size))]).toEqual([size, 'truncated'])
    }
  })

  it('and filled with zeros to its full size, as an unfinished copy can be', async () => {
    for (let size = 0; size < good.length - 1024; size += 512) {
      const bytes = Buffer.alloc(good.length)
      good.copy(bytes, 0, 0, size)
      if (!bytes.equals(good)) expect([size, isRefusalCode(await verdict(bytes))]).toEqual([size, true])
    }
  })
})

describe('one byte changed', () => {
  const everyFlip = async (from: number, to: number, masks: (at: number) => number[]) => {
    for (let at = from; at < to; at++)
      for (const mask of masks(at)) {
        const code = await verdict(flip(good, at, mask))
        if (!isRefusalCode(code)) expect([at, mask, code]).toBe('a refusal')
      }
  }

  it('each byte of the head and its index', async () => {
    const head = archiveOf(entriesOf({ ...parts, members: [] })).length - 1024
    const next = random(2)
    await everyFlip(0, head, () => [1, 1 + next(255)])
  })

  it('each bit of a signature', async () => {
    const start = archiveOf([{ path: 'manifest.json', bytes: parts.manifest }]).length - 1024 + 512
    const size = parts.signatures[0]?.bytes.length ?? 0
    expect(good.subarray(start, start + 14).toString()).toBe('-----BEGIN PGP')
    await everyFlip(start, start + size, () => [1, 2, 4, 8, 16, 32, 64, 128])
  })

  it('each byte of the last member and of the end marker, and every ninth of the others', async () => {
    const head = archiveOf(entriesOf({ ...parts, members: [] })).length - 1024
    const last = good.length - 1024 - 1024
    await everyFlip(head, good.length, at => (at >= last || at % 9 === 0 ? [1 << (at % 8)] : []))
  })
})

describe('entries', () => {
  const spoiled = async (change: (entries: Entry[]) => Entry[], end?: Buffer) =>
    verdict(archiveOf(change(entriesOf(parts)), end))

  it('missing', async () => {
    for (let at = 0; at < entriesOf(parts).length; at++) {
      const code = await spoiled(entries => entries.toSpliced(at, 1))
      expect([at, isRefusalCode(code)]).toEqual([at, true])
    }
  })

  it('repeated', async () => {
    for (const [at, entry] of entriesOf(parts).entries()) {
      const code = await spoiled(entries => entries.toSpliced(at, 0, entry))
      expect([at, code]).toEqual([at, 'tampered'])
    }
  })

  it('in any other order', async () => {
    for (let at = 1; at < entriesOf(parts).length; at++) {
      const swap = (e: Entry[]) => e.with(at, e[at - 1] as Entry).with(at - 1, e[at] as Entry)
      const code = await spoiled(swap)
      expect([at, at === 1 ? code === 'not-a-package' : isRefusalCode(code)]).toEqual([at, true])
    }
  })

  const renamed = (path: string, size: number) => {
    const header = ustarHeader('x', size)
    header.write(path, 0, 100, 'latin1')
    return checksummed(header)
  }

  for (const path of [
    '../config',
    '/etc/passwd',
    'config\0x',
    'a/../../b',
    'c'.repeat(100),
    `Config`,
    './config',
    'config/',
  ])
    it(`renamed to ${JSON.stringify(path)}`, async () => {
      const members = entriesOf(parts).length - parts.members.length
      for (const at of [0, 1, 3, members]) {
        const code = await spoiled(e => {
          const entry = e[at] as Entry
          return e.with(at, { ...entry, header: renamed(path, entry.bytes.length) })
        })
        expect([at, code]).toEqual([at, at === 0 ? 'not-a-package' : 'tampered'])
      }
    })

  it('with any other kind in the header: links, devices, folders with a size, sparse, pax, GNU long names', async () => {
    for (const kind of ['1', '2', '3', '4', '5', '6', '7', 'g', 'x', 'L', 'K', 'S', 'V', 'D', 'M', 'A', '\0', ' ', '9'])
      for (let at = 0; at < entriesOf(parts).length; at++) {
        const code = await spoiled(e => {
          const entry = e[at] as Entry
          const header = ustarHeader(entry.path, entry.bytes.length)
          header.write(kind, 156, 'latin1')
          return e.with(at, { ...entry, header: checksummed(header) })
        })
        expect([kind, at, code]).toEqual([kind, at, at === 0 ? 'not-a-package' : 'tampered'])
      }
  })

  it('with another mode, owner, time, name of an owner, link target, device, prefix or magic', async () => {
    const fields: [number, string][] = [
      [100, '000755 '],
      [100, '104644 '],
      [108, '000001 '],
      [116, '000001 '],
      [136, '00000000001 '],
      [157, 'target'],
      [257, 'ustar  \0'],
      [257, '\0\0\0\0\0\0\0\0'],
      [265, 'root'],
      [297, 'root'],
      [329, '000001 '],
      [345, '..'],
      [345, 'usr'],
      [500, 'x'],
    ]
    for (const [offset, text] of fields)
      for (let at = 0; at < entriesOf(parts).length; at++) {
        const code = await spoiled(e => {
          const entry = e[at] as Entry
          const header = ustarHeader(entry.path, entry.bytes.length)
          header.write(text, offset, 'latin1')
          return e.with(at, { ...entry, header: checksummed(header) })
        })
        expect([offset, at, code]).toEqual([offset, at, at === 0 ? 'not-a-package' : 'tampered'])
      }
  })

  it('with a size written otherwise, or a lie', async () => {
    for (const size of [
      '77777777777 ',
      '00000000000 ',
      '-0000000001 ',
      '\x80\0\0\0\0\0\0\0\0\0\0\x01',
      '           1',
      '0000000001\0',
    ])
      for (let at = 0; at < entriesOf(parts).length; at++) {
        const code = await spoiled(e => {
          const entry = e[at] as Entry
          if (entry.bytes.length === 0) return e.toSpliced(at, 1)
          const header = ustarHeader(entry.path, entry.bytes.length)
          header.write(size, 124, 'latin1')
          return e.with(at, { ...entry, header: checksummed(header) })
        })
        expect([size, at, isRefusalCode(code)]).toEqual([size, at, true])
      }
  })

  it('with a name of 300 characters in a GNU long-name entry before a member', async () => {
    const name = Buffer.from(`objects/${'a'.repeat(300)}\0`)
    const header = ustarHeader('././@LongLink', name.length)
    header.write('L', 156, 'latin1')
    const long = { path: '././@LongLink', bytes: name, header: checksummed(header) }
    expect(await spoiled(e => e.toSpliced(4, 0, long))).toBe('tampered')
    expect(await spoiled(e => e.toSpliced(1, 0, long))).toBe('tampered')
    expect(await spoiled(e => e.toSpliced(0, 0, long))).toBe('not-a-package')
  })

  it('after the end marker, or more zeros, or fewer', async () => {
    const more = archiveOf([{ path: 'more', bytes: Buffer.from('more') }])
    expect(await spoiled(e => e, Buffer.concat([Buffer.alloc(1024), more]))).toBe('tampered')
    expect(await spoiled(e => e, Buffer.alloc(10240))).toBe('tampered')
    expect(await spoiled(e => e, Buffer.alloc(1025))).toBe('tampered')
    expect(await spoiled(e => e, Buffer.alloc(512))).toBe('truncated')
    expect(await spoiled(e => e, Buffer.alloc(1024, 1))).toBe('tampered')
  })
})

describe('a lying index, though it is signed', () => {
  const honest = () =>
    smallMembers().map(m => [sha256(m.bytes), String(m.bytes.length), String(m.unpacked), m.path] as string[])
  const lying = async (change: (lines: string[][]) => string[][] | string, of = keys) => {
    const lines = change(honest())
    const index = Buffer.from(typeof lines === 'string' ? lines : lines.map(line => `${line.join(' ')}\n`).join(''))
    return verdict(assemble(await smallPackage(of, { index })))
  }
  const field = (line: number, at: number, value: string) => (lines: string[][]) =>
    lines.with(line, (lines[line] ?? []).with(at, value))

  it('is what an honest one is compared with', async () => {
    expect(await lying(lines => lines)).toBe('accepted')
  })

  it('about sizes', async () => {
    for (const size of [
      '0',
      '1',
      '512',
      '699',
      '8589934591',
      '8589934592',
      '9007199254740991',
      '9007199254740992',
      '-1',
      '1e3',
      '0700',
      '',
      '+700',
      '99999999999999999999',
    ])
      expect([size, await lying(field(1, 1, size))]).toEqual([size, 'tampered'])
  })

  it('about sizes so that sums still hold and places overlap', async () => {
    expect(await lying(l => field(3, 1, '1025')(field(2, 1, '0')(l)))).toBe('tampered')
  })

  it('about what members unpack to, which the space check relies on', async () => {
    const line = honest().findIndex(fields => fields[2] === '4000')
    for (const size of ['0', '3999', '4001', '9007199254740991'])
      expect(await lying(field(line, 2, size))).toBe('tampered')
  })

  it('about paths', async () => {
    const hex = 'a'.repeat(62)
    const bad = [
      '../etc/passwd',
      '/etc/passwd',
      'objects/aa/../x.filez',
      `objects/aa/${hex}.file`,
      `objects/AA/${hex}.filez`,
    ]
    bad.push(
      'objects/aa/.filez',
      'refs/heads/other',
      'refs/remotes/x',
      `refs/heads/${REF}/x`,
      'extensions',
      `${'o'.repeat(300)}`,
    )
    bad.push(
      `objects/aa/${hex}.commit`,
      `objects/aa/${hex}.commitmeta`,
      `deltas/${sha256('other')}.superblock`,
      'a b',
      'é',
      '',
      '.',
    )
    for (const path of bad)
      for (const line of [0, 1, 2, 3, 4, 5, 6])
        expect([path, line, await lying(field(line, 3, path))]).toEqual([path, line, 'tampered'])
  })

  it('about hashes', async () => {
    for (const line of [0, 1, 2, 3, 4, 5, 6])
      for (const hash of [sha256('other'), '', 'x'.repeat(64), sha256('other').toUpperCase()])
        expect(await lying(field(line, 0, hash))).toBe('tampered')
  })

  it('with lines missing, repeated, reordered, ended otherwise, or none', async () => {
    for (const line of [0, 1, 2, 3, 4, 5, 6]) {
      expect(await lying(l => l.toSpliced(line, 1))).toBe('tampered')
      expect(await lying(l => l.toSpliced(line, 0, l[line] ?? []))).toBe('tampered')
    }
    expect(await lying(l => l.toReversed())).toBe('tampered')
    const text = honest().map(line => line.join(' '))
    expect(await lying(() => text.join('\n'))).toBe('tampered')
    expect(await lying(() => `${text.join('\r\n')}\r\n`)).toBe('tampered')
    expect(await lying(() => `${text.join('\n')}\n\n`)).toBe('tampered')
    expect(await lying(() => '\n')).toBe('tampered')
  })

  it('that is not the one the manifest states', async () => {
    const other = await smallPackage(keys, { change: m => ({ ...m, version: '2.1' }) })
    const index = Buffer.from(parts.index)
    index.write('f', 0)
    expect(await verdict(assemble({ ...other, index }))).toBe('tampered')
    expect(await verdict(assemble({ ...other, index: Buffer.concat([parts.index, Buffer.from('\n')]) }))).toBe(
      'tampered',
    )
  })
})

describe('a signed manifest that is none', () => {
  const saying = async (manifest: Buffer | string) =>
    verdict(assemble(await smallPackage(keys, { change: () => Buffer.from(manifest) })))
  const honest = () => JSON.parse(parts.manifest.toString())

  it('with wrong types or values', async () => {
    const wrong: Record<string, unknown[]> = {
      format: ['1', 1.5, null, [1]],
      compatible: ['acme', [], [''], [1], Array(65).fill('x'), ['x'.repeat(129)], ['a\u0007b']],
      version: [2, '', '-1', 'a b', 'a/b', 'x'.repeat(65), '2.0\n'],
      os: ['', '.', '..', 'a/b', '-x', 'x'.repeat(65)],
      ref: ['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a/.b', '-a', 'a b', 'x'.repeat(90)],
      commit: ['', 'A'.repeat(64), 'a'.repeat(63), 'g'.repeat(64)],
      timestamp: [
        '',
        '2026-02-30T00:00:00Z',
        '2026-02-01',
        '2026-02-01T00:00:00+01:00',
        '2026-02-01T24:00:00Z',
        1,
        '1969-12-31T23:59:59Z',
      ],
      epoch: [-1, 1.5, '1', 1e300, null],
      index: [
        null,
        {},
        { sha256: 'a', size: 1 },
        { ...honest().index, more: 1 },
        { ...honest().index, size: 64 * 1024 * 1024 + 1 },
      ],
      payload: [
        null,
        {},
        { ...honest().payload, members: -1 },
        { ...honest().payload, size: 0.5 },
        { ...honest().payload, unpacked: 2 ** 53 },
      ],
      deltas: [
        {},
        [{}],
        [{ from: 'x', path: 'y' }],
        [{ ...honest().deltas[0], path: 'deltas/../x' }],
        [honest().deltas[0], honest().deltas[0]],
      ],
      metadata: [null, [], 'x'],
      notes: [null, 'x'.repeat(16385), 'a\u001b[2J', '\ud800'],
    }
    for (const [key, values] of Object.entries(wrong)) {
      const without = honest()
      delete without[key]
      expect([key, await saying(JSON.stringify(without))]).toEqual([key, 'bad-manifest'])
      for (const value of values)
        expect([key, value, await saying(JSON.stringify({ ...honest(), [key]: value }))]).toEqual([
          key,
          value,
          'bad-manifest',
        ])
    }
  })

  it('of another format', async () => {
    for (const format of [0, 2, 1e9, -1])
      expect(await saying(JSON.stringify({ ...honest(), format }))).toBe('unsupported-format')
    expect(await saying('{"format":2,"new":"things"}')).toBe('unsupported-format')
  })

  it('with keys that are not known, or there twice', async () => {
    const text = parts.manifest.toString()
    const bad = [
      text.replace('{', '{"more":1,'),
      text.replace('{', '{"__proto__":{},'),
      text.replace('{', '{"epoch":9,'),
      text.replace('{', '{"\\u0065poch":9,'),
      text.replace('"metadata": {', '"metadata": {"name":"x",'),
      text.replace('"metadata": {', '"metadata": {"a":[{"b":1,"b":2}],'),
    ]
    for (const manifest of bad) expect(await saying(manifest)).toBe('bad-manifest')
  })

  it('that is no JSON, or no UTF-8', async () => {
    const text = parts.manifest.toString()
    const bad = [
      '',
      '{',
      'null',
      '[]',
      '"x"',
      '1',
      `\ufeff${text}`,
      `${text}x`,
      text.replace('"os"', 'os'),
      `${text}\0`,
      'NaN',
    ]
    for (const manifest of bad) expect([manifest, await saying(manifest)]).toEqual([manifest, 'bad-manifest'])
    expect(await saying(Buffer.from(text.replace('Better', '\xff\xfe'), 'latin1'))).toBe('bad-manifest')
    expect(await saying(Buffer.from(text, 'utf16le'))).toBe('bad-manifest')
  })

  it('nested deeply, without a long wait', async () => {
    const nested = (depth: number) =>
      parts.manifest.toString().replace('"name": "Acme"', `"a":${'['.repeat(depth)}${']'.repeat(depth)}`)
    expect(await saying(nested(30))).toBe('accepted')
    expect(await saying(nested(31))).toBe('bad-manifest')
    expect(await saying(nested(100_000))).toBe('bad-manifest')
    expect(await saying('{"a":'.repeat(40_000))).toBe('bad-manifest')
    expect(await saying('['.repeat(256 * 1024))).toBe('bad-manifest')
  })

  it('of 1 GiB, which is not even read', async () => {
    const start = ustarHeader('manifest.json', 1024 ** 3)
    const source = { ...memorySource(start), size: 1024 ** 3 + 4096 }
    expect(
      await verdictOn(
        { ...source, read: async (at, count) => Buffer.concat([start, Buffer.alloc(count)]).subarray(at, at + count) },
        keyring,
      ),
    ).toBe('too-large')
    expect(await saying(Buffer.alloc(256 * 1024 + 1, ' '))).toBe('too-large')
  })
})

it('any junk is refused', async () => {
  const next = random(3)
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(Array.from({ length: next(5000) }, () => next(256)))
    expect(['not-a-package', 'truncated']).toContain(await verdict(bytes))
  }
})

it('several changes at once are refused', async () => {
  const next = random(4)
  for (let i = 0; i < 1000; i++) {
    const bytes = Buffer.from(good)
    for (let changes = 1 + next(4); changes > 0; changes--) {
      const at = next(bytes.length)
      const length = 1 + next(600)
      const kind = next(3)
      if (kind === 0) bytes.fill(next(256), at, Math.min(at + length, bytes.length))
      else if (kind === 1) bytes.copy(bytes, at, next(bytes.length), next(bytes.length))
      else bytes[at] = next(256)
    }
    if (!bytes.equals(good)) expect([i, isRefusalCode(await verdict(bytes))]).toEqual([i, true])
  }
})

it('parts of two good packages do not make a third', async () => {
  const other = await smallPackage(keys, {
    members: smallMembers().map((m, at) => (at === 2 ? { ...m, bytes: Buffer.alloc(1025, 'elif') } : m)),
  })
  expect(await verdict(assemble(other))).toBe('accepted')
  for (const part of ['manifest', 'signatures', 'index', 'members'] as const)
    expect([part, await verdict(assemble({ ...parts, [part]: other[part] }))]).toEqual([part, 'tampered'])
})

it('signatures are over the exact bytes: the same manifest written otherwise has none', async () => {
  const manifest = Buffer.from(JSON.stringify(JSON.parse(parts.manifest.toString())))
  expect(await verdict(assemble({ ...parts, manifest }))).toBe('tampered')
  const signed = { ...parts, manifest, signatures: await signatures(manifest, keys) }
  expect(await verdict(assemble(signed))).toBe('accepted')
  expect(encodeManifest(JSON.parse(manifest.toString()))).toEqual(parts.manifest)
})

/** The header with its checksum made right again. */
function checksummed(header: Buffer): Buffer {
  header.fill(0x20, 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')} \0`, 148, 'latin1')
  return header
}
