import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkHealth } from '../../../src/boot/health.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'health-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function check(place: string, name: string, script: string, mode = 0o755): Promise<string> {
  const at = join(folder, place)
  await mkdir(at, { recursive: true })
  await writeFile(join(at, name), `#!/bin/sh\n${script}\n`)
  await chmod(join(at, name), mode)
  return at
}
const run = (folders: string[], timeout = 10) => checkHealth(folders, timeout, { RELEASE: '2.0' }, () => {})

it('runs executables in the order of their names and keeps what they said', async () => {
  await check('tree', '20-b', 'echo second $RELEASE')
  await check('tree', 'notes.txt', 'exit 1', 0o644)
  const tree = await check('tree', '10-a', 'echo first')
  expect(await run([tree])).toMatchObject([
    { name: '10-a', ok: true, output: 'first' },
    { name: '20-b', ok: true, output: 'second 2.0' },
  ])
})
it('one that fails says why', async () => {
  const tree = await check('tree', '10-a', 'echo the pump does not answer >&2; exit 3')
  const [result] = await run([tree])
  expect(result).toMatchObject({ ok: false })
  expect(result?.output).toContain('the pump does not answer')
})
it('one that does not end in time has failed, with all it started', async () => {
  const tree = await check('tree', '10-a', 'sleep 1000 & sleep 1000')
  const [result] = await run([tree], 0.3)
  expect(result).toMatchObject({ ok: false })
  expect(result?.output).toContain('no answer within')
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
