/** Back to the release before, from the console: the reason is asked for and kept, /etc is the old one's, data stays. */
import assert from 'node:assert/strict'
import type { Lab } from '../lab.ts'
import type { Machine } from '../machine.ts'
import { install, installed, order, reboot } from '../operate.ts'
import { makeStick } from '../sticks.ts'

/** Name under which a machine is kept that 2.0 was installed on. */
export const UPDATED = 'updated'

/** 2.0 on a machine with 1.0, without looking at the console. */
export const update = (lab: Lab) => async (machine: Machine) => {
  await machine.plug('stick', await makeStick(lab.folder, 'stick', { 'acme-2.0.superblock': lab.sample.package }))
  await install(machine, '2.0')
  await installed(machine)
  await machine.unplug('stick')
  await reboot(machine)
  await machine.sees(/Nothing more needs to be done|Insert a stick/)
  await machine.press('esc')
  await machine.sees(/Insert a stick/)
}

export async function rollback(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.after(UPDATED, { make: update(lab) })
  assert.equal(await order(machine), '2.0 booted, 1.0 rollback')
  say('the device runs 2.0')
  await machine.run('echo 43 >/var/lib/acme/measured; echo site=quay-9 >/etc/acme/gateway.conf')

  await machine.press('r')
  await machine.sees(/Which release should the device return to\?/)
  await lab.picture(machine, 'rollback')
  await machine.press('ret')
  await machine.sees(/Reason:/)
  await machine.press(...'night shift', 'ret')
  await machine.sees(/Return from version 2\.0 to 1\.0\?/)
  await machine.press('y')
  await machine.sees(/Press Enter to reboot now/)
  assert.equal(await order(machine), '1.0 pending, 2.0 booted')
  say('1.0 is due')

  const before = machine.bootId()
  await machine.press('ret')
  await machine.sees(/Reboot/)
  await machine.press('y')
  await machine.rebooted(before)
  const { job, deployments } = await machine.waitFor(({ job }) => job?.state === 'done', 'the end of the rollback')
  say('1.0 runs')
  assert.equal(job?.kind, 'rollback')
  assert.equal(await order(machine), '1.0 booted, 2.0 rollback')
  const left = deployments.find(({ version }) => version === '2.0')
  assert.match(left?.leftBecause ?? '', /night shift/, 'the reason is kept')
  assert.match(await machine.run('acme-gateway'), /acme-gateway 1\.0/)
  assert.doesNotMatch(await machine.run('cat /etc/acme/gateway.conf'), /quay-9/, "/etc is the old release's own")
  assert.equal(await machine.run('cat /var/lib/acme/measured'), '43', 'data is kept')
  await machine.sees(/Nothing more needs to be done|Insert a stick/)
}
