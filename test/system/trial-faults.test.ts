/** Trials on devices that cannot do what has to be done: disks and boot loaders that cannot be written, a reboot that fails, a release that lacks what the one before had. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PackageResult } from '../../src/builder/package.ts'
import { chooseByUboot } from '../kit/bootloader.ts'
import type { Device } from '../kit/device.ts'
import { atRest, ended, order, read, varOf, write } from '../kit/operate.ts'
import { makeProduct, type Product } from '../kit/releases.ts'
import { HOOKS, installAndCut, installFrom, onHook } from '../kit/trials.ts'

let lab: string
let product: Product
let two: PackageResult
const devices: Device[] = []
let device: Device

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-faults-')
  product = await makeProduct(lab)
  await product.release('2.0', { files: HOOKS })
  two = await product.package('2.0')
})
afterAll(async () => {
  for (const one of devices) await one.destroy()
  await rm(lab, { recursive: true, force: true })
})

async function make(name: string, options?: Parameters<Product['device']>[1]) {
  device = await product.device(name, options)
  devices.push(device)
}

const begin = () => installFrom(device, lab, two)

/** 2.0 is installed, and the device is switched off for the reboot. */
async function installed(name: string, options?: Parameters<Product['device']>[1]) {
  await make(name, options)
  await device.boot()
  await atRest(device)
  await installAndCut(device, lab, two)
}

const sh = (text: string) => device.exec(['sh', '-c', text])
const readOnly = (path: string) => sh(`mount --bind ${path} ${path} && mount -o remount,bind,ro ${path}`)
/** The early unit's program, to its end, which may be the device's. */
const watch = () => sh('node /run/superblock-kit/app/dist/trial.js /var/lib/superblock').catch(() => {})

describe('what cannot be written', () => {
  test('/var: each start ends in time, the boot loader counts, and the release before is back', async () => {
    await installed('var', { config: '[trial]\ndeadline = 3\ntries = 2\n' })
    for (let at = 0; at < 2; at++) {
      expect((await device.boot({ service: false })).id).toContain(product.commits['2.0'])
      await sh('mount -o remount,bind,ro /var')
      await Promise.all([watch(), device.rebooted()])
    }
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'boot-failed' })
  })

  test('grubenv, in a bad release: it goes back all the same', async () => {
    await installed('bad')
    await device.boot({ service: false })
    await write(device, '/var/bad/2.0', '')
    await readOnly('/boot/grub/grubenv')
    await device.service.start()
    await device.rebooted()
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'unhealthy' })
  })

  test('grubenv, in a good release: it would be counted on for ever, and is left with the reason', async () => {
    await installed('good')
    await device.boot({ service: false })
    await readOnly('/boot/grub/grubenv')
    await device.service.start()
    await device.rebooted()
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'grubenv' })
    // Nothing waits for this: it is ended once what runs now was found good.
    await expect
      .poll(() => readFile(join(device.sysroot, 'boot/grub/grubenv'), 'utf8'), { timeout: 20_000 })
      .not.toContain('trial_id')
  })

  test('grubenv, in a rollback without a trial: it goes on', async () => {
    await installed('back')
    await device.boot()
    await atRest(device)
    await readOnly('/boot/grub/grubenv')
    await device.client.rollback({ reason: 'the paper jams' })
    expect((await ended(device)).state).toBe('reboot')
    expect(await order(device)).toBe('1.0 pending, 2.0 booted')
  })
})

test('a disk that could not be written for a while holds nothing up once it can', async () => {
  await installed('while')
  await device.boot({ service: false })
  await onHook(device, 'post-boot', 'sleep 2')
  await device.service.start()
  await device.waitFor(({ job }) => job?.state === 'trying', 'the trial')
  // It is refused for as long as the service has a file open there to write, which is moments.
  await sh('for n in $(seq 100); do mount -o remount,bind,ro /var 2>/dev/null && exit; sleep 0.01; done; exit 1')
  await expect.poll(() => device.log(), { timeout: 20_000 }).toContain('cannot go on')
  await sh('mount -o remount,bind,rw /var')
  expect((await ended(device)).state).toBe('done')
})

test('a reboot that fails is asked for again until the bad release is left', async () => {
  const once = '[ -e /var/once ] && kill -TERM 1 || { touch /var/once; echo no bus >&2; exit 1; }'
  await installed('reboot', { config: `[reboot]\ncommand = ["sh", "-c", '${once}']\n` })
  await device.boot({ service: false })
  await write(device, '/var/bad/2.0', '')
  await device.service.start()
  await device.rebooted()
  expect((await device.boot()).id).toContain(product.commits['1.0'])
  expect(await read(device, '/var/once')).toBe('')
})

const PRINT = '#!/bin/sh\ncat /var/uboot.env\n'
const SET = `#!/bin/sh
cat >/var/new.env
for name in $(sed 's/=.*//' /var/new.env); do sed -i "/^$name=/d" /var/uboot.env; done
grep -v '=$' /var/new.env >>/var/uboot.env || true
`

test('a release that cannot reach what counts its starts is not found good by what does not', async () => {
  await make('env', { bootLoader: 'uboot' })
  await device.boot({ service: false })
  await write(device, '/etc/fw_env.config', '/dev/x 0 0x1000\n')
  await write(device, '/var/uboot.env', 'upgrade_available=0\naltbootcmd=setenv trial_over 1; run bootcmd\n')
  const tools = '/run/superblock-kit/bin'
  await write(device, `${tools}/fw_printenv`, PRINT)
  await write(device, `${tools}/fw_setenv`, SET)
  await sh(`chmod 755 ${tools}/fw_*`)
  await device.service.start()
  await atRest(device)
  await installAndCut(device, lab, two)
  expect(await readFile(join(varOf(device), 'uboot.env'), 'utf8')).toContain('upgrade_available=1')

  // The tools were in a folder that went with the start.
  expect((await device.boot()).id).toContain(product.commits['2.0'])
  await device.rebooted()
  expect((await device.boot()).id).toContain(product.commits['1.0'])
  expect((await atRest(device)).job).toMatchObject({ state: 'fell-back', code: 'uboot-env' })
  const entry = await chooseByUboot(device.sysroot, join(device.folder, 'esp'), 'upgrade_available=1')
  expect(entry.id).toContain(product.commits['1.0'])
})

test('a hook on a disk that nothing may be run from refuses, instead of being passed over', async () => {
  await make('noexec')
  await device.boot()
  await atRest(device)
  await onHook(device, 'pre-deploy', 'exit 1')
  await sh('mount -o remount,bind,noexec /var')
  const job = await begin()
  expect([job.state, job.code, job.text]).toEqual(['failed', 'hook-failed', expect.stringMatching(/ermission denied/)])
})
