/**
 * Trial boots on emulated devices: power cuts, hangs, panics and bad verdicts before a new release was found good, hooks, and an
 * operator who is faster than the checks.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isThere, listIfThere } from '../../src/base/files.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import type { Device } from '../kit/device.ts'
import { atRest, cli, ended, order, read, stateOf, write } from '../kit/operate.ts'
import { makeProduct, PRODUCT, type Product } from '../kit/releases.ts'
import { bring, HOOKS, installAndCut, installFrom, onHook } from '../kit/trials.ts'

let lab: string
let product: Product
let two: PackageResult
const devices: Device[] = []
let device: Device

const WANTED = '#!/bin/sh\necho the lamp is dark\nexit 1\n'
const BELL = '#!/bin/sh\n[ ! -e /var/bad/bell ] && exit\necho it does not ring\necho it is cracked\nexit 1\n'
const CHECKS = 'usr/lib/superblock/health.d'

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-trial-')
  product = await makeProduct(lab)
  await product.release('2.0', {
    files: { ...HOOKS, [`${CHECKS}/wanted.d/90-lamp`]: WANTED, [`${CHECKS}/required.d/20-bell`]: BELL },
  })
  two = await product.package('2.0', { epoch: 3 })
})
afterAll(async () => {
  for (const one of devices) await one.destroy()
  await rm(lab, { recursive: true, force: true })
})

async function make(name: string, options?: Parameters<Product['device']>[1]) {
  device = await product.device(name, options)
  devices.push(device)
  await device.boot()
  await atRest(device)
}

const tell = (hook: string, what: string) => onHook(device, hook, what)
const hooked = async () => (await read(device, '/var/hooked').catch(() => '')).trim().split('\n').filter(Boolean)
const grubenv = () => readFile(join(device.sysroot, 'boot/grub/grubenv'), 'utf8')
const isArmed = async () => [(await grubenv()).includes('trial_id'), await isThere(join(stateOf(device), 'trial.json'))]

const examined = async () => (await cli(device, 'doctor', '--json')).stdout

const begin = () => installFrom(device, lab, two)

/** 2.0 is installed, and the device is switched off for the reboot. */
async function installed(name: string, options?: Parameters<Product['device']>[1]) {
  await make(name, options)
  await installAndCut(device, lab, two)
}

/** A start of 2.0 that gets no further than the early unit, and how it ends. */
async function start(end: () => Promise<void> = async () => {}) {
  expect((await device.boot({ service: false, watch: true })).id).toContain(product.commits['2.0'])
  await end()
  await device.powerCut()
}

/** The device has given 2.0 up by itself, and what it says of it. */
async function backOn1(): Promise<string> {
  expect((await device.boot()).id).toContain(product.commits['1.0'])
  const { job, offers } = await atRest(device)
  expect([job?.state, job?.code]).toEqual(['fell-back', 'boot-failed'])
  expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
  expect(offers.some(one => one.preselected)).toBe(false)
  expect(await isArmed()).toEqual([false, false])
  return job?.text ?? ''
}

describe('before the verdict', () => {
  test('power cuts do not count: after four of them the release is still tried, and found good', async () => {
    await installed('cuts')
    expect(await isArmed()).toEqual([true, true])
    for (let cut = 0; cut < 4; cut++) await start()
    expect((await device.boot()).id).toContain(product.commits['2.0'])
    const { job, device: facts } = await atRest(device)
    expect([job?.state, job?.text]).toEqual(['done', 'Version 2.0 is installed and works.'])
    expect(facts.epochFloor).toBe(3)
    expect(await isArmed()).toEqual([false, false])
  })

  test('but not for ever', async () => {
    await installed('patience', { config: '[trial]\npatience = 1\n' })
    await start()
    await start()
    // The third finds two ends without a trace.
    await device.boot({ service: false, watch: true })
    await device.rebooted()
    expect(await backOn1()).toContain('2 without a trace')
  })

  test('resets by the watchdog do: after three of them the release before is back', async () => {
    await installed('watchdog')
    for (let hang = 0; hang < 3; hang++) await start(() => device.setWatchdog(true))
    await device.boot({ service: false, watch: true })
    await device.rebooted()
    expect(await backOn1()).toContain('3 by the watchdog')
  })

  test('so do crashes of the kernel that left a record, one start in between or not', async () => {
    await installed('crashes')
    await start(() => device.crash('dmesg-erst-1'))
    await start()
    await start(() => device.crash('dmesg-erst-2'))
    await start(() => device.crash('dmesg-erst-3'))
    await device.boot({ service: false, watch: true })
    await device.rebooted()
    expect(await backOn1()).toContain('3 in a crash of the kernel, 1 without a trace')
  })

  test('a start that comes to no verdict is ended, and counts', async () => {
    await installed('deadline', { config: '[trial]\ndeadline = 1\ntries = 2\n' })
    for (let late = 0; late < 2; late++) {
      expect((await device.boot({ service: false, watch: true })).id).toContain(product.commits['2.0'])
      await device.rebooted()
    }
    await device.boot({ service: false, watch: true })
    await device.rebooted()
    expect(await backOn1()).toContain('2 without a verdict in time')
  })

  test('starts that end before user space are the boot loader’s to count', async () => {
    await installed('panic')
    for (let panic = 0; panic < 3; panic++) {
      expect((await device.boot({ service: false })).id).toContain(product.commits['2.0'])
      await device.powerCut()
    }
    expect(await backOn1()).toContain('Version 2.0 did not start. The device is back on version 1.0')
  })

  test('a boot loader that starts it once more all the same: the service takes the device back', async () => {
    await installed('stubborn')
    for (let hang = 0; hang < 3; hang++) await start(() => device.setWatchdog(true))
    await device.boot({ service: false, watch: true })
    await device.rebooted()
    const path = join(device.sysroot, 'boot/grub/grubenv')
    await writeFile(path, (await grubenv()).replace('trial_tries=0', 'trial_tries=9'))
    expect((await device.boot()).id).toContain(product.commits['2.0'])
    await device.rebooted()
    await device.boot()
    const { job } = await atRest(device)
    expect([job?.state, job?.code]).toEqual(['fell-back', 'boot-failed'])
    expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
  })

  test('a boot loader’s memory that is spoiled: no start is counted, and none is ended for it', async () => {
    await installed('spoiled')
    await writeFile(join(device.sysroot, 'boot/grub/grubenv'), '\0'.repeat(1024))
    expect((await device.boot({ service: false, watch: true })).id).toContain(product.commits['2.0'])
    await expect(device.rebooted(5)).rejects.toThrow('cannot find a reboot')
    expect(await examined()).toMatch(/cannot read .*grubenv: .*make it anew/)
    await device.service.start()
    expect((await ended(device)).state).toBe('done')
    expect(await isArmed()).toEqual([false, false])
    expect(await examined()).toMatch(/GRUB counts the starts/)
  })

  test('a journal that was lost after its release did not start: that one is not started for ever', async () => {
    await installed('forgotten')
    for (let i = 0; i < 3; i++) {
      expect((await device.boot({ service: false })).id).toContain(product.commits['2.0'])
      await device.powerCut()
    }
    await rm(join(stateOf(device), 'state.json'))
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    await atRest(device)
    await device.waitFor(({ health }) => health?.verdict === 'good' && health.current, 'the verdict')
    await expect.poll(isArmed).toEqual([false, false])
    expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
    const { deployments } = await device.client.status()
    expect(deployments.find(one => one.version === '2.0')?.leftBecause).toMatch(/forgotten/)
    await device.powerCut()
    expect((await device.boot()).id).toContain(product.commits['1.0'])
  })

  test('a journal that was lost meanwhile: a good release stays, and is no longer counted', async () => {
    await installed('lost')
    await rm(join(stateOf(device), 'state.json'))
    await device.boot()
    await atRest(device)
    await device.waitFor(({ health }) => health?.verdict === 'good' && health.current, 'the verdict')
    await expect.poll(isArmed).toEqual([false, false])
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
  })
})

describe('the verdict', () => {
  test('wanted checks are shown and do not count; the hooks knew what for', async () => {
    await installed('verdict')
    await device.boot()
    const { health } = await atRest(device)
    expect(health).toMatchObject({ verdict: 'good', version: '2.0', current: true })
    expect(health?.checks.map(({ name, ok, required }) => [name, ok, required])).toEqual([
      ['post-boot.d/10-data', true, true],
      ['disk:/var', true, true],
      ['disk:/sysroot', true, true],
      ['10-fieldbus', true, true],
      ['20-bell', true, true],
      ['90-lamp', false, false],
    ])
    expect(await hooked()).toEqual(['pre-deploy update 1.0-2.0', 'post-boot update 1.0-2.0'])
    const shown = await cli(device, 'health', '--wait')
    expect([shown.status, shown.stdout]).toEqual([0, expect.stringMatching(/warn {2}90-lamp .*\n +the lamp is dark/)])
  })

  test('`health --json` is what docs/api.md says', async () => {
    const { stdout } = await cli(device, 'health', '--json')
    const { health } = JSON.parse(stdout)
    const page = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8')
    const section = page.split('### health\n')[1]?.split('\n## ')[0] ?? ''
    for (const key of [...Object.keys(health), ...Object.keys(health.checks[0])])
      expect(section, key).toMatch(new RegExp(`\`[^\`]*\\b${key}\\b[^\`]*\``, 's'))
    expect(Object.keys(health.checks[0])).toEqual(['name', 'ok', 'required', 'seconds', 'output'])
  })

  test('an operator goes back: the hook of the running release may refuse, and be passed over', async () => {
    await tell('pre-rollback', 'echo the new tables are in use; exit 1')
    const refused = await cli(device, 'rollback', '--yes', '--reason', 'too loud')
    expect([refused.status, refused.stderr]).toEqual([5, expect.stringContaining('(hook-failed)')])
    expect(refused.stderr).toContain('the new tables are in use')
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
    const forced = await cli(device, 'rollback', '--yes', '--force', '--reason', 'too loud')
    expect([forced.status, forced.stderr]).toEqual([0, ''])
    expect(await order(device)).toBe('1.0 pending, 2.0 booted')
    expect((await hooked()).slice(2)).toEqual(Array(2).fill('pre-rollback rollback 2.0-1.0'))
  })

  test('a post-boot hook that fails is a bad verdict; the return is not held up by the hook that refuses', async () => {
    await installed('post-boot')
    await device.boot({ service: false })
    await tell('post-boot', 'echo half of the tables cannot be converted; exit 1')
    await tell('pre-rollback', 'exit 1')
    await device.service.start()
    await device.rebooted()
    await device.boot()
    const { job, health } = await atRest(device)
    expect([job?.state, job?.code, job?.facts]).toEqual([
      'fell-back',
      'unhealthy',
      { version: '2.0', check: 'post-boot.d/10-data', said: 'half of the tables cannot be converted' },
    ])
    expect([health?.version, health?.verdict]).toEqual(['1.0', 'good'])
    expect(await hooked()).toContain('pre-rollback return 2.0-1.0')
    expect((await cli(device, 'status')).stdout).toContain('half of the tables cannot be converted')
  })

  test.each([
    [
      'has no key',
      '3.0',
      { 'usr/lib/superblock/keys/acme.asc': 'no key\n' },
      /0 usable signing keys, 1 wanted.*acme\.asc/,
    ],
    [
      'wants more signers than it has keys of',
      '4.0',
      {
        'usr/lib/superblock/superblock.toml': `[device]\ncompatible = "${PRODUCT.compatible}"\n[signatures]\nrequired = 2\n`,
      },
      /1 usable signing key, 2 wanted/,
    ],
  ])('a release after which nothing could be installed is left again: one that %s', async (_, version, files, said) => {
    await product.release(version, { files: { ...HOOKS, ...files } })
    const made = await product.package(version)
    await make(`keyless-${version}`)
    await installAndCut(device, lab, made)
    await device.boot()
    await device.rebooted()
    await device.boot()
    const { job } = await atRest(device)
    expect([job?.state, job?.code, job?.facts?.check]).toEqual(['fell-back', 'unhealthy', 'keys'])
    expect(job?.text).toMatch(said)
    expect(await order(device)).toBe(`1.0 booted, ${version} rollback`)
  })

  test('several checks fail: each is named with its last line', async () => {
    await installed('several')
    await device.boot({ service: false })
    await write(device, '/var/bad/2.0', '')
    await write(device, '/var/bad/bell', '')
    await device.service.start()
    await device.rebooted()
    await device.boot()
    const { job } = await atRest(device)
    expect(job?.facts).toEqual({
      ...{ version: '2.0', check: '10-fieldbus, 20-bell' },
      said: '10-fieldbus: the fieldbus of 2.0 is silent / 20-bell: it is cracked',
    })
  })

  test('a pre-deploy hook that refuses: nothing is installed, and its words are told', async () => {
    await make('pre-deploy')
    await tell('pre-deploy', 'echo the tables are too old; exit 2')
    expect(await begin()).toMatchObject({
      ...{ state: 'failed', code: 'hook-failed' },
      facts: { hook: 'pre-deploy.d/10-data', said: 'the tables are too old' },
    })
    expect(await order(device)).toBe('1.0 booted')
    expect(await isArmed()).toEqual([false, false])
    expect(await listIfThere(join(stateOf(device), 'hooks'))).toEqual([])
    const refs = await device.exec(['ostree', 'rev-parse', '--repo=/sysroot/ostree/repo', PRODUCT.ref])
    expect(refs.stdout.trim()).toBe(product.commits['1.0'])
  })
})

describe('an operator who is faster than the checks', () => {
  const slow = () => tell('post-boot', 'sleep 30')

  test('no other installation begins; a rollback does, and waits for no check', async () => {
    await installed('operator')
    await device.boot({ service: false })
    await slow()
    await device.service.start()
    await device.waitFor(({ job }) => job?.state === 'trying', 'the trial')
    await expect.poll(hooked).toContain('post-boot update 1.0-2.0')
    await bring(device, lab, two)
    await expect(device.client.install({ id: two.id, allowDowngrade: true })).rejects.toMatchObject({ code: 'busy' })
    await tell('pre-rollback', 'exit 1')
    await device.client.rollback({ reason: 'it smells of smoke' })
    expect((await ended(device)).kind).toBe('rollback')
    expect(await order(device)).toBe('1.0 pending, 2.0 booted')
    expect(await isArmed()).toEqual([false, false])
    // What was left is not counted any more: there is no way back to it without a new trial.
    await expect(device.client.cancel()).rejects.toMatchObject({ code: 'not-cancellable' })
    await expect(device.rebooted(2)).rejects.toThrow(/within 2 s/)
    expect((await device.client.status()).health?.verdict).toBe('checking')
    await device.client.reboot()
    await device.rebooted()
    await device.boot()
    const { job, deployments } = await atRest(device)
    expect([job?.kind, job?.state]).toEqual(['rollback', 'done'])
    const left = deployments.find(one => one.version === '2.0')
    expect([left?.leftBecause, left?.lastGood, left?.rollback]).toEqual(['it smells of smoke', undefined, false])
  })
})

describe('with U-Boot', () => {
  const trial = () => readFile(join(device.folder, 'esp/trial.env'), 'latin1').then(text => text.replace(/\0/g, ''))

  test('a panic at every start: the script counts, and the release before is back', async () => {
    await installed('u-panic', { bootLoader: 'uboot' })
    expect(await trial()).toMatch(/^trial_id=[0-9a-f]{32}\ntrial_tries=3\n$/)
    for (let panic = 0; panic < 3; panic++) {
      expect((await device.boot({ service: false })).id).toContain(product.commits['2.0'])
      await device.powerCut()
    }
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'boot-failed' })
    expect(await trial()).toBe('')
  })

  test('power cuts do not count, and the verdict ends the count', async () => {
    await installed('u-cuts', { bootLoader: 'uboot' })
    for (let cut = 0; cut < 4; cut++) await start()
    await device.boot()
    expect((await atRest(device)).job?.state).toBe('done')
    expect(await trial()).toBe('')
    expect((await cli(device, 'doctor')).stdout).toContain('U-Boot counts the starts of a new release')
  })

  test('a release that cannot reach the boot loader’s memory does not pass for good', async () => {
    await installed('u-gone', { bootLoader: 'uboot', config: '[trial]\ndeadline = 8\ntries = 1\n' })
    await device.boot({ service: false, watch: true })
    await rm(join(device.folder, 'esp/boot.scr'))
    await device.service.start()
    await device.rebooted()
    await writeFile(join(device.folder, 'esp/boot.scr'), '')
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'uboot-env' })
    await expect.poll(trial).toBe('')
  })

  test('a check that fails: back by itself', async () => {
    await installed('u-check', { bootLoader: 'uboot' })
    await device.boot({ service: false })
    await write(device, '/var/bad/2.0', '')
    await device.service.start()
    await device.rebooted()
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'unhealthy' })
  })
})
