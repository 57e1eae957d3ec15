/** The console as a whole on a real control socket: it follows, asks, and comes back by itself. */
import { cleanup, render } from 'ink-testing-library'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { App } from '../../../src/console/app.tsx'
import { glyphsFor } from '../../../src/console/glyphs.ts'
import { english } from '../../../src/console/texts.ts'
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
  const look = { t: english, glyphs: glyphsFor({ TERM: 'linux' }), colour: false, kiosk: false }
  const shown = render(<App client={connect(control.socket)} look={look} onRedraw={() => {}} />)
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
  await sees(/Version 2\.0 can be installed/)
  await types('\r')
  await sees(/Signed by +Gadget Releases/)
  await types('\r')
  await sees(/Install version 2\.0 in place of 1\.0\?/)
  expect(control.asked).toEqual([])
  await types('y')
  await sees(/L E A V E {3}T H E {3}S T I C K/)
  expect(control.asked).toEqual([['install', { id: offer().id, path: offer().path }]])
  control.job(job({ state: 'reboot', stick: 'remove' }))
  await sees(/Reboot to finish/)
  await types('b', '\u001b[B', '\r')
  await vi.waitFor(() => expect(control.asked.at(-1)).toEqual(['reboot', undefined]))
})

test('keys act on what is shown now, not on what was shown first', async () => {
  const { sees, types } = open()
  await sees(/Insert a stick/)
  control.set(snapshot({ offers: [offer()] }))
  await sees(/can be installed/)
  await types('\r')
  await sees(/gadget-2\.0\.superblock/)
})

test('a rollback by keys, with its reason', async () => {
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('r', '\r', 'it smokedd', '\u007f', '\r')
  await sees(/Reason: it smoked *$/m)
  await types('y')
  await vi.waitFor(() => expect(control.asked).toEqual([['rollback', { index: 1, reason: 'it smoked' }]]))
})

test('a refusal stays on the screen until the next key', async () => {
  control.refuse('reboot', new Failure('busy', 'cannot reboot: a job goes on'))
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('b', 'y')
  await sees(/Another job is not over yet\. \(busy\)/)
  await types('x')
  await sees(/^(?![\s\S]*Another job)/)
})

test('a service that is gone after a reboot was asked for is no trouble, and once back that is over', async () => {
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('b', 'y')
  await sees(/The device reboots\./)
  await control.stop()
  await sees(/The device is rebooting[\s\S]*Leave the power on/)
  await control.listen()
  await sees(/^(?=[\s\S]*Rollback to)(?![\s\S]*The device reboots)/)
  await control.stop()
  await sees(/does not answer/)
})

test('so it is after a countdown', async () => {
  control.set(snapshot({ job: job({ state: 'reboot', rebootIn: 1 }) }))
  const { sees } = open()
  await sees(/reboots by itself in 1 s/)
  await control.stop()
  await sees(/The device is rebooting/)
})

test('what a service said is gone when the service is', async () => {
  control.refuse('reboot', new Failure('busy', 'cannot reboot: a job goes on'))
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('b', 'y')
  await sees(/Another job is not over/)
  await control.stop()
  await sees(/does not answer/)
  await control.listen()
  await sees(/^(?=[\s\S]*Rollback to)(?![\s\S]*Another job)/)
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
  await sees(/The update service does not answer/)
  control.set(snapshot({ job: job() }))
  await control.listen()
  await sees(/copying from the stick/)
})

test('the history is fetched when it is opened, each time anew', async () => {
  const { sees, types } = open()
  await sees(/Rollback to/)
  await types('h')
  await sees(/Nothing has been done to this device yet/)
  control.entries = [
    { at: '2026-03-02T10:00:00Z', event: 'rollback', version: '0.9', from: '1.0', reason: 'x', prev: '' },
  ]
  control.chain = { ok: true, lines: 1 }
  await types('\u001b', 'h')
  await sees(/return to 0\.9 \(from 1\.0\)[\s\S]*The record is whole: 1 entries/)
  await types('l')
  await sees(/Nothing has happened since/)
  control.set(snapshot({ job: job({ state: 'failed', code: 'flux', text: 'Low flux.' }) }))
  await sees(/Low flux/)
  await types('\u001b', 'h', 'l')
  await sees(/Low flux\. \(flux\)/)
})

test('who saw the job sees its good end; who waits for a service is told what of the stick', async () => {
  control.set(snapshot({ job: job() }))
  const { sees, types } = open()
  await sees(/copying from the stick/)
  await control.stop()
  await sees(/leave the stick where it is/)
  control.set(snapshot({ job: job({ state: 'done', stick: 'remove' }) }))
  await control.listen()
  await sees(/R E M O V E D[\s\S]*Version 2\.0 is installed and works/)
  await types('\r')
  await sees(/Insert a stick/)
})

test('a service of a newer protocol is said to be one', async () => {
  control.set(snapshot({ api: 99 }))
  const { sees } = open()
  await sees(/of another version/)
  await sees(/5 0 6 \(other-version\)/)
})
