/**
 * New releases that do not work, on a real kernel with a real boot loader: a check that fails, a kernel that panics, a system that
 * hangs; and one that works, but whose verdict three power cuts come before.
 */
import assert from 'node:assert/strict'
import { run } from '../../../src/base/run.ts'
import { SAMPLE } from '../../kit/sample.ts'
import type { Lab, Sample } from '../lab.ts'
import type { Machine } from '../machine.ts'
import { askReboot, install, installed, order } from '../operate.ts'
import { makePackage } from '../releases.ts'
import { makeStick } from '../sticks.ts'

/** Seconds for several starts, one after the other. */
const STARTS = 1500

const CHECK = {
  'usr/lib/superblock/health.d/required.d/90-fieldbus': '#!/bin/sh\necho the fieldbus is silent\nexit 1\n',
}

/** What runs before the service does, outside of what confines it. */
const before = (command: string) => ({
  'usr/lib/systemd/system/superblockd.service.d/lab.conf': `[Service]\nExecStartPre=+/bin/sh -c '${command}'\n`,
})
/** At the first start PID 1 stops, and with it what it tells the watchdog; at the second the kernel panics. */
const HANG = before(
  'sleep 5; [ ! -e /var/hung ] || echo c >/proc/sysrq-trigger; touch /var/hung; sync; ' +
    'echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze; sleep 600',
)
const SLOW = before('while [ -e /var/slow ]; do sleep 0.5; done')

async function brokenInitramfs({ repo }: Sample): Promise<Record<string, string>> {
  const { stdout } = await run(['ostree', 'ls', `--repo=${repo}`, SAMPLE.ref, '/usr/lib/modules'])
  const kernel = /\/usr\/lib\/modules\/(\S+)$/m.exec(stdout)?.[1]
  return { [`usr/lib/modules/${kernel}/initramfs.img`]: 'This is no initramfs.\n' }
}

/** Install a changed release from a stick, which goes again, and ask for the reboot. */
async function begin(lab: Lab, machine: Machine, version: string, files: Record<string, string>): Promise<string> {
  const file = await makePackage(lab.sample, { version, files })
  const name = `stick${version.replace('.', '')}`
  await machine.plug(name, await makeStick(lab.folder, name, { [`acme-${version}.superblock`]: file }))
  await install(machine, version)
  await installed(machine)
  await machine.unplug(name)
  const boot = machine.bootId()
  await askReboot(machine)
  return boot
}

/** 1.0 is back, nobody having asked for it. */
async function fellBack(machine: Machine, version: string, code: string): Promise<string> {
  const { job, deployments } = await machine.waitFor(
    ({ job }) => job !== null && ['fell-back', 'done', 'failed'].includes(job.state) && job.to.version === version,
    'the end of the trial',
    STARTS,
  )
  assert.deepEqual([job?.state, job?.code], ['fell-back', code], job?.text)
  assert.equal(deployments.find(one => one.booted)?.version, '1.0')
  assert.match(await order(machine), new RegExp(`^1\\.0 booted, ${version} rollback`))
  return machine.run('superblock status')
}

export async function failingCheck(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  await begin(lab, machine, '2.5', CHECK)
  say('2.5 is on trial')
  assert.match(await fellBack(machine, '2.5', 'unhealthy'), /90-fieldbus \(the fieldbus is silent\)/)
  await machine.sees(/the fieldbus is silent/)
  assert.match(await machine.run('superblock history --verify'), /fell-back/)
  say('back on 1.0, with the reason')
}

export async function panic(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  await begin(lab, machine, '2.6', await brokenInitramfs(lab.sample))
  say('2.6 has no initramfs that works')
  assert.match(await fellBack(machine, '2.6', 'boot-failed'), /2\.6 did not start/)
  say('back on 1.0')
}

export async function hang(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  await machine.run(
    'mkdir -p /etc/superblock/superblock.d; printf "[trial]\\ntries = 2\\n" >/etc/superblock/superblock.d/90-lab.toml; systemctl restart superblockd',
  )
  await begin(lab, machine, '2.7', HANG)
  say('2.7 hangs at its first start, and panics at its second')
  assert.match(await fellBack(machine, '2.7', 'boot-failed'), /2 by the watchdog/)
  say('back on 1.0, after two resets by the watchdog')
}

export async function trialCuts(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  await machine.run('touch /var/slow')
  let boot = await begin(lab, machine, '2.8', SLOW)
  const noted =
    'until grep -q "$(cat /proc/sys/kernel/random/boot_id)" /var/lib/superblock/trial.json; do sleep 0.2; done; sleep 1'
  for (let cut = 1; cut <= 3; cut++) {
    await machine.rebooted(boot)
    await machine.run(noted)
    boot = machine.bootId()
    await machine.powerCut()
    say(`the power failed before the verdict, ${cut}`)
    await machine.start()
  }
  await machine.rebooted(boot)
  await machine.run('rm /var/slow')
  const { job, health } = await machine.waitFor(
    ({ job }) => job !== null && ['done', 'fell-back', 'failed'].includes(job.state),
    'the verdict',
    STARTS,
  )
  assert.deepEqual([job?.state, job?.to.version, health?.verdict], ['done', '2.8', 'good'], job?.text)
  assert.equal(await order(machine), '2.8 booted, 1.0 rollback')
  assert.equal(await machine.run('cat /var/lib/superblock/trial.json 2>&- || echo none'), 'none')
  assert.match(
    await machine.run('systemctl start boot-complete.target && systemctl is-active superblock-health'),
    /^active/,
  )
  say('2.8 is found good')
}

/** The same two with U-Boot, whose script counts in a file. */
export async function uboot(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.fresh({ firmware: 'uboot' })
  await machine.waitFor(({ health }) => health?.verdict === 'good', 'a healthy device', STARTS)
  assert.match(await machine.run('superblock doctor', { accept: [6] }), /U-Boot counts the starts/)
  say('1.0 runs')
  await begin(lab, machine, '2.5', CHECK)
  assert.match(await fellBack(machine, '2.5', 'unhealthy'), /the fieldbus is silent/)
  say('back from a release whose check fails')
  await begin(lab, machine, '2.6', await brokenInitramfs(lab.sample))
  assert.match(await fellBack(machine, '2.6', 'boot-failed'), /2\.6 did not start/)
  say('back from a release that panics')
}
