/** Commits read from a real archive repo: everything that belongs to one is found, and what is missing or wrong is said. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { history, objectsOf, parseCommit, readCommit } from '../../../src/ostree/contents.ts'

let folder: string
let repo: string
const commits: string[] = []

async function commit(tree: string, version: string): Promise<string> {
  const argv = ['ostree', 'commit', `--repo=${repo}`, '--branch=a/b', `--subject=${version}`, `--tree=dir=${tree}`]
  return (await run([...argv, `--add-metadata-string=version=${version}`, '--timestamp=@1700000000'])).stdout.trim()
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'contents-'))
  repo = join(folder, 'repo')
  const tree = join(folder, 'tree')
  await run(['ostree', 'init', `--repo=${repo}`, '--mode=archive'])
  await mkdir(join(tree, 'usr', 'a folder', 'empty'), { recursive: true })
  await writeFile(join(tree, 'usr', 'a folder', 'line\nend "ü"'), 'x'.repeat(5000))
  await writeFile(join(tree, 'usr', 'nothing'), '')
  await symlink('a folder', join(tree, 'usr', 'link'))
  for (let i = 0; i < 100; i++) await writeFile(join(tree, 'usr', `file ${i}`), `content ${i}`)
  commits.push(await commit(tree, '1.0'))
  await writeFile(join(tree, 'usr', 'file 0'), 'another content')
  commits.push(await commit(tree, '2.0'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const second = () => readCommit(repo, commits[1] ?? '')

test('a commit says what ostree was told', async () => {
  const found = await second()
  expect(found).toMatchObject({ checksum: commits[1], parent: commits[0], timestamp: 1700000000, boundTo: ['a/b'] })
  expect(found.metadata.get('version')).toBe('2.0')
  expect((await readCommit(repo, commits[0] ?? '')).parent).toBeUndefined()
})

test('what readers would understand differently is refused', async () => {
  const argv = ['ostree', 'commit', `--repo=${repo}`, '--orphan', '--bind-ref=a/b', '--subject=odd', '--tree=ref=a/b']
  const odd = (await run([...argv, '--add-metadata-string=version=1', '--add-metadata-string=versioN=2'])).stdout.trim()
  const bytes = await readFile(join(repo, 'objects', odd.slice(0, 2), `${odd.slice(2)}.commit`))
  const read = (from: string, to: string) => {
    const changed = Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1')
    return () => parseCommit(createHash('sha256').update(changed).digest('hex'), changed)
  }
  expect(read('versioN', 'versiON')().metadata.get('version')).toBe('1')
  expect(read('versioN', 'version')).toThrow('it has "version" twice')
  expect(read('versioN', 'versio\0')).toThrow(/cannot read a GVariant/)
  expect(read('\0as', '\0ay')).toThrow('what it says of its refs has another type')
})

test('its objects are those that ostree itself copies with it', async () => {
  const copy = join(folder, 'copy')
  await run(['ostree', 'init', `--repo=${copy}`, '--mode=archive'])
  await run(['ostree', 'pull-local', `--repo=${copy}`, repo, commits[1] ?? ''])
  const files = (await readdir(join(copy, 'objects'), { recursive: true })).filter(name => name.includes('.'))
  const found = await objectsOf(repo, await second())
  expect(found.map(object => object.path)).toEqual(files.map(name => `objects/${name}`).sort())
  for (const { path, size } of found) expect(size).toBe((await stat(join(repo, path))).size)
})

test('sizes are those of the content, however it is compressed', async () => {
  const found = await objectsOf(repo, await second())
  const sizes = found.filter(object => object.path.endsWith('.filez')).map(object => object.unpacked)
  const files = 99 * 'content 00'.length - 9 // `content 1` to `content 9` are one shorter
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(5000 + files + 'another content'.length)
  expect(Math.max(...sizes)).toBe(5000)
})

test('detached metadata belongs to it', async () => {
  const path = `objects/${commits[0]?.slice(0, 2)}/${commits[0]?.slice(2)}.commitmeta`
  await writeFile(join(repo, path), '')
  const found = await objectsOf(repo, await readCommit(repo, commits[0] ?? ''))
  expect(found.map(object => object.path)).toContain(path)
})

test('its history ends where the repo ends', async () => {
  const versions: (string | undefined)[] = []
  for await (const one of history(repo, commits[1] ?? '')) versions.push(one.metadata.get('version'))
  expect(versions).toEqual(['2.0', '1.0'])

  const shallow = join(folder, 'shallow')
  await run(['ostree', 'init', `--repo=${shallow}`, '--mode=archive'])
  await run(['ostree', 'pull-local', `--repo=${shallow}`, repo, commits[1] ?? ''])
  const left: string[] = []
  for await (const one of history(shallow, commits[1] ?? '')) left.push(one.checksum)
  expect(left).toEqual([commits[1]])
})

test('an object that is missing or changed is a failure, not a smaller release', async () => {
  const broken = join(folder, 'broken')
  await run(['cp', '-r', repo, broken])
  const objects = await objectsOf(broken, await second())
  const of = (kind: string) => join(broken, objects.find(object => object.path.endsWith(kind))?.path ?? '')
  await unlink(of('.filez'))
  await expect(objectsOf(broken, await second())).rejects.toMatchObject({ code: 'no-object' })
  await writeFile(of('.dirtree'), 'nonsense')
  await expect(objectsOf(broken, await second())).rejects.toMatchObject({ code: 'corrupt-object' })
  await expect(readCommit(repo, '0'.repeat(64))).rejects.toMatchObject({ code: 'no-object' })
})
