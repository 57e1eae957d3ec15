/** A device that is not as it should be: a wrong clock, a full disk, a service that dies. */
import assert from 'node:assert/strict'
import type { Lab } from '../lab.ts'
import { install, installed, offered, order, reboot } from '../operate.ts'
import { makePackage } from '../releases.ts'
import { makeStick } from '../sticks.ts'
import { UPDATED, update } from './rollback.ts'

/** The clock says 1970, as where its battery is empty: signatures and releases are from the future, and yet it updates. */
export async function clock(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  await machine.run('date -s @86400; systemctl restart superblockd')
  await machine.plug('stick', await makeStick(lab.folder, 'stick', { 'acme-2.0.superblock': lab.sample.package }))
  await install(machine, '2.0')
  await installed(machine)
  assert.match(await machine.run('date +%Y'), /^1970/)
  say('2.0 is installed on 2 January 1970')
  // The machine's clock is set anew by the next start, the record of the device is in the order of what was done.
  await reboot(machine)
  assert.equal(await order(machine), '2.0 booted, 1.0 rollback')
  assert.match(await machine.run('superblock history --verify'), /1970-01-02/)
}

const BALLAST = [{ count: 80, size: 2 ** 20 }]

/** A full disk: refused before anything is written, with what is needed; it fits as soon as there is room; and a rollback always does. */
export async function noSpace(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.after(UPDATED, { make: update(lab) })
  const file = await makePackage(lab.sample, { version: '2.3', ballast: BALLAST })
  const stick = await makeStick(lab.folder, 'stick', { 'acme-2.3.superblock': file }, { size: 400 })
  const fill = (leave: string) =>
    machine.run(`fallocate -l $(($(df --output=avail -B1 /var | tail -n 1) - ${leave})) /var/full`)
  await fill('50000000')
  await machine.plug('stick', stick)
  const { offers } = await machine.waitFor(({ offers }) => offers[0]?.verdict.fits === false, 'the refusal')
  const verdict = offers[0]?.verdict
  assert.equal(verdict?.fits === false && verdict.code, 'no-space')
  say('refused for want of space')
  await machine.run('rm /var/full')
  await offered(machine, '2.3')
  say('it fits as soon as there is room')

  await machine.run('head -c 4G /dev/zero >/var/full', { accept: [1] })
  assert.match(await machine.run('df --output=avail /var | tail -n 1'), /^\s*0$/)
  await machine.request('/v1/rollback', { reason: 'the disk is full' })
  await installed(machine)
  assert.equal(await order(machine), '1.0 pending, 2.0 booted')
  say('a rollback works with not a byte left')
}

/** The service is killed in the middle of its work, again and again: systemd starts it anew and it goes on. */
export async function serviceKilled(lab: Lab, say: (line: string) => void): Promise<void> {
  const file = await makePackage(lab.sample, { version: '2.3', ballast: BALLAST })
  const machine = await lab.ready()
  await machine.plug('stick', await makeStick(lab.folder, 'stick', { 'acme-2.3.superblock': file }, { size: 400 }))
  await install(machine, '2.3')
  for (const step of ['stage', 'import', 'deploy']) {
    await machine.waitFor(
      ({ job }) => job?.progress?.step === step && (step !== 'stage' || job.progress.bytesDone > 2 ** 20),
      `the step ${step}`,
    )
    await machine.run('systemctl kill --kill-whom=main --signal=KILL superblockd')
    say(`killed in ${step}`)
  }
  const { job } = await installed(machine)
  assert.equal(job?.to.version, '2.3')
  assert.equal(await order(machine), '2.3 pending, 1.0 booted')
  assert.match(await machine.run('systemctl show -P NRestarts superblockd'), /^3$/)
  await machine.run('ostree fsck --quiet', { seconds: 600 })
}
