/** What is asked of a repo's files: which objects are there, and how much room ostree leaves. */
import { mkdir, mkdtemp, rm, statfs, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEngine } from '../../../src/ostree/engine.ts'
import { hasCommit, missingObjects, readObject } from '../../../src/ostree/objects.ts'
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
const put = (letter: string, kind: string) => writeFile(join(repo, path(letter, kind)), kind)

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
  expect(await missingObjects(repo, asked)).toEqual(new Set(asked.slice(4)))
  expect(await readObject(repo, path('3', 'dirtree'))).toEqual(Buffer.from('dirtree'))
  expect(await readObject(repo, path('9', 'dirtree'))).toBeUndefined()
})

test('a commit that is only partly there is missing', async () => {
  const commit = `aa${rest('7')}`
  expect(await hasCommit(repo, commit)).toBe(false)
  await put('7', 'commit')
  expect(await missingObjects(repo, [path('7', 'commit')])).toEqual(new Set())
  expect(await hasCommit(repo, commit)).toBe(true)
  await writeFile(join(repo, 'state', `${commit}.commitpartial`), '')
  expect(await missingObjects(repo, [path('7', 'commit')])).toEqual(new Set([path('7', 'commit')]))
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
