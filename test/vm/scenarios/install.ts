/** The main job, as a technician does it: a stick, a few keys, a reboot; and what has become of the device's own files. */
import assert from 'node:assert/strict'
import type { Lab } from '../lab.ts'
import { makeStick } from '../sticks.ts'
import { UPDATED } from './rollback.ts'

export async function install(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  say('the device runs 1.0 and waits for a stick')
  await machine.run(
    "printf 'site=harbour-7\\ninterval=15\\n' >/etc/acme/gateway.conf; mkdir -p /var/lib/acme; echo 42 >/var/lib/acme/measured",
  )
  await machine.plug('stick', await makeStick(lab.folder, 'stick', { 'acme-2.0.superblock': lab.sample.package }))
  await machine.sees(/Version 2\.0 can be installed/)
  await lab.picture(machine, 'found')
  say('the console offers 2.0')

  await machine.press('ret')
  await machine.sees(/fits, newest/)
  await machine.press('ret')
  await machine.sees(/Install version 2\.0 in place of 1\.0\?/)
  await machine.press('y')
  await machine.sees(/L E A V E {3}T H E {3}S T I C K/)
  await lab.picture(machine, 'progress')
  const { job } = await machine.waitFor(({ job }) => job?.stick === 'remove', 'the end of reading')
  assert.equal(job?.state, 'running', 'that the stick may go is said before the device is done with the rest')
  await machine.sees(/M A Y {3}B E {3}R E M O V E D/)
  await machine.unplug('stick')
  say('the stick is out again')
  await machine.sees(/Ready\. Reboot to finish/)
  await lab.picture(machine, 'ready')
  say('2.0 is installed')
  assert.match(await machine.run('ostree admin status'), /acme .*\(pending\)\n.*Version: 2\.0/)

  const before = machine.bootId()
  await machine.press('ret')
  await machine.sees(/Reboot/)
  await machine.press('y')
  await machine.rebooted(before)
  say('it reboots')
  const { deployments, health } = await machine.waitFor(({ job }) => job?.state === 'done', 'the good end')
  say('2.0 runs and is found good')
  assert.deepEqual(
    deployments.map(({ version, booted, rollback }) => ({ version, booted, rollback })),
    [
      { version: '2.0', booted: true, rollback: false },
      { version: '1.0', booted: false, rollback: true },
    ],
  )
  assert.ok(
    health?.checks.some(({ name }) => name === '10-gateway'),
    'the check that the product brings has run',
  )
  assert.ok(health?.checks.every(({ ok }) => ok))
  assert.equal(
    await machine.run('cat /etc/acme/gateway.conf'),
    'site=harbour-7\ninterval=15',
    "the site's setting is kept",
  )
  assert.match(await machine.run('cat /etc/acme/upstream.conf'), /./, 'the setting that 2.0 brings is there')
  assert.equal(await machine.run('cat /var/lib/acme/measured'), '42', 'data is kept')
  assert.match(await machine.run('acme-gateway'), /acme-gateway 2\.0/)
  // A console that was up while the checks ran shows how they ended.
  await machine.sees(/Nothing more needs to be done|Insert a stick/)
  await lab.picture(machine, 'done')
  await machine.press('esc')
  await machine.sees(/Insert a stick/)
  await lab.keep(UPDATED, '', machine)
}
