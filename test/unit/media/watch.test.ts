/** What is seen of a folder as packages come and go in it. */
import { mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { BOUNDS, type Look, scan } from '../../../src/media/scan.ts'
import { type MediumWatch, watchMedium } from '../../../src/media/watch.ts'

let folder: string
let watch: MediumWatch | undefined
let heard: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-watch-'))
  heard = []
})
afterEach(async () => {
  watch?.close()
  watch = undefined
  await rm(folder, { recursive: true })
})

const short = (path: string) => path.slice(folder.length + 1)
function begin() {
  watch = watchMedium(folder, {
    found: file => heard.push(`${short(file.path)} ${file.size}`),
    gone: path => heard.push(`${short(path)} gone`),
    looked: look => heard.push(look.beyond ? 'beyond' : 'looked'),
  })
}
const hears = (...expected: string[]) => expect.poll(() => heard, { timeout: 10_000 }).toEqual(expected)
const hear = (line: string) => expect.poll(() => heard, { timeout: 10_000 }).toContain(line)
const put = (name: string, content: string) => writeFile(join(folder, name), content)

describe('a folder', () => {
  it('is followed', async () => {
    await put('a.superblock', '1')
    begin()
    await hears('a.superblock 1', 'looked')
    heard = []
    await put('b.tmp', '22')
    await rename(join(folder, 'b.tmp'), join(folder, 'b.superblock'))
    await hear('b.superblock 2')
    await put('a.superblock', '333')
    await hear('a.superblock 3')
    await rm(join(folder, 'b.superblock'))
    await hear('b.superblock gone')
  })

  it('is followed in the folders below, also in new ones, and in another of the same name', async () => {
    await mkdir(join(folder, 'old'))
    begin()
    await hears('looked')
    await put('old/a.superblock', '1')
    await hear('old/a.superblock 1')
    await mkdir(join(folder, 'new/below'), { recursive: true })
    await put('new/below/b.superblock', '22')
    await hear('new/below/b.superblock 2')
    await rename(join(folder, 'old'), join(folder, 'older'))
    await hear('older/a.superblock 1')
    await mkdir(join(folder, 'old'))
    await put('old/c.superblock', '333')
    await hear('old/c.superblock 3')
    heard = []
    await put('old/c.superblock', '4444')
    await hear('old/c.superblock 4')
  })

  it('with many entries and many folders costs few watches', async () => {
    for (let i = 0; i < 400; i++) await mkdir(join(folder, `${i}`))
    for (let i = 0; i < 3000; i++) await put(`${i}.jpg`, '')
    begin()
    await hears('looked')
    const watches = (await readFile(`/proc/self/fdinfo/${await inotify()}`, 'utf8')).match(/^inotify wd/gm) ?? []
    expect(watches.length).toBeLessThan(320)
    await put('a.superblock', '1')
    await hear('a.superblock 1')
  }, 30_000)

  it('that changes all the time is looked at now and then', async () => {
    begin()
    await hears('looked')
    heard = []
    const end = Date.now() + 2000
    for (let i = 0; Date.now() < end; i++) {
      await put('a.superblock', `${i}`)
      await sleep(5)
    }
    const last = heard.length
    expect(last).toBeGreaterThan(3)
    expect(last).toBeLessThan(16)
    await put('a.superblock', 'at last')
    await hear('a.superblock 7')
  })

  it('a file that is replaced by another of the same size and date is another file', async () => {
    const time = new Date('2026-01-01')
    await put('a.superblock', '1')
    await utimes(join(folder, 'a.superblock'), time, time)
    begin()
    await hears('a.superblock 1', 'looked')
    await put('b', '2')
    await utimes(join(folder, 'b'), time, time)
    await rename(join(folder, 'b'), join(folder, 'a.superblock'))
    await expect.poll(() => heard.filter(line => line === 'a.superblock 1').length, { timeout: 5000 }).toBe(2)
  })

  it('that is not there is no end: it is seen when it comes', async () => {
    const later = join(folder, 'later')
    const looks: Look[] = []
    watch = watchMedium(later, {
      found: file => heard.push(short(file.path)),
      gone: () => {},
      looked: look => looks.push(look),
    })
    await expect.poll(() => looks[0]?.unreadable).toEqual({ path: later, why: 'ENOENT: no such file or directory' })
    await mkdir(later)
    await put('later/a.superblock', '')
    await hear('later/a.superblock')
    expect(looks.at(-1)?.unreadable).toBeUndefined()
  }, 15_000)
})

describe('a look', () => {
  const look = async () => {
    const found: string[] = []
    const seen = await scan(folder, { found: file => found.push(short(file.path)) })
    const misses = seen.misses.map(({ path, code }) => `${code} ${path === folder ? '.' : short(path)}`)
    return { ...seen, misses: misses.sort(), found: found.sort() }
  }
  const puts = async (...names: string[]) => {
    for (const name of names) {
      await mkdir(join(folder, dirname(name)), { recursive: true })
      await put(name, '')
    }
  }

  it('goes two folders down, follows no links, and takes files only, their names in any case', async () => {
    await puts(
      'superblock',
      'SUPERBLOCK',
      'x.superblock',
      'X.SUPERBLOCK',
      'a/x.Superblock',
      'a/b/x.superblock',
      'a/b/c/x.superblock',
    )
    await mkdir(join(folder, 'folder.superblock'))
    await symlink('/etc/hostname', join(folder, 'link.superblock'))
    await symlink('a', join(folder, 'linked'))
    expect(await look()).toMatchObject({
      found: ['SUPERBLOCK', 'X.SUPERBLOCK', 'a/b/x.superblock', 'a/x.Superblock', 'superblock', 'x.superblock'],
      misses: ['not-a-file folder.superblock', 'not-a-file link.superblock'],
      beyond: false,
    })
  })

  it('leaves out what was deleted, and what systems keep for themselves', async () => {
    const folders = [
      '.Trash-1000/files',
      '.Trashes/501',
      '.Trash',
      '$RECYCLE.BIN/S-1-5-21',
      '$Recycle.Bin',
      'RECYCLER',
      'Recycled',
    ]
    const more = [
      'System Volume Information',
      'SYSTEM~1/..hidden',
      'lost+found',
      'FOUND.000',
      'LOST.DIR',
      '__MACOSX',
      '#recycle',
    ]
    const system = ['.Spotlight-V100', '.fseventsd', '.hidden/deep', 'a/.Trash-0/files', '$Extend']
    for (const one of [...folders, ...more, ...system]) await puts(`${one}/x.superblock`)
    await puts('good.superblock')
    expect(await look()).toMatchObject({ found: ['good.superblock'], misses: [] })
  })

  it('takes names of any bytes', async () => {
    await mkdir(Buffer.concat([Buffer.from(`${folder}/gr`), Buffer.from([0xfc])]))
    await writeFile(
      Buffer.concat([Buffer.from(`${folder}/gr`), Buffer.from([0xfc]), Buffer.from('/x\xdf.superblock', 'latin1')]),
      '',
    )
    await puts('good.superblock')
    expect(await look()).toMatchObject({ found: ['good.superblock', 'gr\ueffc/x\uefdf.superblock'] })
  })

  it('tells what is nearly a package', async () => {
    await puts('a.superblock.zip', 'b.superblock.part', 'c.superblock.txt', '.d.superblock', 'e.superblock')
    await puts('f/manifest.json', 'f/index', 'f/objects/00/x.filez', 'f/inner.superblock/x')
    await puts('photos.zip')
    expect(await look()).toMatchObject({
      found: ['e.superblock'],
      misses: [
        'hidden .d.superblock',
        'misnamed c.superblock.txt',
        'packed a.superblock.zip',
        'unfinished b.superblock.part',
        'unpacked f',
      ],
    })
  })

  it('looks further down, and at archives, only where there is no package', async () => {
    await puts('a/b/c/deep.superblock', 'a/b/c/d/e/f/g/deeper.superblock', 'photos.zip')
    expect(await look()).toMatchObject({ found: [], misses: ['packed photos.zip', 'too-deep a/b/c/deep.superblock'] })
    await puts('x.superblock')
    expect(await look()).toMatchObject({ found: ['x.superblock'], misses: [] })
  })

  it('a package that was unpacked onto the medium is known', async () => {
    await puts('manifest.json', 'index', 'signatures/X.asc', 'deltas/x.superblock')
    expect(await look()).toMatchObject({ found: [], misses: ['unpacked .'] })
  })

  it('ends when its time is over', async () => {
    for (let i = 0; i < 100; i++) await put(`${i}.jpg`, '')
    await put('z.superblock', '')
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
      now += 1000
      return now
    })
    try {
      expect(await look()).toMatchObject({ beyond: true, entries: BOUNDS.time / 1000 + 1 })
    } finally {
      clock.mockRestore()
    }
  })

  it('ends at the bounds, top folder first', async () => {
    await mkdir(join(folder, 'a'))
    for (let i = 0; i < BOUNDS.files; i++) await put(`a/${i}.superblock`, '')
    for (let i = 0; i < 30; i++) await put(`${i}.superblock.zip`, '')
    await put('z.superblock', '')
    const { found, beyond, misses } = await look()
    expect([found.length, beyond, found.includes('z.superblock'), misses.length]).toEqual([
      BOUNDS.files,
      true,
      true,
      BOUNDS.misses,
    ])
  })
})

/** The descriptor of this process's inotify. */
async function inotify(): Promise<string> {
  for (const name of await readdir('/proc/self/fd'))
    if ((await readlink(`/proc/self/fd/${name}`).catch(() => '')).includes('inotify')) return name
  throw new Error('nothing is watched')
}
