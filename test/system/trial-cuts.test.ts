/**
 * The table of docs/states.md: the service is killed, or the power cut, between every two actions of arm, deploy, verdict, return
 * and rollback. The moments that last only a blink are made on the disk, where all of the state is.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isThere } from '../../src/base/files.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import type { Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { faults, isOver, journalled } from '../kit/endurance.ts'
import { atRest, ended, offerOf, order, read, stateOf } from '../kit/operate.ts'
import { makeProduct, type Product } from '../kit/releases.ts'
import { makeStick } from '../kit/stick.ts'
import {
  dropAccount,
  dropCount,
  flip,
  forgetHooks,
  HOOKS,
  keepDisk,
  onHook,
  rejournal,
  writeAccount,
  writeCount,
} from '../kit/trials.ts'

/** A hook that goes on until it is forgotten: so does one that a killed service left behind. */
const WAIT = 'while [ -e "/var/on/$SUPERBLOCK_HOOK" ]; do sleep 0.1; done'

let lab: string
let product: Product
let two: PackageResult
let device: Device
/** set the disk to: 1.0 alone; 2.0 installed and not started; 2.0 found good */
const disk: Record<'factory' | 'installed' | 'good', () => Promise<void>> = {} as never

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-cuts-')
  product = await makeProduct(lab)
  device = await product.device('d')
  await product.release('2.0', { files: HOOKS })
  two = await product.package('2.0', { epoch: 3 })
  disk.factory = await keepDisk(device, join(lab, 'disk-factory'))
  await device.boot()
  await atRest(device)
  await install()
  await ended(device)
  await device.powerCut()
  disk.installed = await keepDisk(device, join(lab, 'disk-installed'))
  await device.boot()
  await atRest(device)
  await device.powerCut()
  disk.good = await keepDisk(device, join(lab, 'disk-good'))
})
afterAll(async () => {
  await device?.destroy()
  await rm(lab, { recursive: true, force: true })
})

let sticks = 0
async function install() {
  await device.insert(await makeStick(lab, `S${++sticks}`, [two.file]))
  await offerOf(device, 'acme-2.0.superblock')
  await device.client.install({ id: two.id })
}

const target = () => `${product.commits['2.0']}.0`
const hooked = async (hook: string) =>
  expect.poll(() => read(device, '/var/hooked').catch(() => ''), { timeout: 20_000 }).toContain(hook)

/** The new release's own hook is at work on the old one: nothing is armed yet. */
async function inArm() {
  await disk.factory()
  await device.boot()
  await atRest(device)
  await onHook(device, 'pre-deploy', WAIT)
  await install()
  await hooked('pre-deploy')
}
async function onTrial() {
  await disk.installed()
  await device.boot({ service: false, watch: true })
  await onHook(device, 'post-boot', WAIT)
  await device.service.start()
  await hooked('post-boot')
}
async function inRollback() {
  await disk.good()
  await device.boot()
  await atRest(device)
  await onHook(device, 'pre-rollback', WAIT)
  await device.client.rollback({ reason: 'too loud' })
  await hooked('pre-rollback')
}
async function inRollbackOnTrial() {
  await onTrial()
  await onHook(device, 'pre-rollback', WAIT)
  await device.client.rollback({ reason: 'too loud' })
  await hooked('pre-rollback')
}

const cause = { code: 'unhealthy', text: 'it is bad', facts: { version: '2.0', check: 'x', said: '' } }
const falling = () => rejournal(device, r => Object.assign(r, { state: { ...r.state, at: 'falling-back', cause } }))
const step = (name: string) =>
  rejournal(device, r =>
    Object.assign(r, { state: { at: 'installing', job: (r.state as { job: unknown }).job, step: name } }),
  )
const backTo1 = () => flip(device, product.commits['1.0'] ?? '')

interface Moment {
  between: string
  reach: () => Promise<void>
  /** what the disk is like then, when it is not what was reached */
  make?: () => Promise<unknown>
  /** what is journalled */
  state: string
  ends: 'installed' | 'fell-back' | 'rolled back'
}

const MOMENTS: Moment[] = [
  { between: 'the hooks', reach: inArm, state: 'installing/arm', ends: 'installed' },
  {
    ...{ between: 'the account and the count', reach: inArm, state: 'installing/arm', ends: 'installed' },
    make: () => writeAccount(device, target()),
  },
  {
    ...{ between: 'the count and the deployment', reach: inArm, state: 'installing/deploy', ends: 'installed' },
    make: async () => {
      await writeAccount(device, target())
      await writeCount(device, target(), 3)
      await step('deploy')
    },
  },
  {
    ...{ between: 'the deployment and the journal', reach: onTrial, state: 'installing/deploy', ends: 'installed' },
    make: () => step('deploy'),
  },
  {
    ...{ between: 'the deployment and the end of the installation', reach: onTrial },
    ...{ state: 'installing/settle', ends: 'installed', make: () => step('settle') },
  },
  { between: 'the checks', reach: onTrial, state: 'trying', ends: 'installed' },
  {
    ...{ between: 'the verdict and the end of the count', reach: onTrial, state: 'trying', ends: 'installed' },
    make: () => rejournal(device, r => Object.assign(r.health as object, { verdict: 'good' })),
  },
  {
    ...{ between: 'the end of the count and that of the account', reach: onTrial, state: 'trying', ends: 'installed' },
    make: () => dropCount(device),
  },
  {
    ...{ between: 'the end of the account and the journal', reach: onTrial, state: 'trying', ends: 'installed' },
    make: async () => {
      await dropCount(device)
      await dropAccount(device)
      await rejournal(device, r => Object.assign(r, { epochFloor: 3 }))
    },
  },
  {
    ...{ between: 'the bad verdict and the boot order', reach: onTrial, state: 'falling-back', ends: 'fell-back' },
    make: falling,
  },
  {
    ...{ between: 'the boot order and the end of the count', reach: onTrial, state: 'falling-back', ends: 'fell-back' },
    make: async () => {
      await falling()
      await backTo1()
    },
  },
  {
    ...{ between: 'the end of the count and the journal', reach: onTrial, state: 'falling-back', ends: 'fell-back' },
    make: async () => {
      await falling()
      await backTo1()
      await dropCount(device)
      await dropAccount(device)
    },
  },
  {
    between: 'the request and the boot order of a rollback',
    reach: inRollback,
    state: 'rolling-back',
    ends: 'rolled back',
  },
  {
    ...{ between: 'the boot order and the journal of a rollback', reach: inRollback },
    ...{ state: 'rolling-back', ends: 'rolled back', make: backTo1 },
  },
  {
    ...{ between: 'the request and the boot order of a rollback on trial', reach: inRollbackOnTrial },
    ...{ state: 'rolling-back', ends: 'rolled back' },
  },
  {
    ...{ between: 'the boot order and the end of the count of a rollback on trial', reach: inRollbackOnTrial },
    ...{ state: 'rolling-back', ends: 'rolled back', make: backTo1 },
  },
]

/** Reboot whenever that is waited for, until the job is over. */
async function toTheEnd(): Promise<Snapshot> {
  for (;;) {
    const { job } = await device.waitFor(one => isOver(one) || one.job?.state === 'reboot', 'the end of the job', 60)
    if (job?.state !== 'reboot') return atRest(device)
    // A return is not asked for.
    if (job.phase === 'reboot') await device.client.reboot()
    await device.rebooted()
    await device.boot()
  }
}

const TRIALS = MOMENTS.flatMap(moment => (['kill', 'cut'] as const).map(how => ({ ...moment, how })))
for (const { between, reach, make, state, ends, how } of TRIALS)
  test(`${how} between ${between}: ${ends}`, async () => {
    await reach()
    await device.service.kill('SIGKILL')
    await make?.()
    expect(await journalled(device)).toBe(state)
    if (how === 'cut') await device.powerCut()
    await forgetHooks(device)
    if (how === 'cut') await device.boot()
    else await device.service.start()
    const { job, device: facts } = await toTheEnd()
    const was =
      ends === 'installed'
        ? ['install', 'done']
        : ends === 'fell-back'
          ? ['install', 'fell-back']
          : ['rollback', 'done']
    expect([job?.kind, job?.state], job?.text).toEqual(was)
    expect(await order(device)).toBe(ends === 'installed' ? '2.0 booted, 1.0 rollback' : '1.0 booted, 2.0 rollback')
    if (ends === 'installed') expect(facts.epochFloor).toBe(3)
    expect(await isThere(join(stateOf(device), 'trial.json'))).toBe(false)
    expect(await faults(device)).toEqual([])
  })
