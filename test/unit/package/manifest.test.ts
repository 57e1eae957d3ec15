import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkIntegers, type Json, parseJson, sortKeys } from '../../../src/package/json.ts'
import { commitMismatch, encodeManifest, type Manifest, parseManifest } from '../../../src/package/manifest.ts'
import { sha256, smallManifest } from '../../kit/packages.ts'

const manifest: Manifest = {
  ...smallManifest(),
  format: 1,
  index: { sha256: sha256('index'), size: 500 },
  payload: { members: 3, size: 2 ** 33, unpacked: 2 ** 40 },
  metadata: { b: { d: 1, c: [{ f: null, e: true }] }, a: 'é' },
}

describe('encodeManifest', () => {
  it('gives the same bytes whatever order the keys came in', () => {
    const reversed = (value: unknown): unknown =>
      typeof value !== 'object' || value === null || Array.isArray(value)
        ? value
        : Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([key, inner]) => [key, reversed(inner)]),
          )
    expect(encodeManifest(reversed(manifest) as Manifest)).toEqual(encodeManifest(manifest))
    expect(encodeManifest(manifest).toString()).toMatch(/^\{\n {2}"format": 1,\n {2}"compatible": \[\n[\s\S]*\n\}\n$/)
    expect(encodeManifest(manifest).toString()).toMatch(
      /"metadata": \{\s*"a": "é",\s*"b": \{\s*"c": \[\s*\{\s*"e": true/,
    )
  })

  it('is undone by parseManifest', () => {
    expect(parseManifest(encodeManifest(manifest))).toEqual(manifest)
  })

  it('keeps any JSON in metadata', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), metadata => {
        const plain = JSON.parse(JSON.stringify(metadata))
        expect(parseManifest(encodeManifest({ ...manifest, metadata: plain })).metadata).toEqual(plain)
      }),
    )
  })
})

describe('parseManifest', () => {
  it('names the field that is wrong', () => {
    const bytes = encodeManifest({ ...manifest, index: { sha256: 'x', size: 1 } })
    expect(() => parseManifest(bytes)).toThrow(/^cannot use manifest.json: index.sha256: /)
  })

  it('takes values at their bounds', () => {
    const bounds: Partial<Manifest>[] = [
      { compatible: Array(64).fill('x'.repeat(128)) },
      { version: `0${'.'.repeat(63)}` },
      { ref: 'x'.repeat(89) },
      { notes: 'x'.repeat(16384) },
      { notes: 'a\tb\nc' },
      { epoch: Number.MAX_SAFE_INTEGER },
      { timestamp: '1970-01-01T00:00:00Z' },
      { timestamp: '2028-02-29T23:59:59Z' },
      { deltas: [] },
    ]
    for (const change of bounds) expect(parseManifest(encodeManifest({ ...manifest, ...change }))).toMatchObject(change)
  })

  it('takes whole numbers in digits alone, and numbers of all kinds in metadata', () => {
    const text = encodeManifest(manifest).toString()
    const read = (from: string, to: string) => {
      expect(text).toContain(from)
      return parseManifest(Buffer.from(text.replace(from, to)))
    }
    for (const [from, to] of [
      ['"format": 1', '"format": 1.0'],
      ['"epoch": 1', '"epoch": 1e0'],
      ['"epoch": 1', '"epoch": 10e-1'],
      ['"epoch": 1', '"epoch": -0'],
      ['"epoch": 1', '"epoch": 1e-400'],
      ['"members": 3', '"members": 3.0'],
      ['"d": 1', '"d": 12345678901234567890'],
    ] as const)
      expect(() => read(from, to), to).toThrow(/^cannot use manifest\.json: it has the number/)
    expect(read('"d": 1', '"d": 1.50').metadata).toMatchObject({ b: { d: 1.5 } })
  })

  it('refuses a delta from the commit itself, and deltas out of order', () => {
    const delta = (from: string) => ({ from, path: `deltas/${from}.superblock` })
    const refuses = (deltas: Manifest['deltas']) =>
      expect(() => parseManifest(encodeManifest({ ...manifest, deltas }))).toThrow('deltas')
    refuses([delta(manifest.commit)])
    refuses([delta('b'.repeat(64)), delta('a'.repeat(64))])
    refuses(Array.from({ length: 65 }, (_, at) => delta(at.toString(16).padStart(64, '0'))))
  })
})

describe('commitMismatch', () => {
  const commit = {
    timestamp: Date.parse(manifest.timestamp) / 1000,
    version: manifest.version,
    boundTo: [manifest.ref],
  }

  it('finds nothing where both say the same', () => {
    expect(commitMismatch(commit, manifest)).toBeUndefined()
    expect(commitMismatch({ ...commit, boundTo: [] }, manifest)).toBeUndefined()
    expect(commitMismatch({ ...commit, boundTo: ['other', manifest.ref] }, manifest)).toBeUndefined()
  })

  it('names what differs', () => {
    for (const timestamp of [commit.timestamp + 1, commit.timestamp * 1000, 0, 253402300800, 2 ** 62, Number.NaN])
      expect(commitMismatch({ ...commit, timestamp }, manifest), String(timestamp)).toContain(manifest.timestamp)
    for (const version of [undefined, '', '2.0\n', `${manifest.version}\n(no subject)`, 'x'])
      expect(commitMismatch({ ...commit, version }, manifest), version).toContain('its commit is not version 2.0')
    expect(commitMismatch({ ...commit, boundTo: ['other'] }, manifest)).toContain(manifest.ref)
  })
})

describe('parseJson', () => {
  const parse = (text: string) => parseJson(Buffer.from(text), 4)

  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), text => {
        expect(parse(text)).toEqual(JSON.parse(text))
      }),
    )
  })

  it('takes the same key in different objects, and strings that look like structure', () => {
    expect(parse('{"a":{"a":1},"b":[{"a":1},{"a":2}]}')).toBeTruthy()
    expect(parse('{"a":"{\\"a\\":1,[[[[[[","b":"\\\\","c":"a"}')).toBeTruthy()
  })

  it('refuses a key that is there twice, however it is written', () => {
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1,"\\u0061":2}',
      '[{"x":{"a":1 , "a" :2}}]',
      '{"":1,"":2}',
      '{"a":[],"a" \n : {}}',
    ])
      expect(() => parse(text)).toThrow('twice')
  })

  it('refuses numbers that a reader would round', () => {
    for (const number of [
      '9007199254740993',
      '-12345678901234567890',
      '1e400',
      '-1e999',
      '1e-400',
      '0.1000000000000000055',
    ])
      expect(() => parse(`{"a":[${number}]}`), number).toThrow('rounded')
    for (const number of ['0', '-0', '0.0', '0e999', '1.0', '10e-1', '0.1', '1e21', '100000000000000000000', '5e-324'])
      expect(parse(`[${number}]`), number).toEqual([Number(number)])
    // In one pass, however long they are.
    const before = performance.now()
    expect(() => parse(`[1${'0'.repeat(250_000)}1]`)).toThrow('rounded')
    expect(parse(`[0.${'0'.repeat(250_000)}]`)).toEqual([0])
    expect(performance.now() - before).toBeLessThan(500)
  })

  it('takes numbers that are not plain digits only where they are free', () => {
    const check = (text: string) => {
      parse(text)
      checkIntegers(Buffer.from(text), 'free')
    }
    check('{"a":[1,{"b":20}],"free":[1.0,-1,{"a":1e2}],"c":0}')
    for (const number of ['1.0', '1e0', '-1', '-0', '10e-1', '0e5'])
      for (const text of [`{"a":${number}}`, `{"free":1,"a":{"free":${number}}}`, `{"a":[1,${number}],"free":0}`])
        expect(() => check(text), text).toThrow('digits alone')
  })

  it('counts the levels', () => {
    expect(parse('[[[[]]]]')).toBeTruthy()
    expect(() => parse('[[[[[]]]]]')).toThrow('deeper')
    expect(() => parse('{"a":[{"b":[{}]}]}')).toThrow('deeper')
  })
})

it('sortKeys leaves no object unsorted, and takes __proto__ for a name like others', () => {
  const value = JSON.parse('{"b":{"z":1,"y":2},"__proto__":{"x":1},"a":[{"d":1,"c":2}]}') as Json
  expect(JSON.stringify(sortKeys(value))).toBe('{"__proto__":{"x":1},"a":[{"c":2,"d":1}],"b":{"y":2,"z":1}}')
})
