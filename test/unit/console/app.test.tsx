/** The console as a whole on a real control socket: it follows, asks, and comes back by itself. */
import { cleanup, render } from 'ink-testing-library'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { App } from '../../../src/console/app.tsx'
import { glyphsFor } from '../../../src/console/frame.tsx'
import { texts } from '../../../src/console/texts.ts'
import { connect } from '../../../src/control/client.ts'
import { type Control, makeControl } from '../../kit/control.ts'
import { job, offer, snapshot } from '../../kit/snapshots.ts'

let control: Control
beforeEach(async () => {
  control = await makeControl()
})
afterEach(async () => {
  cleanup()
  await control.close()
})

function open() {
  const look = { t: texts('en'), glyphs: glyphsFor({ TERM: 'linux' }), colour: false }
  const shown = render(<App client={connect(control.socket)} look={look} />)
  const sees = (words: RegExp) =>
    vi.waitFor(() => expect(shown.lastFrame()).toMatch(words), { timeout: 5000, interval: 20 })
  /** each key only once the one before it was drawn, as a person does */
  const types = async (...keys: string[]) => {
    for (const key of keys) {
      shown.stdin.write(key)
      await new Promise(resolve => setTimeout(resolve, 60))
    }
  }
  return { sees, types }
}

test('an install by keys: home, confirm, progress, reboot', async () => {
  control.set(snapshot({ offers: [offer()] }))
  control.on('install', () => control.job(job()))
  const { sees, types } = open()
  await sees(/gadget-2\.0\.superblock/)
  await types('\r')
  await sees(/Install this release/)
  expect(control.asked).toEqual([])
  await types('y')
  await sees(/L E A V E {3}T H E {3}S T I C K/)
  expect(control.asked).toEqual([['install', { id: offer().id }]])
  control.job(job({ state: 'reboot', stick: 'remove' }))
  await sees(/Reboot to finish/)
  await types('b', '\u001b[B', '\r')
  await vi.waitFor(() => expect(control.asked.at(-1)).toEqual(['reboot', undefined]))
})

test('keys act on what is shown now, not on what was shown first', async () => {
  const { sees, types } = open()
  await sees(/No update found/)
  control.set(snapshot({ offers: [offer()] }))
  await sees(/gadget-2\.0\.superblock/)
  await types('\r')
  await sees(/Install this release/)
})

test('a rollback by keys, with its reason', async () => {
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('r', '\r', 'it smokedd', '\u007f', '\r')
  await sees(/Reason: it smoked$/m)
  await types('y')
  await vi.waitFor(() => expect(control.asked).toEqual([['rollback', { index: 1, reason: 'it smoked' }]]))
})

test('a refusal stays on the screen until the next key', async () => {
  control.refuse('reboot', new Failure('busy', 'cannot reboot: a job goes on'))
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('b', 'y')
  await sees(/cannot reboot: a job goes on \(busy\)/)
  await types('x')
  await sees(/^(?![\s\S]*cannot reboot)/)
})

test('what a service said is gone when the service is', async () => {
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('b', 'y')
  await sees(/Rebooting\./)
  await control.stop()
  await sees(/does not answer/)
  await control.listen()
  await sees(/^(?=[\s\S]*Rollback to)(?![\s\S]*Rebooting)/)
})

test('Ctrl-C during a job says that the job goes on', async () => {
  control.set(snapshot({ job: job() }))
  const { sees, types } = open()
  await sees(/copying from the stick/)
  await types('\u0003')
  await sees(/The job goes on without this console/)
})

test('a service that stops is said to be away, and its return is shown', async () => {
  const { sees } = open()
  await sees(/Rollback to/)
  await control.stop()
  await sees(/The service does not answer/)
  control.set(snapshot({ job: job() }))
  await control.listen()
  await sees(/copying from the stick/)
})

test('a service of a newer protocol is said to be one', async () => {
  control.set(snapshot({ api: 99 }))
  const { sees } = open()
  await sees(/of another version/)
  await sees(/other-version/)
})
