/** What is asked of a repo's files: which objects are there, and how much room ostree leaves. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, statfs, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEngine } from '../../../src/ostree/engine.ts'
import { contentSize, hasCommit, lacking, readSound } from '../../../src/ostree/objects.ts'
import { reservedBytes, spaceFor } from '../../../src/ostree/space.ts'

let sysroot: string
let repo: string
beforeEach(async () => {
  sysroot = await mkdtemp(join(tmpdir(), 'sb-repo-'))
  repo = join(sysroot, 'ostree/repo')
  await mkdir(join(repo, 'objects/aa'), { recursive: true })
  await mkdir(join(repo, 'state'))
})
afterEach(() => rm(sysroot, { recursive: true, force: true }))

const rest = (letter: string) => letter.repeat(62)
const path = (letter: string, kind: string) => `objects/aa/${rest(letter)}.${kind}`
const put = (letter: string, kind: string, content = kind) => writeFile(join(repo, path(letter, kind)), content)
/** As an index has them, with sizes as `put` gives them. */
const described = (paths: readonly string[]) =>
  paths.map(one => {
    const { length } = one.endsWith('.filez') ? 'file' : one.slice(one.lastIndexOf('.') + 1)
    return { path: one, size: length, unpacked: length }
  })
const missing = async (paths: readonly string[]) => (await lacking(repo, described(paths))).map(place => paths[place])

test('a content object is plain here, links included; other kinds keep their name', async () => {
  await put('1', 'file')
  await symlink('/nowhere', join(repo, path('2', 'file')))
  await put('3', 'dirtree')
  await put('4', 'dirmeta')
  await put('5', 'filez')
  const asked = [
    ...[path('1', 'filez'), path('2', 'filez'), path('3', 'dirtree'), path('4', 'dirmeta')],
    ...[path('5', 'filez'), path('3', 'dirmeta'), path('6', 'filez'), `objects/bb/${rest('1')}.filez`, 'config'],
  ]
  expect(await missing(asked)).toEqual(asked.slice(4))
  expect(contentSize(repo, path('1', 'filez'))).toBe(4)
  expect(contentSize(repo, path('2', 'filez'))).toBe(0)
  expect(contentSize(repo, path('6', 'filez'))).toBeUndefined()
})

test('an object whose file has another size is missing, one that is said to be unsound too', async () => {
  const paths = [path('1', 'filez'), path('2', 'dirtree'), path('3', 'dirmeta'), path('4', 'commitmeta')]
  for (const [letter, kind] of [
    ['1', 'file'],
    ['2', 'dirtree'],
    ['3', 'dirmeta'],
    ['4', 'commitmeta'],
  ] as const)
    await put(letter, kind)
  expect(await missing(paths)).toEqual([])
  expect(await lacking(repo, described(paths), one => one === paths[2])).toEqual([2])
  await put('1', 'file', '')
  await put('2', 'dirtree', 'dirtre')
  await put('3', 'dirmeta', 'dirmeta and more')
  await put('4', 'commitmeta', 'it may have grown')
  expect(await missing(paths)).toEqual(paths.slice(0, 3))
})

test('metadata counts as read only when it is what its name says', async () => {
  const bytes = Buffer.from('the bytes')
  const checksum = createHash('sha256').update(bytes).digest('hex')
  const name = `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.dirtree`
  await mkdir(join(repo, dirname(name)), { recursive: true })
  expect(await readSound(repo, name)).toBeUndefined()
  await writeFile(join(repo, name), bytes)
  expect(await readSound(repo, name)).toEqual(bytes)
  for (const spoiled of ['', 'the bytez', 'the bytes and more']) {
    await writeFile(join(repo, name), spoiled)
    expect(await readSound(repo, name)).toBeUndefined()
  }
})

test('a commit that is only partly there is missing', async () => {
  const commit = `aa${rest('7')}`
  expect(await hasCommit(repo, commit)).toBe(false)
  await put('7', 'commit')
  expect(await missing([path('7', 'commit')])).toEqual([])
  expect(await hasCommit(repo, commit)).toBe(true)
  await writeFile(join(repo, 'state', `${commit}.commitpartial`), '')
  expect(await missing([path('7', 'commit')])).toEqual([path('7', 'commit')])
  expect(await hasCommit(repo, commit)).toBe(false)
})

test('ostree leaves free what the repo is configured for, 3 % where it is not', async () => {
  const { blocks, bsize } = await statfs(repo)
  const configure = (text: string) => writeFile(join(repo, 'config'), `[core]\nmode=bare\n${text}\n[other]\n`)
  const percent = (part: number) => Math.floor(blocks * bsize * (part / 100))
  const cases: [string, number][] = [
    ['', percent(3)],
    ['min-free-space-percent=10', percent(10)],
    ['min-free-space-percent = 0', 0],
    ['min-free-space-size=5MB', 5 * 1024 ** 2],
    ['min-free-space-size=2GB\nmin-free-space-percent=50', 2 * 1024 ** 3],
    ['min-free-space-size=0MB', 0],
    ['[other]\nmin-free-space-percent=10', percent(3)],
  ]
  for (const [text, bytes] of cases) {
    await configure(text)
    expect(await reservedBytes(repo)).toBe(bytes)
  }
  await configure('min-free-space-size=999TB')
  expect(await spaceFor(openEngine('/nowhere', sysroot))).toBe(0)
  await configure('min-free-space-percent=0')
  expect(await spaceFor(openEngine('/nowhere', sysroot))).toBeGreaterThan(0)
})
