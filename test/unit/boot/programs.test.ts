/** Checks and hooks are other people's programs: how they end, what they leave behind and how much they say. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listPrograms, runProgram } from '../../../src/boot/programs.ts'

let lab: string
beforeAll(async () => {
  lab = await mkdtemp(join(tmpdir(), 'sb-programs-'))
})
afterAll(() => rm(lab, { recursive: true }))

async function check(script: string, timeout = 3) {
  const path = join(lab, 'program')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return runProgram('program', path, true, { timeout, environment: {}, lock: join(lab, 'lock') })
}

test.each([124, 137])('one that ends with %i was not late for that', async status => {
  expect(await check(`echo a tool was; exit ${status}`)).toMatchObject({ ok: false, output: 'a tool was' })
})

test('one that is late is ended, and that it was is all it said where it said nothing', async () => {
  expect(await check('sleep 20', 1)).toMatchObject({ ok: false, output: 'no answer within 1 s' })
  expect((await check('echo waiting for the press; sleep 20', 1)).output).toBe(
    'waiting for the press\nno answer within 1 s',
  )
})

test('what it leaves running is not waited for', async () => {
  expect(await check('sleep 60 & echo fine')).toMatchObject({ ok: true, output: 'fine' })
})

test('one that says much is judged by how it ends', async () => {
  const much = "head -c 30000000 /dev/zero | tr '\\\\0' 'a'; echo; yes 'moving a row' | head -n 2000000"
  expect(await check(`${much}; echo all moved`, 30)).toMatchObject({
    ok: true,
    output: expect.stringMatching(/all moved$/),
  })
})

test('a file is a program by its mode', async () => {
  await writeFile(join(lab, 'readme'), '')
  await check('exit 0')
  expect((await listPrograms([lab])).map(({ name }) => name)).toEqual(['program'])
})
