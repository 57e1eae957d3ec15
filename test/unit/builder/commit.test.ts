/** Releases from every kind of input, with the real ostree. */
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { type CommitOptions, commit, OTA_JSON } from '../../../src/builder/commit.ts'
import type { Work } from '../../../src/builder/work.ts'
import { readCommit } from '../../../src/ostree/contents.ts'

let folder: string
let repo: string
let count = 0
const notes: string[] = []
const work: Work = {
  signal: new AbortController().signal,
  progress: (_, task) => task(() => {}),
  note: text => notes.push(text),
}
const path = (name: string) => join(folder, name)

const release = (options: Partial<CommitOptions> = {}) =>
  commit({ input: path('tree'), ostreeRepo: repo, ref: 'acme/gw', version: '1.0', timestamp: 1e9, ...options }, work)

const list = async (rev: string) => (await run(['ostree', 'ls', `--repo=${repo}`, '-R', '-C', rev])).stdout
const contentOf = async (checksum: string) => (await readCommit(repo, checksum)).root

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'commit-'))
  await mkdir(join(path('tree'), 'usr', 'bin'), { recursive: true })
  await writeFile(join(path('tree'), 'usr', 'bin', 'tool'), 'a tool', { mode: 0o755 })
  await symlink('tool', join(path('tree'), 'usr', 'bin', 'link'))
  for (const [name, how] of [
    ['tree.tar', 'cf'],
    ['tree.tar.gz', 'czf'],
  ] as const)
    await run(['tar', how, path(name), '-C', path('tree'), '--xattrs', '.'])
  await run(['tar', 'cf', path('no-folders.tar'), '-C', path('tree'), 'usr/bin/tool'])
})
beforeEach(() => {
  repo = path(`repo-${count++}`)
  notes.length = 0
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a folder becomes a commit in a new archive repo', async () => {
  const made = await release({ subject: 'The first' })
  expect(made).toMatchObject({ ref: 'acme/gw', version: '1.0', timestamp: '2001-09-09T01:46:40Z', parent: null })
  const shown = (await run(['ostree', 'show', `--repo=${repo}`, 'acme/gw'])).stdout
  expect(shown).toContain(`commit ${made.commit}\n`)
  expect(shown).toContain('Version: 1.0\n')
  expect(shown).toContain('The first')
  expect(await readFile(join(repo, 'config'), 'utf8')).toContain('mode=archive-z2')
})

test('folder, .tar, .tar.gz and a commit of a repo of another mode are the same release', async () => {
  const folderMade = await release({ canonicalPermissions: true })
  const other = path(`other-${count}`)
  await run(['ostree', 'init', `--repo=${other}`, '--mode=bare-user-only'])
  await run(['ostree', 'commit', `--repo=${other}`, '-b', 'x', `--tree=dir=${path('tree')}`, '--canonical-permissions'])
  const inputs: Partial<CommitOptions>[] = [
    { input: path('tree.tar') },
    { input: path('tree.tar.gz') },
    { input: 'x', fromRepo: other },
  ]
  for (const [i, input] of inputs.entries()) {
    const made = await release({ ...input, version: `1.${i + 1}`, canonicalPermissions: true })
    expect(await contentOf(made.commit)).toEqual(await contentOf(folderMade.commit))
  }
  expect(await list('acme/gw')).toMatch(/-00755 0 0 +6 [0-9a-f]{64} \/usr\/bin\/tool/)
  expect(notes.at(-1)).toBe('The files are the same as in version 1.2.')
})

test('the same input at the same time is the same commit', async () => {
  const { commit: first } = await release()
  repo = path(`again-${count}`)
  expect((await release()).commit).toBe(first)
})

test('folders that an archive leaves out are made', async () => {
  await release({ input: path('no-folders.tar') })
  expect(await list('acme/gw')).toContain('/usr/bin/tool')
})

test('a version is never given twice on a ref, however long ago', async () => {
  const first = await release()
  await release({ version: '2.0' })
  for (const version of ['1.0', '2.0']) {
    const refused = await release({ version }).catch(error => error)
    expect(refused).toMatchObject({ code: 'version-taken' })
    expect(refused.message).toMatch(/^cannot commit version /)
  }
  expect((await release({ version: '3.0' })).parent).not.toBe(first.commit)
  expect(await release({ ref: 'acme/other' })).toMatchObject({ version: '1.0', parent: null })
})

test('the ota-json is in the commit, in a fixed form', async () => {
  await writeFile(path('ota.json'), '{ "b": 1,\n "a": {"y": [2], "x": "ü"} }')
  const made = await release({ otaJson: path('ota.json') })
  expect((await readCommit(repo, made.commit)).metadata.get(OTA_JSON)).toBe('{"a":{"x":"ü","y":[2]},"b":1}')
})

test.each([
  ['no JSON', 'a'],
  ['no object', '[1]'],
  ['a key twice', '{"a":1,"a":2}'],
  ['too much', JSON.stringify({ a: 'x'.repeat(70_000) })],
  ['a file too large to be read', `{}${' '.repeat(2 ** 20)}`],
  ['too deep', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`],
])('an ota-json with %s is refused', async (_, text) => {
  await writeFile(path('bad.json'), text)
  await expect(release({ otaJson: path('bad.json') })).rejects.toMatchObject({ code: 'bad-ota-json' })
})

test('an ota-json that is no file is refused, an endless one too', async () => {
  for (const [file, why] of [
    ['/dev/zero', 'it is no file'],
    ['/nowhere.json', 'there is no such file'],
  ] as const)
    await expect(release({ otaJson: file })).rejects.toThrow(`cannot use ${file}: ${why}`)
})

test.each([
  [{ version: 'one two' }, /version: is not a version/],
  [{ version: '' }, /version/],
  [{ ref: '../a' }, /ref/],
  [{ ref: `a/${'b'.repeat(100)}` }, /ref/],
])('%j is refused before anything is made', async (options, message) => {
  const refused = await release(options).catch(error => error)
  expect(refused).toMatchObject({ code: 'bad-value', message: expect.stringMatching(message) })
  await expect(readFile(join(repo, 'config'))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('what ostree cannot hold is named, with what to do', async () => {
  await mkdir(path('pipes'), { recursive: true })
  await run(['mkfifo', join(path('pipes'), 'pipe')])
  await expect(release({ input: path('pipes') })).rejects.toThrow(/pipe; take devices, pipes and sockets out of it/)
  await run(['tar', 'cf', path('pipe.tar'), '-C', path('pipes'), 'pipe'])
  for (const canonicalPermissions of [true, false])
    await expect(release({ input: path('pipe.tar'), canonicalPermissions })).rejects.toMatchObject({
      code: 'bad-tree',
      message: expect.stringMatching(/pipe.*out of it/),
    })
})

test('an archive that climbs out of its root, or is cut short, is refused', async () => {
  await run(['tar', 'cf', path('up.tar'), '-C', path('tree'), '--transform=s,^,../,', 'usr/bin/tool'])
  await expect(release({ input: path('up.tar') })).rejects.toMatchObject({ code: 'bad-tree' })
  const whole = await readFile(path('tree.tar.gz'))
  await writeFile(path('cut.tar.gz'), whole.subarray(0, whole.length - 40))
  await expect(release({ input: path('cut.tar.gz') })).rejects.toMatchObject({ code: 'bad-tree' })
})

test('a list that would pull files of this computer in by name is not taken for an archive', async () => {
  await writeFile(path('list.tar'), `#mtree\n./stolen type=file contents=${path('ota.json')}\n`)
  await expect(release({ input: path('list.tar') })).rejects.toThrow(/neither a folder nor a .tar/)
  await run(['gzip', '-k', path('list.tar')])
  await expect(release({ input: path('list.tar.gz') })).rejects.toMatchObject({ code: 'bad-tree' })
  await expect(release({ input: path('absent') })).rejects.toThrow(/there is no such file or folder/)
})

test('a repo of another mode, and a commit that is not there, are refused', async () => {
  await run(['ostree', 'init', `--repo=${repo}`, '--mode=bare-user-only'])
  await expect(release()).rejects.toMatchObject({ code: 'wrong-repo' })
  const from = { fromRepo: repo, ostreeRepo: path('unused') }
  await expect(release({ ...from, input: 'nothing/here' })).rejects.toMatchObject({ code: 'no-commit' })
})

test('modes are kept as they are, or made what a device without root can hold', async () => {
  await mkdir(path('odd'), { recursive: true })
  await writeFile(join(path('odd'), 'su'), 'x')
  await chmod(join(path('odd'), 'su'), 0o4755)
  const [uid, gid] = [process.getuid?.(), process.getgid?.()]
  await release({ input: path('odd'), keepOwners: true })
  expect(await list('acme/gw')).toMatch(new RegExp(`^-04755 ${uid} ${gid} .* /su$`, 'm'))
  await release({ input: path('odd'), version: '1.1', canonicalPermissions: true })
  expect(await list('acme/gw')).toMatch(/^-00755 0 0 .* \/su$/m)
  const both = release({ input: path('odd'), version: '1.2', keepOwners: true, canonicalPermissions: true })
  await expect(both).rejects.toMatchObject({ code: 'usage' })
})
