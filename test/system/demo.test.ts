/** `npm start`, as people and build servers run it. */

import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { spawn } from '@lydell/node-pty'
import { Terminal } from '@xterm/headless'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run, start } from '../../src/base/run.ts'
import { PROJECT } from '../kit/project.ts'
import { NO_LOCALE } from '../kit/terminal.ts'

const demo = join(PROJECT, 'dist/demo.js')
let temporary: string

beforeEach(async () => {
  temporary = await mkdtemp('/tmp/sb-demo-')
})
afterEach(() => rm(temporary, { recursive: true, force: true }))

/** Nothing of the demo is left: no file, and no process that has its folder in its command line. */
async function nothingLeft() {
  expect(await readdir(temporary)).toEqual([])
  const commands = (await readdir('/proc')).map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))
  expect((await Promise.all(commands)).filter(command => command.includes(temporary))).toEqual([])
}

test('without a terminal every step is shown and checked, and nothing is left behind', async () => {
  const { stdout } = await run([process.execPath, demo], { env: { TMPDIR: temporary }, timeout: 100_000 })
  expect(stdout).toContain('signed by Acme Updates <updates@acme.example>')
  expect(stdout).toContain('The stick may be removed now.')
  expect(stdout).toMatch(/10-gateway: good: acme-gateway 2\.0/)
  const [installed, health, back] = stdout.trimEnd().split('\n').slice(-3)
  expect(installed).toMatch(/^Installed: +2\.0 /)
  expect(health).toMatch(/^Health: +good$/)
  expect(back).toMatch(/^Rolled back to: +1\.0 /)
  await nothingLeft()
})

test('Ctrl-C in the middle ends it with everything removed', async () => {
  const child = start([process.execPath, demo], ['ignore', 'pipe', 'pipe'], { TMPDIR: temporary })
  let said = ''
  child.stdout?.on('data', chunk => {
    said += chunk
    if (said.includes('Installing 2.0')) child.kill('SIGINT')
  })
  expect(await once(child, 'close')).toEqual([130, null])
  expect(said).not.toContain('Health')
  await nothingLeft()
})

test('in a terminal the console opens on the device, installs and restarts it, and leaving it ends the demo', async () => {
  const screen = new Terminal({ cols: 100, rows: 30, allowProposedApi: true })
  const env = { ...process.env, ...NO_LOCALE, TMPDIR: temporary, TERM: 'xterm-256color', LANG: 'C.UTF-8' }
  const terminal = spawn(process.execPath, [demo], { cols: 100, rows: 30, env })
  terminal.onData(data => screen.write(data))
  const exited = new Promise<number>(resolve => terminal.onExit(({ exitCode }) => resolve(exitCode)))
  const shown = () =>
    Array.from({ length: 30 }, (_, i) => screen.buffer.active.getLine(i)?.translateToString(true) ?? '').join('\n')
  const shows = (text: RegExp) => expect.poll(shown, { timeout: 60_000 }).toMatch(text)
  await shows(/Press Enter/)
  terminal.write('\r')
  await shows(/Version 2\.0 can be installed[\s\S]*Running +1\.0/)
  terminal.write('\r')
  await shows(/2\.0 +fits[\s\S]*acme-gateway-2\.0\.superblock[\s\S]*Signed by +Acme Updates/)
  terminal.write('\r')
  await shows(/Install version 2\.0/)
  terminal.write('y')
  await shows(/Ready\. Reboot to finish/)
  terminal.write('b')
  await shows(/Reboot the device now/)
  terminal.write('y')
  await shows(/Version 2\.0 is installed and works/)
  terminal.write('\r')
  await shows(/Running +2\.0[\s\S]*Rollback to +1\.0[\s\S]*Health +good/)
  terminal.write('q')
  expect(await exited).toBe(0)
  await nothingLeft()
})
