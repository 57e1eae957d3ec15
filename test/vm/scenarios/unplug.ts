/** The stick is pulled while it is read; another one with the same package lets the installation go on where it was. */
import assert from 'node:assert/strict'
import type { Lab } from '../lab.ts'
import { install, installed, order } from '../operate.ts'
import { makePackage } from '../releases.ts'
import { makeStick } from '../sticks.ts'

/** So much that it can be pulled in the middle. */
const BALLAST = [{ count: 60, size: 2 ** 20 }]

export async function unplug(lab: Lab, say: (line: string) => void): Promise<void> {
  const file = await makePackage(lab.sample, { version: '2.2', ballast: BALLAST })
  const first = await makeStick(lab.folder, 'first', { 'acme-2.2.superblock': file }, { size: 400 })
  const second = await makeStick(lab.folder, 'second', { 'copies/of the same.superblock': file }, { size: 400 })
  const machine = await lab.ready()
  await machine.plug('first', first)
  await install(machine, '2.2')
  const { job } = await machine.waitFor(
    ({ job }) => job?.progress?.step === 'stage' && job.progress.bytesDone > 2 ** 20,
    'the middle of reading',
  )
  assert.equal(job?.stick, 'keep')
  await machine.unplug('first')
  say('the stick was pulled while it was read')
  const paused = await machine.waitFor(({ job }) => job?.state === 'paused', 'the pause')
  assert.equal(paused.job?.code, 'media-gone')
  await machine.sees(/P U T {3}T H E {3}S T I C K {3}B A C K/)
  await lab.picture(machine, 'paused')
  assert.equal(await order(machine), '1.0 booted')

  await machine.plug('second', second)
  const { job: done, offers } = await installed(machine)
  say('another stick with the same package let it go on')
  assert.equal(done?.to.version, '2.2')
  assert.equal(offers[0]?.file, 'of the same.superblock')
  const payload = 60 * 2 ** 20
  const read = done?.counters.bytesRead ?? 0
  assert.ok(read > payload && read < 2 * payload, `little was read twice (${read} bytes in all)`)
  assert.equal(await order(machine), '2.2 pending, 1.0 booted')
}
