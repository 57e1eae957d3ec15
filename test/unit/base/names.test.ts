/** Names of files as strings: any bytes go there and back, and no two become one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { argumentsAsGiven, bytesOf, nameOf } from '../../../src/base/names.ts'
import { run } from '../../../src/base/run.ts'
import { openFile } from '../../../src/base/source.ts'
import { safe } from '../../../src/base/text.ts'
import { superblock } from '../../kit/io.ts'
import { PROJECT } from '../../kit/project.ts'

const LATIN = Buffer.from('Größe.superblock', 'latin1')

test.each([
  [Buffer.from('Größe 更新 🚀'), 'Größe 更新 🚀', 'Größe 更新 🚀'],
  [LATIN, 'Gr\ueff6\uefdfe.superblock', 'Gr\\xf6\\xdfe.superblock'],
  [Buffer.from([0xc3]), '\uefc3', '\\xc3'],
  [Buffer.from([0xed, 0xa0, 0x80]), '\uefed\uefa0\uef80', '\\xed\\xa0\\x80'],
  [Buffer.from([0xc0, 0xaf]), '\uefc0\uefaf', '\\xc0\\xaf'],
  // What stands for bytes can itself stand in a name.
  [Buffer.from('\uef80'), '\uefee\uefbe\uef80', '\\xee\\xbe\\x80'],
  [Buffer.from('\ufffd'), '\ufffd', '\ufffd'],
])('%j', (bytes, name, shown) => {
  expect(nameOf(bytes)).toBe(name)
  expect(bytesOf(name)).toEqual(bytes)
  expect(safe(name)).toBe(shown)
})

test('any bytes go there and back, through JSON too, and two names are never one string', () => {
  const bytes = fc.uint8Array({ maxLength: 40 }).map(array => Buffer.from(array))
  fc.assert(
    fc.property(bytes, bytes, (one, other) => {
      expect(bytesOf(JSON.parse(JSON.stringify(nameOf(one))))).toEqual(one)
      expect(nameOf(one) === nameOf(other)).toBe(one.equals(other))
      expect(nameOf(one)).not.toMatch(/\p{Cs}/u)
    }),
  )
})

test('a file whose name is no UTF-8 is opened by its string, and named by commands as it was typed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sb-names-'))
  try {
    await writeFile(Buffer.concat([Buffer.from(`${folder}/`), LATIN]), 'content')
    const source = await openFile(join(folder, nameOf(LATIN)))
    expect(String(await source.read(0, 100))).toBe('content')
    await source.close()
    const { err } = await superblock(['verify', join(folder, nameOf(LATIN))])
    expect(err).toBe(
      'superblock: cannot accept the file: it is not a superblock package (its first entry is no manifest) (not-a-package)\n',
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('arguments are taken as bytes', async () => {
  expect(argumentsAsGiven(['a', 'grün'])).toEqual(['a', 'grün'])
  const contents = `import { argumentsAsGiven } from './names.ts'; console.log(JSON.stringify(argumentsAsGiven()))`
  const resolveDir = join(PROJECT, 'src/base')
  const built = await build({ stdin: { contents, resolveDir }, bundle: true, platform: 'node', write: false })
  const folder = await mkdtemp(join(tmpdir(), 'sb-names-'))
  try {
    const program = join(folder, 'arguments.cjs')
    await writeFile(program, built.outputFiles[0]?.contents ?? '')
    const line = '"$0" "$1" x "$(printf "Gr\\366")" "" grün'
    const { stdout } = await run(['sh', '-c', line, process.execPath, program])
    expect(JSON.parse(stdout)).toEqual(['x', 'Gr\ueff6', '', 'grün'])
  } finally {
    await rm(folder, { recursive: true })
  }
})
