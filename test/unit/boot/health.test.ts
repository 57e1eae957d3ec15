import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { run as command } from '../../../src/base/run.ts'
import { checkHealth, type HealthPlan, neverRun } from '../../../src/boot/health.ts'
import { runHooks } from '../../../src/boot/hooks.ts'
import { inOneLine, type Terms } from '../../../src/boot/programs.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'health-'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true, force: true })
})

const which = async (name: string) => (await command(['sh', '-c', 'command -v "$0"', name])).stdout.trim()

async function program(place: string, name: string, script: string, mode = 0o755): Promise<string> {
  const at = join(folder, place)
  await mkdir(at, { recursive: true })
  await writeFile(join(at, name), `#!/bin/sh\n${script}\n`)
  await chmod(join(at, name), mode)
  return at
}
const check = (place: string, name: string, script: string, mode?: number) =>
  program(`${place}/required.d`, name, script, mode).then(() => join(folder, place))

const terms = (more: Partial<Terms> = {}): Terms => ({
  timeout: 10,
  environment: { RELEASE: '2.0' },
  lock: join(folder, 'lock'),
  ...more,
})
const run = (folders: string[], more: Partial<Terms> = {}, plan: Partial<HealthPlan> = {}) =>
  checkHealth({ folders, units: [], writable: [], ...plan }, terms(more), () => {})

it('runs executables in the order of their names and keeps what they said', async () => {
  await check('tree', '20-b', 'echo second $RELEASE')
  await check('tree', 'notes.txt', 'exit 1', 0o644)
  const tree = await check('tree', '10-a', 'echo first')
  expect(await run([tree])).toMatchObject([
    { name: '10-a', ok: true, required: true, output: 'first' },
    { name: '20-b', ok: true, output: 'second 2.0' },
  ])
})
it('one that fails says why, or at least how', async () => {
  await check('tree', '10-a', 'echo the pump does not answer >&2; exit 3')
  const tree = await check('tree', '20-b', 'exit 4')
  expect(await run([tree])).toMatchObject([
    { ok: false, output: 'the pump does not answer' },
    { ok: false, output: 'exit status 4' },
  ])
})
it('wanted ones come after the required ones and are told apart', async () => {
  await program('tree/wanted.d', '05-w', 'exit 1')
  const tree = await check('tree', '10-a', 'true')
  expect(await run([tree])).toMatchObject([
    { name: '10-a', required: true, ok: true },
    { name: '05-w', required: false, ok: false },
  ])
})
it('what is in neither folder is not run, and can be named', async () => {
  await program('tree', '10-lost', 'exit 1')
  const tree = await check('tree', '10-a', 'true')
  expect(await run([tree])).toHaveLength(1)
  expect(await neverRun([tree])).toEqual({ misplaced: [join(tree, '10-lost')], notExecutable: [] })
})
it('what cannot be executed is no check, and is found', async () => {
  const tree = await check('tree', '10-a', 'true')
  await program('tree/wanted.d', 'README', 'exit 1', 0o644)
  expect(await run([tree])).toHaveLength(1)
  expect(await neverRun([tree])).toEqual({ misplaced: [], notExecutable: [join(tree, 'wanted.d/README')] })
})
it('of much that a check says the end is kept, where the reason stands', () => {
  expect(inOneLine('cannot print\nno paper')).toBe('cannot print / no paper')
  const said = inOneLine(`${'looking at the paper\n'.repeat(40)}no paper`)
  expect([said.length, said.at(0)]).toEqual([300, '…'])
  expect(said).toMatch(/ \/ no paper$/)
})
it('one that does not end in time has failed, with all it started', async () => {
  const tree = await check('tree', '10-a', `(sleep 3; touch ${folder}/late) & sleep 1000`)
  const [result] = await run([tree], { timeout: 0.3 })
  expect(result).toMatchObject({ ok: false })
  expect(result?.output).toContain('no answer within 0.3 s')
  await sleep(3200)
  expect(await readdir(folder)).not.toContain('late')
})
it("the device's own check replaces the tree's of the same name", async () => {
  const tree = await check('tree', '10-a', 'exit 1')
  const local = await check('local', '10-a', 'echo local')
  expect(await run([tree, local])).toMatchObject([{ ok: true, output: 'local' }])
})
it('what a check prints cannot steer a terminal', async () => {
  const tree = await check('tree', '10-a', "printf '\\033[2Jhidden'")
  expect((await run([tree]))[0]?.output).toBe('\\u001b[2Jhidden')
})
it('no folder means no checks', async () => expect(await run([join(folder, 'none')])).toEqual([]))

/** The service is root on its device; here whoever runs the tests is, in a user namespace for each mount namespace. */
async function asRootOfOnesOwn(): Promise<void> {
  const bin = await program('bin', 'unshare', `exec ${await which('unshare')} --map-root-user "$@"`)
  vi.stubEnv('PATH', `${bin}:${process.env.PATH}`)
}

it('a place that can be written is good, and nothing stays there; one that cannot is bad', async () => {
  await asRootOfOnesOwn()
  await mkdir(join(folder, 'disk'))
  const places = [
    { name: '/var', folder: join(folder, 'disk') },
    { name: '/gone', folder: join(folder, 'nowhere') },
  ]
  const results = await run([], {}, { writable: places })
  expect(results).toMatchObject([
    { name: 'disk:/var', ok: true, required: true },
    { name: 'disk:/gone', ok: false },
  ])
  expect(results[1]?.output).toMatch(/nowhere/)
  expect(await readdir(join(folder, 'disk'))).toEqual([])
})

it('nobody waits for a check once the signal is given, and no other begins', async () => {
  await check('tree', '20-b', 'true')
  const tree = await check('tree', '10-a', 'sleep 2')
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 100)
  const from = performance.now()
  expect(await run([tree], { signal: stop.signal })).toEqual([])
  expect(performance.now() - from).toBeLessThan(1500)
})

it('hooks run in order up to the first that refuses, and know what for', async () => {
  await program('hooks/pre-deploy.d', '10-a', 'echo $SUPERBLOCK_HOOK $RELEASE')
  await program('hooks/pre-deploy.d', '20-b', 'echo no room for the new tables; exit 1')
  await program('hooks/pre-deploy.d', '30-c', 'true')
  await program('hooks/post-boot.d', '10-d', 'true')
  const { done, failed } = await runHooks(join(folder, 'hooks'), 'pre-deploy', terms())
  expect(done).toMatchObject([
    { name: 'pre-deploy.d/10-a', ok: true, output: 'pre-deploy 2.0' },
    { name: 'pre-deploy.d/20-b', ok: false, output: 'no room for the new tables' },
  ])
  expect(failed).toBe(done[1])
  expect((await runHooks(join(folder, 'hooks'), 'pre-rollback', terms())).done).toEqual([])
})
