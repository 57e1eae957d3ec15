/** What is seen of a folder as packages come and go in it. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BOUNDS, scan } from '../../../src/media/scan.ts'
import { type MediumWatch, watchMedium } from '../../../src/media/watch.ts'

let folder: string
let watch: MediumWatch | undefined
let heard: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-watch-'))
  heard = []
})
afterEach(async () => {
  await watch?.close()
  watch = undefined
  await rm(folder, { recursive: true })
})

const short = (path: string) => path.slice(folder.length + 1)
function begin() {
  watch = watchMedium(folder, {
    found: file => heard.push(`${short(file.path)} ${file.size}`),
    gone: path => heard.push(`${short(path)} gone`),
    ready: beyond => heard.push(beyond ? 'beyond' : 'ready'),
    error: error => heard.push(`error ${error.message}`),
  })
}
const hears = (...expected: string[]) => expect.poll(() => heard, { timeout: 10_000 }).toEqual(expected)
const hear = (line: string) => expect.poll(() => heard, { timeout: 10_000 }).toContain(line)
const put = (name: string, content: string) => writeFile(join(folder, name), content)

/** What comes and goes is told once each, in a folder of any size. */
async function followsChanges() {
  await put('a.superblock', '1')
  begin()
  await hears('a.superblock 1', 'ready')
  await new Promise(resolve => setTimeout(resolve, 300)) // chokidar's own first look
  heard = []
  await put('b.tmp', '22')
  await rename(join(folder, 'b.tmp'), join(folder, 'b.superblock'))
  await hear('b.superblock 2')
  await put('a.superblock', '333')
  await hear('a.superblock 3')
  await rm(join(folder, 'b.superblock'))
  await hear('b.superblock gone')
}

describe('a folder', () => {
  it('is followed', followsChanges)

  it('with more entries than are watched is looked at again when something moves in it', async () => {
    for (let i = 0; i <= BOUNDS.watched; i++) await put(`${i}.jpg`, '')
    await followsChanges()
  }, 30_000)

  it('that is not there is an error, and no end', async () => {
    watch = watchMedium(join(folder, 'none'), {
      found: () => {},
      gone: () => {},
      ready: () => heard.push('ready'),
      error: error => heard.push((error as NodeJS.ErrnoException).code ?? ''),
    })
    await expect.poll(() => heard).toContain('ready')
    expect(heard).toContain('ENOENT')
  })
})

describe('a look', () => {
  const look = async () => {
    const found: string[] = []
    const seen = await scan(folder, { found: file => found.push(short(file.path)), error: () => {} })
    return { ...seen, found: found.sort() }
  }

  it('goes two folders down, follows no links, and takes files only', async () => {
    await mkdir(join(folder, 'a/b/c'), { recursive: true })
    for (const name of ['superblock', 'x.superblock', 'a/x.superblock', 'a/b/x.superblock', 'a/b/c/x.superblock'])
      await put(name, '')
    await put('x.superblock.part', '')
    await mkdir(join(folder, 'folder.superblock'))
    await symlink('/etc/hostname', join(folder, 'link.superblock'))
    await symlink('a', join(folder, 'linked'))
    expect(await look()).toMatchObject({
      found: ['a/b/x.superblock', 'a/x.superblock', 'superblock', 'x.superblock'],
      beyond: false,
    })
  })

  it('ends at the bounds, top folder first', async () => {
    await mkdir(join(folder, 'a'))
    for (let i = 0; i < BOUNDS.files; i++) await put(`a/${i}.superblock`, '')
    await put('z.superblock', '')
    const { found, beyond } = await look()
    expect([found.length, beyond, found.includes('z.superblock')]).toEqual([BOUNDS.files, true, true])
  })
})
