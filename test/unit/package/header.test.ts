import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { LARGEST, padded, readHeader, ustarHeader } from '../../../src/package/header.ts'

/** What tar-stream writes for the entry that the package writer asks it for. */
async function byTarStream(path: string, size: number): Promise<Buffer> {
  const archive = pack()
  archive.on('error', () => {}) // the body never comes
  archive.entry({ name: path, size, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) })
  for await (const chunk of archive) return chunk as Buffer
  throw new Error(await text(archive))
}

const path = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map(c => String.fromCharCode(c)),
  minLength: 1,
  maxLength: 100,
})

describe('ustarHeader', () => {
  it('makes the very bytes that the tar writer makes', async () => {
    const sizes = [0, 1, 511, 512, 0o7777777, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 33 - 1, LARGEST]
    const paths = [
      'config',
      'manifest.json',
      'index',
      `signatures/${'A'.repeat(40)}.asc`,
      `refs/heads/${'x'.repeat(89)}`,
    ]
    for (const name of paths)
      for (const size of sizes)
        expect([name, size, ustarHeader(name, size).equals(await byTarStream(name, size))]).toEqual([name, size, true])
  })

  it('does so for any path and size', async () => {
    await fc.assert(
      fc.asyncProperty(
        path.filter(name => !name.endsWith('/')),
        fc.integer({ min: 0, max: LARGEST }),
        async (name, size) => {
          expect(ustarHeader(name, size)).toEqual(await byTarStream(name, size))
        },
      ),
      { numRuns: 200 },
    )
  })

  it.each(['', 'x'.repeat(101), 'a b', 'é', 'a\0b', 'a\n'])('has none for the path %j', name => {
    expect(() => ustarHeader(name, 0)).toThrow('cannot pack')
  })

  it.each([-1, 1.5, LARGEST + 1, Number.NaN])('has none for the size %s', size => {
    expect(() => ustarHeader('config', size)).toThrow('cannot pack')
  })
})

describe('readHeader', () => {
  it('reads what ustarHeader made', () => {
    fc.assert(
      fc.property(path, fc.integer({ min: 0, max: LARGEST }), (name, size) => {
        expect(readHeader(ustarHeader(name, size))).toEqual({ path: name, size })
      }),
    )
  })

  it('knows no header with any bit changed, unless the checksum was mended and it says something else', () => {
    const header = ustarHeader('signatures/x', 1234)
    for (let bit = 0; bit < 512 * 8; bit++) {
      const changed = Buffer.from(header)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect([bit, readHeader(changed)]).toEqual([bit, undefined])
    }
  })
})

it('padded rounds up to blocks, beyond 4 GiB too', () => {
  expect([0, 1, 512, 513, 2 ** 32, 2 ** 32 + 1].map(padded)).toEqual([0, 512, 512, 1024, 2 ** 32, 2 ** 32 + 512])
})
