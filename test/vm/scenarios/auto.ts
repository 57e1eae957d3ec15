/** A device without anybody at it: the stick goes in, and the newest release that fits is installed, started and found good. */
import assert from 'node:assert/strict'
import type { Lab } from '../lab.ts'
import { order } from '../operate.ts'
import { makeStick } from '../sticks.ts'

const CONFIG = '[install]\npolicy = "auto"\n[reboot]\npolicy = "auto"\ndelay = 2\n'

export async function auto(lab: Lab, say: (line: string) => void): Promise<void> {
  const stick = await makeStick(lab.folder, 'stick', { 'acme-2.0.superblock': lab.sample.package })
  const machine = await lab.ready()
  await machine.run(
    `mkdir -p /etc/superblock/superblock.d; printf '${CONFIG}' >/etc/superblock/superblock.d/50-site.toml`,
  )
  await machine.run('systemctl disable --now superblock-console; systemctl restart superblockd')
  const before = machine.bootId()
  await machine.plug('stick', stick)
  await machine.rebooted(before)
  say('it rebooted by itself')
  // The stick was left in: what runs already is not installed again.
  const { offers, job } = await machine.waitFor(
    ({ job, offers }) => job?.state === 'done' && offers.length > 0,
    'the good end',
  )
  assert.equal(job?.to.version, '2.0')
  assert.deepEqual(offers[0]?.verdict, {
    fits: false,
    code: 'already-installed',
    why: offers[0]?.verdict.fits === false ? offers[0].verdict.why : '',
    facts: { version: '2.0', starts: 'now' },
  })
  assert.equal(await order(machine), '2.0 booted, 1.0 rollback')
  assert.equal(await machine.run('cat /etc/superblock/superblock.d/50-site.toml'), CONFIG.trimEnd())
}
