/** The server for trying things: ostree pulls from it, and it gives nothing else away. */
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { serve } from '../../../src/builder/serve.ts'
import type { Work } from '../../../src/builder/work.ts'
import { commitTree, makeTree } from '../../kit/sysroot.ts'

let folder: string
let repo: string
let url: string
let commit: string
let served: Promise<unknown>
const stop = new AbortController()
const notes: string[] = []
const work: Work = { signal: stop.signal, progress: (_, task) => task(() => {}), note: text => notes.push(text) }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'serve-'))
  repo = join(folder, 'repo')
  commit = await commitTree(repo, await makeTree(join(folder, 'tree'), { version: '1.0' }), { ref: 'acme/gw' })
  await writeFile(join(folder, 'secret'), 'secret')
  await symlink('../../secret', join(repo, 'objects/link'))
  const addressFile = join(folder, 'httpd/httpd-address')
  served = serve({ ostreeRepo: repo, host: '127.0.0.1', port: 0, addressFile }, work)
  while (notes.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  url = (await readFile(addressFile, 'utf8')).trim()
})
afterAll(async () => {
  stop.abort()
  await served
  await rm(folder, { recursive: true, force: true })
})

test('it ends when its address cannot be written', async () => {
  const options = { ostreeRepo: repo, host: '127.0.0.1', port: 0, addressFile: join(folder, 'a/b/address') }
  await expect(serve(options, work)).rejects.toMatchObject({ code: 'no-folder' })
})

test('ostree pulls a release from it', async () => {
  const device = join(folder, 'device')
  await run(['ostree', 'init', `--repo=${device}`, '--mode=bare-user-only'])
  await run(['ostree', 'remote', 'add', '--no-gpg-verify', `--repo=${device}`, 'desk', url])
  await run(['ostree', 'pull', `--repo=${device}`, 'desk', 'acme/gw'])
  expect((await run(['ostree', 'rev-parse', `--repo=${device}`, 'desk:acme/gw'])).stdout.trim()).toBe(commit)
})

test('it listens on this computer alone, and says what it is not for', () => {
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  expect(notes.join()).toContain('not for production')
})

/** As the bytes are: fetch() would tidy the path. */
const ask = (request: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let said = ''
    socket.on('data', chunk => {
      said += chunk.toString('latin1')
    })
    socket.on('end', () => resolve(said))
    socket.on('error', reject)
    socket.write(`${request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  })

test.each([
  ['GET /../secret', 404],
  ['GET /objects/../../secret', 404],
  ['GET /objects/%2e%2e/%2e%2e/secret', 404],
  ['GET /objects/link', 404],
  ['GET /objects', 404],
  ['GET /objects/', 404],
  ['GET /objects/00', 404],
  ['GET /', 404],
  ['GET /tmp', 404],
  ['GET /.lock', 404],
  ['GET /%', 400],
  ['POST /config', 405],
  ['GET //config', 200],
  ['GET /config', 200],
])('%s is answered with %i', async (request, status) => {
  const answer = await ask(request)
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  expect(answer).not.toContain('secret')
})

test('HEAD tells the length and nothing more', async () => {
  const { length } = await readFile(join(repo, 'config'))
  expect(await ask('HEAD /config')).toMatch(new RegExp(`content-length: ${length}\r\n(.*\r\n)*\r\n$`, 'i'))
})

test('a port that is taken, and a folder that is no repository, are refused', async () => {
  const port = Number(new URL(url).port)
  const refused = serve({ ostreeRepo: repo, host: '127.0.0.1', port }, work)
  await expect(refused).rejects.toMatchObject({ code: 'cannot-listen' })
  const wrong = serve({ ostreeRepo: folder, host: '127.0.0.1', port: 0 }, work)
  await expect(wrong).rejects.toMatchObject({ code: 'wrong-repo' })
})
