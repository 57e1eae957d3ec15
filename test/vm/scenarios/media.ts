/** What is brought, and how: several sticks at once, every file system, packages that arrive without a stick. */
import assert from 'node:assert/strict'
import { KINDS } from '../../kit/mounts.ts'
import type { Lab } from '../lab.ts'
import { install, installed, offered, order } from '../operate.ts'
import { makePackage } from '../releases.ts'
import { makeStick } from '../sticks.ts'

/** Two sticks at once: the newest of all releases is suggested; when its stick goes, what is on the other one stays. */
export async function twoSticks(lab: Lab, say: (line: string) => void): Promise<void> {
  const newest = await makePackage(lab.sample, { version: '2.1' })
  const one = await makeStick(lab.folder, 'one', { 'acme-2.0.superblock': lab.sample.package })
  const both = { 'acme-2.0.superblock': lab.sample.package, 'acme-2.1.superblock': newest }
  const two = await makeStick(lab.folder, 'two', both, { size: 600 })
  const machine = await lab.ready()
  await machine.plug('one', one)
  await machine.plug('two', two)
  const fitting = ({ offers }: { offers: { verdict: { fits: boolean } }[] }) => offers.filter(one => one.verdict.fits)
  const { offers, media } = await machine.waitFor(snapshot => fitting(snapshot).length === 3, 'three packages')
  assert.equal(media.filter(({ kind, state }) => kind === 'stick' && state === 'ready').length, 2)
  assert.deepEqual(
    offers.filter(({ preselected }) => preselected).map(({ release }) => release?.version),
    ['2.1'],
  )
  say('all packages of both sticks are offered')
  await machine.unplug('two')
  await machine.waitFor(snapshot => fitting(snapshot).length === 1, 'the package of the other stick alone')
  assert.equal((await offered(machine, '2.0')).preselected, true)
  await install(machine, '2.0')
  await installed(machine)
  assert.equal(await order(machine), '2.0 pending, 1.0 booted')
}

/** Every kind of stick that people bring, with a partition table and without: what is on it is found and can be installed. */
export async function filesystems(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  const files = { 'acme-2.0.superblock': lab.sample.package }
  for (const kind of KINDS)
    for (const unpartitioned of [false, true]) {
      const name = `${kind}${unpartitioned ? '-unpartitioned' : ''}`
      await machine.plug(name, await makeStick(lab.folder, name, files, { kind, unpartitioned }))
      await install(machine, '2.0')
      // Every byte that is needed has been read and was what was signed.
      const { media } = await machine.waitFor(({ job }) => job?.stick === 'remove', 'the end of reading')
      const stick = media.find(one => one.kind === 'stick')
      assert.equal(stick?.filesystem, kind === 'ntfs' ? 'ntfs3' : kind)
      await installed(machine)
      await machine.request('/v1/cancel')
      await machine.waitFor(({ job }) => job?.state === 'cancelled', 'the end of what was called off')
      await machine.unplug(name)
      await machine.waitFor(({ offers }) => offers.length === 0, 'no stick')
      say(`${name}: read, installed, taken back`)
    }
  assert.equal(await order(machine), '1.0 booted')
}

/** A package that arrives in another way than on a stick is put into the inbox. */
export async function inbox(lab: Lab, say: (line: string) => void): Promise<void> {
  const machine = await lab.ready()
  // It has to come from somewhere; that this is a stick, the device is not told.
  await machine.run('mkdir -p /etc/udev/rules.d; : >/etc/udev/rules.d/90-superblock.rules; udevadm control --reload')
  await machine.plug('carrier', await makeStick(lab.folder, 'carrier', { 'acme-2.0.superblock': lab.sample.package }))
  await machine.run(
    'for i in $(seq 60); do [ -b /dev/sda1 ] && break; sleep 1; done; mkdir -p /run/disk; mount -o ro /dev/sda1 /run/disk',
  )
  assert.deepEqual((await machine.status()).offers, [], 'what somebody else mounts elsewhere is not looked at')
  const name = '/var/lib/superblock/inbox/acme-2.0'
  await machine.run(`cp /run/disk/acme-2.0.superblock ${name}.part && mv ${name}.part ${name}.superblock`)
  await machine.run('umount /run/disk')
  await machine.unplug('carrier')
  const offer = await offered(machine, '2.0')
  assert.equal(offer.path, `${name}.superblock`)
  say('the package in the inbox is offered')
  await machine.request('/v1/install', { id: offer.id })
  const { job } = await installed(machine)
  assert.equal(job?.stick, 'none')
  assert.equal(await order(machine), '2.0 pending, 1.0 booted')
}
