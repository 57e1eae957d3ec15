/** Bare superblocks as the real ostree writes them. */
import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { readSuperblock, stampSuperblock } from '../../../src/builder/superblock-file.ts'
import { generateDelta } from '../../../src/ostree/commit.ts'
import { objectsOf, readCommit } from '../../../src/ostree/contents.ts'

let folder: string
let repo: string
let [first, second] = ['', '']
const path = (name: string) => join(folder, name)

async function commit(version: string): Promise<string> {
  const argv = [
    'ostree',
    'commit',
    `--repo=${repo}`,
    '--branch=a',
    `--tree=dir=${path('tree')}`,
    `--subject=${version}`,
  ]
  return (await run([...argv, `--add-metadata-string=version=${version}`])).stdout.trim()
}

const generate = (name: string, ...how: string[]) =>
  run(['ostree', 'static-delta', 'generate', `--repo=${repo}`, `--to=${second}`, `--filename=${path(name)}`, ...how])

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'superblock-file-'))
  repo = path('repo')
  await run(['ostree', 'init', `--repo=${repo}`, '--mode=archive'])
  await mkdir(path('tree'))
  for (let i = 0; i < 40; i++) await writeFile(join(path('tree'), `file ${i}`), `content ${i} `.repeat(500))
  first = await commit('1.0')
  for (let i = 0; i < 4; i++) await appendFile(join(path('tree'), `file ${i}`), 'more')
  second = await commit('2.0')
  await generateDelta(repo, first, second, path('delta'))
  await generate('whole', '--empty', '--inline', '--min-fallback-size=0')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('one between two commits', async () => {
  const found = await readSuperblock(path('delta'))
  expect(found).toMatchObject({ from: first, commit: { checksum: second, parent: first, boundTo: ['a'] } })
  expect(found.commit.metadata.get('version')).toBe('2.0')
  const had = new Set((await objectsOf(repo, await readCommit(repo, first))).map(object => object.path))
  const made = (await objectsOf(repo, found.commit)).filter(object => !had.has(object.path))
  const content = made.filter(object => object.path.endsWith('.filez'))
  expect(content).toHaveLength(4)
  // the commit itself is in the frame, not in a part
  const parts = made.filter(object => !object.path.endsWith('.commit'))
  expect(found.unpacked).toBe(parts.reduce((sum, object) => sum + object.unpacked, 0))
})

test('one that needs no base', async () => {
  expect(await readSuperblock(path('whole'))).toMatchObject({ from: undefined, commit: { checksum: second } })
})

test('the other byte order', async () => {
  await generate('big', `--from=${first}`, '--inline', '--min-fallback-size=0', '--set-endianness=B')
  const { unpacked } = await readSuperblock(path('delta'))
  expect((await readSuperblock(path('big'))).unpacked).toBe(unpacked)
})

test('two made at different times are the same once they are stamped', async () => {
  await stampSuperblock(path('delta'), 1_600_000_000)
  await new Promise(resolve => setTimeout(resolve, 1100))
  await generateDelta(repo, first, second, path('later'))
  expect((await readFile(path('later'))).equals(await readFile(path('delta')))).toBe(false)
  await stampSuperblock(path('later'), 1_600_000_000)
  expect((await readFile(path('later'))).equals(await readFile(path('delta')))).toBe(true)
})

test('one whose parts are in other files, or come from a server, is refused', async () => {
  await generate('parts', '--empty', '--min-fallback-size=0')
  await expect(readSuperblock(path('parts'))).rejects.toThrow(/parts are in other files/)
  await writeFile(join(path('tree'), 'large'), Buffer.alloc(6 * 1024 * 1024, 'large'))
  second = await commit('3.0')
  await generate('fallback', '--empty', '--inline', '--min-fallback-size=1')
  await expect(readSuperblock(path('fallback'))).rejects.toThrow(/from a server/)
})

test('anything else is refused, wherever it was cut or damaged', async () => {
  await expect(readSuperblock(path('absent'))).rejects.toMatchObject({ code: 'bad-superblock' })
  const whole = await readFile(path('delta'))
  for (let length = 0; length < whole.length; length += 97) {
    await copyFile(path('delta'), path('cut'))
    await truncate(path('cut'), length)
    await expect(readSuperblock(path('cut'))).rejects.toMatchObject({ code: 'bad-superblock' })
  }
  const { timeAt } = await readSuperblock(path('delta'))
  for (let at = timeAt + 8; at < timeAt + 8 + 64; at += 7) {
    const damaged = Buffer.from(whole)
    damaged[at] = (damaged[at] ?? 0) ^ 1
    await writeFile(path('damaged'), damaged)
    const found = await readSuperblock(path('damaged')).catch(error => error)
    if (at < timeAt + 8 + 32) expect(found.from).not.toBe(first)
    else expect(found).toMatchObject({ code: 'bad-superblock' })
  }
})
