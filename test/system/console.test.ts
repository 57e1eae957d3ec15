/** The console on a real pseudo terminal against the real control socket: driven by keys, interrupted, hung up, resized. */
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { start } from '../../src/base/run.ts'
import { type Control, makeControl } from '../kit/control.ts'
import { PROJECT } from '../kit/project.ts'
import { job, medium, offer, progress, refusedOffer, snapshot } from '../kit/snapshots.ts'
import { KEYS, openTerminal, type Screen } from '../kit/terminal.ts'

const PROGRAM = [process.execPath, join(PROJECT, 'dist/superblock.js')]
const HOME = snapshot({ media: [medium()], offers: [offer(), refusedOffer()] })

let control: Control
let screen: Screen | undefined
beforeEach(async () => {
  control = await makeControl()
})
afterEach(async () => {
  screen?.kill('SIGKILL')
  await screen?.ended
  screen = undefined
  await control.close()
})

function open({ kiosk, ...options }: Parameters<typeof openTerminal>[1] & { kiosk?: boolean } = {}): Screen {
  const program = [...PROGRAM, '--socket', control.socket, 'console', ...(kiosk ? ['--kiosk'] : [])]
  screen = openTerminal(program, options)
  return screen
}

/** The terminal as it should be found again. */
async function isRestored(from: Screen): Promise<void> {
  await from.ended
  await sleep(50)
  expect(from.isAlternate()).toBe(false)
  expect(from.isCursorHidden()).toBe(false)
  expect(from.text()).not.toContain('Rollback to')
}

test('an update and a rollback by keys, through a restart of the service', async () => {
  control.set(HOME)
  control.on('install', () => control.job(job()))
  const { sees, press, ended } = open()
  await sees(/Version 2\.0 can be installed[\s\S]*Enter look/)
  expect(screen?.isAlternate()).toBe(true)
  await press(KEYS.enter, KEYS.down)
  await sees(/→ +- +unknown signer[\s\S]*a key that is not trusted here/)
  await press(KEYS.up, KEYS.enter)
  await sees(/Install version 2\.0[\s\S]*→ +No, go back/)
  await press(KEYS.down, KEYS.enter)
  await sees(/L E A V E[\s\S]*copying from the stick[\s\S]*25 %/)
  expect(control.asked).toEqual([['install', { id: offer().id, path: offer().path }]])

  await press(KEYS.ctrlC)
  await sees(/The job goes on without this console/)
  await press(KEYS.ctrlZ, 'x')
  control.job(
    job({ stick: 'remove', progress: progress({ step: 'deploy', at: 5, bytesTotal: 0 }), cancellable: false }),
  )
  await sees(/R E M O V E D {3}N O W/)

  await control.stop()
  await sees(/The update service does not answer/)
  control.set(snapshot({ job: job({ state: 'reboot', stick: 'remove', text: 'Version 2.0 starts next.' }) }))
  await control.listen()
  await sees(/Ready\. Reboot to finish/)
  await press('b', 'y')
  await sees(/The device reboots\./)
  expect(control.asked.at(-1)).toEqual(['reboot', undefined])

  control.set(snapshot())
  await sees(/Rollback to +0\.9/)
  await press('r', KEYS.enter, 'it smoked', KEYS.enter)
  await sees(/Return from version 1\.0 to 0\.9\?[\s\S]*Reason: it smoked$/m)
  await press('y')
  expect(control.asked.at(-1)).toEqual(['rollback', { index: 1, reason: 'it smoked' }])

  await press('q')
  expect(await ended).toBe(0)
  await isRestored(screen as Screen)
})

test('Esc goes back from everywhere without asking for anything', async () => {
  control.set(HOME)
  const { sees, press } = open()
  await sees(/can be installed/)
  for (const keys of [[KEYS.enter], [KEYS.enter, KEYS.enter], ['r'], ['r', KEYS.enter], ['b'], ['h'], ['h', 'l']]) {
    await press(...keys, KEYS.esc, KEYS.esc, KEYS.esc)
    await sees(/can be installed[\s\S]*q quit/)
  }
  expect(control.asked).toEqual([])
})

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
])('%s gives the terminal back', async (signal, status) => {
  const { sees, kill, ended } = open()
  await sees(/Rollback to/)
  kill(signal)
  expect(await ended).toBe(status)
  await isRestored(screen as Screen)
})

test('Ctrl-C where nothing goes on leaves', async () => {
  const { sees, press, ended } = open()
  await sees(/Rollback to/)
  await press(KEYS.ctrlC)
  expect(await ended).toBe(0)
  await isRestored(screen as Screen)
})

test('a snapshot that breaks the console gives the terminal back, with a sentence and exit status 1', async () => {
  const { sees, ended } = open()
  await sees(/Rollback to/)
  control.set({ ...snapshot(), media: null as never })
  expect(await ended).toBe(1)
  await isRestored(screen as Screen)
  expect(screen?.text()).toMatch(/superblock: cannot /)
})

test('it starts before the service does, and finds it by itself', async () => {
  await control.stop()
  const { sees } = open()
  await sees(/does not answer[\s\S]*5 0 1 \(service-down\)/)
  await control.listen()
  await sees(/Rollback to/)
})

test('what something else wrote over the screen is gone after Ctrl-L', async () => {
  control.set(HOME)
  const { sees, press, scribble, text } = open()
  await sees(/can be installed/)
  scribble('\u001b[3;1Husb 1-1: new high-speed USB device\r\n')
  await sees(/usb 1-1/)
  await press('\u000c')
  await sees(/^ Version 2\.0 can be installed/m)
  expect(text()).not.toContain('usb 1-1')
})

test("the device's own console is not left, and mends by itself what the kernel wrote over it when a stick came", async () => {
  const { sees, press, scribble } = open({ kiosk: true })
  await sees(/Insert a stick/)
  await press('q', KEYS.ctrlC, KEYS.ctrlZ)
  // on a line that stays the same
  scribble('\u001b[5;1H\u001b[2Kusb 1-1: new high-speed USB device\r\n')
  await sees(/usb 1-1/)
  control.set(HOME)
  await sees(/^ Version 2\.0 can be installed[\s\S]*STICK \(vfat\): ready/m)
  await sees(/^(?![\s\S]*usb 1-1)[\s\S]*Running +1\.0/)
})

test('another size is used at once', async () => {
  control.set(HOME)
  const { sees, resize, text } = open()
  await sees(/can be installed/)
  resize(50, 14)
  await sees(/^─{50}$/m)
  resize(132, 43)
  await sees(/^─{132}$/m)
  expect(
    text()
      .split('\n')
      .findIndex(line => line.includes('q quit')),
  ).toBe(41)
})

test('a VT100 gets ASCII and no colour', async () => {
  control.set(snapshot({ ...HOME, job: job() }))
  const { sees, text } = open({ env: { TERM: 'vt100', LANG: 'C' } })
  await sees(/L E A V E/)
  expect(text()).toMatch(/^[\n -~]*$/)
})

test('a running job costs few bytes, and a quiet one next to none', async () => {
  control.set(snapshot({ job: job() }))
  const { sees, written } = open()
  await sees(/25 %/)
  const before = written()
  for (let i = 1; i <= 30; i++) {
    control.job(job({ progress: progress({ bytesDone: 1_000_000 + i * 30_000, heartbeat: String(i) }) }))
    await sleep(100)
  }
  expect(written() - before).toBeGreaterThan(0)
  expect((written() - before) / 30).toBeLessThan(300)
  await sleep(300)
  const quiet = written()
  await sleep(2000)
  expect(written() - quiet).toBeLessThan(400)
})

test('without a terminal it prints plain lines, from one service to the next', async () => {
  const child = start([...PROGRAM, '--socket', control.socket, 'console'], ['ignore', 'pipe', 'inherit'])
  let text = ''
  child.stdout?.on('data', chunk => {
    text += chunk
  })
  const says = (words: string) => vi.waitFor(() => expect(text).toContain(words), { timeout: 10_000, interval: 30 })
  try {
    control.job(job())
    await says('Leave the stick in.\n')
    await control.stop()
    await says('(service-')
    control.job(job({ state: 'done', stick: 'remove', text: 'Version 2.0 works.' }))
    await control.listen()
    await says('Version 2.0 is installed and works.\n')
  } finally {
    child.kill('SIGTERM')
  }
  expect(await once(child, 'exit')).toEqual([143, null])
  expect(text).not.toContain('\u001b')
})
