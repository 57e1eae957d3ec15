/**
 * The table of docs/states.md: the service is killed, or the power cut, between every two actions of arm, deploy, verdict, return
 * and rollback. The moments that last only a blink are made on the disk, where all of the state is.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isThere } from '../../src/base/files.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import type { Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { faults, isOver, journalled } from '../kit/endurance.ts'
import { atRest, ended, offerOf, order, read, stateOf } from '../kit/operate.ts'
import { PROJECT } from '../kit/project.ts'
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
  remember,
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

const health = (verdict: string) => rejournal(device, r => Object.assign(r.health as object, { verdict }))
const judged = async () => {
  await dropCount(device)
  await dropAccount(device)
  await rejournal(device, r => Object.assign(r, { epochFloor: 3 }))
}
const left = async () => {
  await falling()
  await rejournal(device, r => Object.assign(r, { left: { [product.commits['2.0'] ?? '']: cause.text } }))
  await remember(device, 'fell-back', { version: '2.0', to: '1.0', ...cause })
}
const returned = async () => {
  await backTo1()
  await remember(device, 'rollback', { version: '1.0', from: '2.0', reason: 'too loud' })
}

const ARM = { reach: inArm, ends: 'installed' } as const
const TRIAL = { reach: onTrial, ends: 'installed' } as const
const LEFT = { reach: onTrial, state: 'falling-back', ends: 'fell-back' } as const
const BACK = { reach: inRollback, state: 'rolling-back', ends: 'rolled back' } as const

/** In the order of what the service does, named as in docs/states.md. */
const MOMENTS: Moment[] = [
  { ...ARM, between: 'the start of the hooks and their end', state: 'installing/arm' },
  {
    ...{ ...ARM, between: 'the account and the count', state: 'installing/arm' },
    make: () => writeAccount(device, target()),
  },
  {
    ...{ ...ARM, between: 'the count and the journal', state: 'installing/arm' },
    make: async () => {
      await writeAccount(device, target())
      await writeCount(device, target(), 3)
    },
  },
  {
    ...{ ...ARM, between: 'the journal and the deployment', state: 'installing/deploy' },
    make: async () => {
      await writeAccount(device, target())
      await writeCount(device, target(), 3)
      await step('deploy')
    },
  },
  {
    ...{ ...TRIAL, between: 'the deployment and the journal', state: 'installing/deploy' },
    make: () => step('deploy'),
  },
  {
    ...{ ...TRIAL, between: 'settling and the end of the installation', state: 'installing/settle' },
    make: () => step('settle'),
  },
  {
    ...{ ...TRIAL, between: 'the early account of a start and the count', state: 'trying' },
    make: () => writeCount(device, target(), 1),
  },
  { ...TRIAL, between: 'the start of the checks and their end', state: 'trying' },
  { ...TRIAL, between: 'the verdict and the end of the count', state: 'trying', make: () => health('good') },
  { ...TRIAL, between: 'the end of the count and that of the account', state: 'trying', make: () => dropCount(device) },
  { ...TRIAL, between: 'the end of the account and the history', state: 'trying', make: judged },
  {
    ...{ ...TRIAL, between: 'the history and the journal of a verdict', state: 'trying' },
    make: async () => {
      await judged()
      await remember(device, 'good', { version: '2.0' })
    },
  },
  { ...LEFT, between: 'a bad verdict and the history', make: falling },
  { ...LEFT, between: 'the history and the boot order of a return', make: left },
  {
    ...{ ...LEFT, between: 'the boot order and the end of the count' },
    make: async () => {
      await left()
      await backTo1()
    },
  },
  {
    ...{ ...LEFT, between: 'the end of the count and the journal of a return' },
    make: async () => {
      await left()
      await backTo1()
      await dropCount(device)
      await dropAccount(device)
    },
  },
  { ...BACK, between: 'the request and the boot order of a rollback' },
  { ...BACK, between: 'the boot order and the history of a rollback', make: backTo1 },
  { ...BACK, between: 'the history and the journal of a rollback', make: returned },
  { ...BACK, between: 'the request and the boot order of a rollback on trial', reach: inRollbackOnTrial },
  { ...BACK, between: 'the boot order and the end of the count on trial', reach: inRollbackOnTrial, make: backTo1 },
  {
    ...{ ...BACK, between: 'the end of the count and the journal on trial', reach: inRollbackOnTrial },
    make: async () => {
      await backTo1()
      await dropCount(device)
      await dropAccount(device)
    },
  },
]

test('the table of docs/states.md has the same moments in the same states', async () => {
  const page = await readFile(join(PROJECT, 'docs/states.md'), 'utf8')
  const rows = page.split('| between | state |')[1]?.split('\n\n')[0]?.split('\n').slice(2) ?? []
  const cells = rows.map(row => row.split('|').map(cell => cell.trim().replaceAll('`', '')))
  expect(cells.map(([, between, state]) => [between, state])).toEqual(MOMENTS.map(one => [one.between, one.state]))
})

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
