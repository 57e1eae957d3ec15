/** Updates as a technician sees them, on emulated devices with the real service, ostree and signatures: the good paths and the ways back. */
import { copyFile, lstat, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PackageResult } from '../../src/builder/package.ts'
import { parseManifest } from '../../src/package/manifest.ts'
import { openFile, readHead, readIndex } from '../../src/package/read.ts'
import type { Device } from '../kit/device.ts'
import {
  atRest,
  cli,
  ended,
  inboxOf,
  install,
  offerOf,
  order,
  read,
  restart,
  staged,
  standing,
  stateOf,
  verdictOf,
  whileStaging,
  write,
} from '../kit/operate.ts'
import { bareSuperblock, makeProduct, newKey, PRODUCT, type Product } from '../kit/releases.ts'
import { makeStick, type Stick } from '../kit/stick.ts'

let lab: string
let product: Product
let second: Awaited<ReturnType<typeof newKey>>
const packages: Record<string, PackageResult> = {}
const file = (name: string) => packages[name]?.file ?? `no package ${name}`
const id = (name: string) => packages[name]?.id ?? `no package ${name}`
const devices: Device[] = []
let device: Device

/** A device that runs 1.0, switched on. */
async function make(name: string, options?: Parameters<Product['device']>[1]) {
  device = await product.device(name, options)
  devices.push(device)
  await device.boot()
  await atRest(device)
}

let sticks = 0
async function insert(...names: string[]): Promise<Stick> {
  const stick = await makeStick(lab, `STICK${++sticks}`, names.map(file))
  await device.insert(stick)
  return stick
}

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-inst-')
  product = await makeProduct(lab)
  second = await newKey('Second Signer')
  for (const version of ['2.0', '3.0', '4.0']) await product.release(version)
  await product.release('5.0', { ballast: 6 * 2 ** 20 })
  const make = async (name: string, ...how: Parameters<Product['package']>) => {
    const [version, options] = how
    packages[name] = await product.package(version, { name: `${name}.superblock`, ...options })
  }
  await make('two', '2.0')
  await make('two-for-all', '2.0', { compatible: ['other-product', PRODUCT.compatible, 'third-product'] })
  await make('two-for-others', '2.0', { compatible: ['other-product'] })
  await make('two-by-both', '2.0', { keys: [product.key, second], from: ['1.0'] })
  await make('two-by-one', '2.0', { keys: [second], epoch: 0 })
  await make('two-bare', '2.0', {
    keys: [product.key, second],
    fromSuperblock: await bareSuperblock(product, '2.0', '1.0'),
  })
  await make('three', '3.0', { epoch: 2 })
  await make('two-again', '2.0', { epoch: 2 })
  await make('three-from-two', '3.0', { keys: [product.key, second], from: ['2.0'] })
  await make('three-bare', '3.0', {
    keys: [product.key, second],
    fromSuperblock: await bareSuperblock(product, '3.0', '2.0'),
  })
  await make('four', '4.0', { epoch: 2 })
  await make('five', '5.0')
})
afterAll(async () => {
  for (const one of devices) await one.destroy()
  await rm(lab, { recursive: true, force: true })
})

describe('an update and the way back', () => {
  const etc = '/etc/acme/site.conf'

  beforeAll(() => make('a'))

  test('the newest that fits is preselected among all that is found, on several sticks and in the inbox', async () => {
    await insert('two', 'two-for-others')
    await insert('two', 'two-for-all')
    await copyFile(file('three'), join(inboxOf(device), 'three.superblock'))
    await offerOf(device, 'three.superblock')
    const { offers } = await device.waitFor(({ offers }) => offers.length === 5, 'all five')
    const fits = offers.filter(offer => offer.verdict.fits)
    expect(fits.map(offer => offer.file).sort()).toEqual(
      ['two', 'two', 'two-for-all', 'three'].map(name => `${name}.superblock`).sort(),
    )
    expect(offers.filter(offer => offer.preselected).map(offer => [offer.medium, offer.file])).toEqual([
      ['/var/lib/superblock/inbox', 'three.superblock'],
    ])
    expect(await verdictOf(device, 'two-for-others.superblock')).toBe('wrong-device')
    const { stdout } = await cli(device, 'list')
    expect(stdout.match(new RegExp(id('two').slice(0, 12), 'g'))).toHaveLength(2)
    expect(stdout).toMatch(/\* .* 3\.0 +fits .*inbox\/three\.superblock/)
    expect(stdout).toContain('it is for other-product, this device is acme-gateway')
    await rm(join(inboxOf(device), 'three.superblock'))
    await device.waitFor(({ offers }) => offers.length === 4, 'the inbox empty again')
  })

  test('`install` waits for the end; it reads what is missing and leaves alone what is there', async () => {
    await write(device, etc, 'site = harbour 7\n')
    await write(device, '/var/measured', '42\n')
    const objects = join(device.sysroot, 'ostree/repo/objects')
    const look = async () => {
      const found = new Map<string, string>()
      for (const name of await readdir(objects, { recursive: true })) {
        const status = await lstat(join(objects, name))
        if (!status.isDirectory()) found.set(name, `${status.ino} ${status.mtimeMs} ${status.size}`)
      }
      return found
    }
    const before = await look()
    const start = await readFromMedia()

    const done = await cli(device, 'install', id('two').slice(0, 10))
    expect([done.status, done.stderr]).toEqual([0, ''])
    expect(done.stdout).toContain('The stick may be removed now.')
    expect(done.stdout).toContain('Version 2.0 is installed and starts with the next reboot.')
    const readInAll = (await readFromMedia()) - start

    const after = await look()
    const fresh = [...after.keys()].filter(name => !before.has(name))
    for (const [name, facts] of before) expect([name, after.get(name)]).toEqual([name, facts])
    const { head, members } = await indexOf(file('two'))
    const changed = members.filter(member => fresh.includes(member.path.replace(/^objects\//, '').replace(/z$/, '')))
    const size = changed.reduce((sum, member) => sum + member.size, 0)
    const { counters } = await ended(device)
    expect(changed).toHaveLength(fresh.length)
    expect(counters.membersRead).toBe(fresh.length)
    expect(counters.membersSkipped).toBe(members.length - fresh.length)
    expect(counters.bytesRead).toBeGreaterThan(size + head)
    expect(counters.bytesRead).toBeLessThan(1.2 * size + head)
    // The kernel's count for the processes that touch the sticks: with the requests that they were sent, and the heads of
    // all four packages, which are looked at again when there is a new deployment.
    expect(readInAll).toBeGreaterThanOrEqual(counters.bytesRead)
    expect(readInAll).toBeLessThan(1.2 * size + head + 300_000)
    expect((await lstat(file('two'))).size).toBeGreaterThan(5 * counters.bytesRead)
    await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    expect(await staged(device)).toEqual([])
  })

  test('what awaits the reboot is no longer offered, and nothing else can begin', async () => {
    expect(await order(device)).toBe('2.0 pending, 1.0 booted')
    await device.waitFor(
      ({ offers }) => offers.some(({ verdict }) => !verdict.fits && verdict.code === 'already-installed'),
      '2.0 as already installed',
    )
    const { offers } = await device.client.status()
    expect(offers.filter(offer => offer.id === id('two') && offer.verdict.fits)).toEqual([])
    expect(offers.filter(offer => offer.preselected)).toEqual([])
    const again = await cli(device, 'install', '/run/superblock/media/STICK1/two.superblock')
    expect([again.status, again.stderr]).toEqual([7, expect.stringContaining('(busy)')])
    const back = await cli(device, 'rollback', '1', '--yes', '--reason', 'no')
    expect([back.status, back.stderr]).toEqual([7, expect.stringContaining('(busy)')])
  })

  test('after the reboot it is found good; local changes to /etc are merged and /var is kept', async () => {
    const { job, health } = await restart(device)
    expect([job?.state, job?.text]).toEqual(['done', 'Version 2.0 is installed and works.'])
    expect([health?.verdict, health?.version, health?.checks.map(check => check.name)]).toEqual([
      'good',
      '2.0',
      ['disk:/var', 'disk:/sysroot', '10-fieldbus'],
    ])
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
    expect(await read(device, etc)).toBe('site = harbour 7\n')
    expect(await read(device, '/etc/acme/upstream.conf')).toBe('of = 2.0\n')
    expect(await read(device, '/var/measured')).toBe('42\n')
  })

  test('a rollback brings back the release with the settings it had, and /var stays', async () => {
    await write(device, etc, 'site = harbour 8\n')
    await write(device, '/var/measured', '43\n')
    const done = await cli(device, 'rollback', '--yes', '--reason', 'the night shift cannot read it')
    expect([done.status, done.stderr]).toEqual([0, ''])
    expect(await order(device)).toBe('1.0 pending, 2.0 booted')
    const { job, deployments } = await restart(device)
    expect([job?.kind, job?.state]).toEqual(['rollback', 'done'])
    expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
    expect(await read(device, etc)).toBe('site = harbour 7\n')
    expect(await read(device, '/etc/acme/upstream.conf')).toBe('of = 1.0\n')
    expect(await read(device, '/var/measured')).toBe('43\n')
    expect(deployments.find(one => one.version === '2.0')?.leftBecause).toBe('the night shift cannot read it')
    const { stdout } = await cli(device, 'history')
    expect(stdout).toMatch(/rollback .*version=1\.0 .*reason=the night shift cannot read it/)
  })

  test('what was rolled back fits, is not preselected, and can be installed again by its path', async () => {
    await insert('two')
    expect(await verdictOf(device, 'two.superblock')).toBe('fits')
    const { offers } = await device.client.status()
    expect(offers.some(offer => offer.preselected)).toBe(false)
    // /home is a link to /var/home on such systems.
    await device.exec([
      'sh',
      '-c',
      `mkdir -p /var/home && cp /run/superblock/media/STICK${sticks}/two.superblock /home`,
    ])
    const done = await cli(device, 'install', '/home/two.superblock')
    expect([done.status, done.stderr]).toEqual([0, ''])
    expect(await order(device)).toBe('2.0 pending, 1.0 booted, 2.0 rollback')
    const { job, deployments } = await restart(device)
    expect(job?.state).toBe('done')
    // It runs and is good: the reason of last time is history.
    expect(deployments.find(one => one.booted)?.leftBecause).toBeUndefined()
  })

  test('`install` says what it cannot find, and that an id may mean several packages', async () => {
    expect((await cli(device, 'install', 'nothing.superblock')).status).toBe(1)
    expect((await cli(device, 'install', 'ffffffffffff')).stderr).toContain('(not-found)')
    expect((await cli(device, 'install', '/run/superblock/media')).status).toBe(2)
    expect((await cli(device, 'install', 'abc')).status).toBe(2)
  })
})

describe('what a device will not go below, and what it keeps', () => {
  beforeAll(() => make('b', { config: '[install]\nkeep = 3\n' }))

  test('the epoch floor rises when a release was found good, not before', async () => {
    const stick = await insert('three', 'two', 'two-again')
    expect(await verdictOf(device, 'two.superblock')).toBe('fits')
    await offerOf(device, 'three.superblock')
    expect((await install(device, { id: id('three') })).state).toBe('reboot')
    expect((await device.client.status()).device.epochFloor).toBe(0)
    const { device: facts } = await restart(device)
    expect(facts.epochFloor).toBe(2)
    await device.insert(stick)
    expect(await verdictOf(device, 'two.superblock')).toBe('below-floor')
    expect(await verdictOf(device, 'two-again.superblock')).toBe('older')
  })

  test('an older release is refused, unless an operator allows it; one below the floor always', async () => {
    const refused = await cli(device, 'install', id('two-again'))
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining('(older)')])
    expect(refused.stderr).toContain('--allow-downgrade')
    const never = await cli(device, 'install', id('two'), '--allow-downgrade')
    expect([never.status, never.stderr]).toEqual([4, expect.stringContaining('(below-floor)')])
    expect(await order(device)).toBe('3.0 booted, 1.0 rollback')
    const allowed = await cli(device, 'install', id('two-again'), '--allow-downgrade')
    expect([allowed.status, allowed.stderr]).toEqual([0, ''])
    expect(await order(device)).toBe('2.0 pending, 3.0 booted, 1.0 rollback')
    expect((await restart(device)).job?.state).toBe('done')
  })

  test('the newest that was ever installed counts, not what runs now', async () => {
    const { device: facts } = await device.client.status()
    expect(facts.newest).toBe('2025-01-04T00:00:00Z')
  })

  test('a rollback goes to the deployment that is named', async () => {
    expect(await order(device)).toBe('2.0 booted, 3.0 rollback, 1.0')
    const nowhere = await cli(device, 'rollback', '7', '--yes', '--reason', 'x')
    expect([nowhere.status, nowhere.stderr]).toEqual([1, expect.stringContaining('(not-found)')])
    const here = await cli(device, 'rollback', '0', '--yes', '--reason', 'x')
    expect([here.status, here.stderr]).toEqual([1, expect.stringContaining('(already-booted)')])
    const done = await cli(device, 'rollback', '2', '--yes', '--reason', 'back to the start')
    expect(done.status).toBe(0)
    expect(await order(device)).toBe('1.0 pending, 2.0 booted, 3.0 rollback')
  })

  test('a rollback that was called off before the reboot has left no trace', async () => {
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
    const { deployments } = await device.client.status()
    expect(deployments.filter(one => one.leftBecause).map(one => one.version)).toEqual([])
    expect(deployments.map(one => one.version)).toEqual(['2.0', '1.0', '3.0'])
    expect(deployments.find(one => one.booted)?.index).toBe(0)
  })

  test('old deployments go, but neither pinned ones nor the one that runs', async () => {
    const index = (await device.client.status()).deployments.find(one => one.version === '3.0')?.index
    expect((await cli(device, 'pin', String(index))).status).toBe(0)
    expect((await device.client.status()).deployments[index ?? 0]?.pinned).toBe(true)
    expect((await cli(device, 'pin', '9')).status).toBe(1)
    await insert('four')
    await offerOf(device, 'four.superblock')
    expect((await install(device, { id: id('four') })).state).toBe('reboot')
    expect(await order(device)).toBe('4.0 pending, 2.0 booted, 3.0 rollback pinned')
    await restart(device)
    expect((await cli(device, 'unpin', '2')).status).toBe(0)
    expect(await order(device)).toBe('4.0 booted, 2.0 rollback, 3.0')
  })

  test('back to what runs, while somebody else has made another deployment the next', async () => {
    await device.exec(['ostree', 'admin', 'deploy', '--os=acme', '--retain', product.commits['3.0'] ?? ''])
    expect(await order(device)).toMatch(/^3\.0 pending, 4\.0 booted/)
    await device.client.rollback({ index: 1, reason: 'that was not agreed' })
    const { job } = await device.waitFor(
      ({ job }) => job?.reason === 'that was not agreed' && job.state === 'done',
      'it',
    )
    expect(job?.text).toBe('Back on version 4.0.')
    expect(await order(device)).toMatch(/^4\.0 booted/)
  })

  test('the history tells all of it, and shows when a line was changed', async () => {
    const good = await cli(device, 'history', '--verify')
    expect([good.status, good.stderr]).toEqual([0, ''])
    expect(good.stdout).toContain('The history is whole')
    const path = join(stateOf(device), 'history.jsonl')
    const text = await readFile(path, 'utf8')
    const events = text
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).event as string)
    expect(events.filter(event => event === 'installed')).toHaveLength(3)
    await writeFile(path, text.replace('"version":"3.0"', '"version":"3.1"'))
    const changed = await cli(device, 'history', '--verify')
    expect([changed.status, changed.stderr]).toEqual([1, expect.stringContaining('(history-broken)')])
    await writeFile(path, text.split('\n').toSpliced(2, 1).join('\n'))
    expect((await cli(device, 'history', '--verify')).stderr).toContain('line 3 of')
  })
})

describe('a release that does not work', () => {
  beforeAll(() => make('c'))
  const bad = (...versions: string[]) =>
    device.exec(['sh', '-c', 'rm -rf /var/bad; mkdir /var/bad; cd /var/bad; touch "$@"', 'sh', ...versions])

  test('its health check fails: the device goes back by itself and says why', async () => {
    await bad('2.0')
    await insert('two')
    await offerOf(device, 'two.superblock')
    await install(device, { id: id('two') })
    await device.client.reboot()
    await device.rebooted()
    await device.boot()
    await device.rebooted()
    await device.boot()
    const { job, deployments } = await atRest(device)
    expect([job?.state, job?.code]).toEqual(['fell-back', 'unhealthy'])
    expect(job?.text).toBe(
      'Version 2.0 failed the health check 10-fieldbus (the fieldbus of 2.0 is silent). The device is back on version 1.0.',
    )
    expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
    const left = deployments.find(one => one.version === '2.0')?.leftBecause
    expect(left).toBe('version 2.0 failed the health check 10-fieldbus (the fieldbus of 2.0 is silent)')
    expect((await cli(device, 'status')).stdout).toContain('failed the health check 10-fieldbus')
    expect((await cli(device, 'history')).stdout).toMatch(/fell-back .*code=unhealthy/)
    expect(await readFile(join(device.sysroot, 'boot/grub/grubenv'), 'utf8')).not.toContain('trial')
  })

  test('it still fits, but is not what the device would choose', async () => {
    await insert('two')
    const offer = await offerOf(device, 'two.superblock')
    expect([offer.verdict.fits, offer.preselected]).toEqual([true, false])
  })

  test('nobody returns to it without naming it', async () => {
    expect((await device.client.status()).deployments.some(one => one.rollback)).toBe(false)
    const refused = await cli(device, 'rollback', '--yes', '--reason', 'out of curiosity')
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringContaining('none of the other releases here was found good'),
    ])
    await expect(device.client.rollback({ reason: 'x' })).rejects.toMatchObject({ code: 'not-found' })
    expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
  })

  test('it does not get as far as its service: the boot loader counts, and the previous one takes over', async () => {
    await insert('three')
    await offerOf(device, 'three.superblock')
    await install(device, { id: id('three') })
    await device.client.reboot()
    await device.rebooted()
    for (let start = 0; start < 3; start++) {
      expect((await device.boot({ service: false })).id).toContain(product.commits['3.0'])
      await device.powerCut()
    }
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    const { job } = await atRest(device)
    expect([job?.state, job?.code]).toEqual(['fell-back', 'boot-failed'])
    expect(job?.text).toContain('Version 3.0 did not start.')
    expect(await order(device)).toBe('1.0 booted, 3.0 rollback, 2.0')
    await device.powerCut()
    expect((await device.boot()).id).toContain(product.commits['1.0'])
    await atRest(device)
  })

  test('the previous one is bad too by now: the device stays on it and does not reboot for ever', async () => {
    await bad('1.0', '4.0')
    await insert('four')
    await offerOf(device, 'four.superblock')
    await install(device, { id: id('four') })
    await device.client.reboot()
    await device.rebooted()
    await device.boot()
    await device.rebooted()
    await device.boot()
    const { job, health } = await atRest(device)
    expect([job?.state, health?.verdict, health?.version]).toEqual(['fell-back', 'bad', '1.0'])
    await expect(device.rebooted(2)).rejects.toThrow(/within 2 s/)
    expect((await cli(device, 'health')).status).toBe(6)
    expect((await device.client.status()).deployments.find(one => one.booted)?.version).toBe('1.0')
  })
})

describe('calling it off', () => {
  let before: string[]
  beforeAll(async () => {
    await make('d')
    before = await standing(device)
  })

  test('while it is copied', async () => {
    await insert('five', 'two')
    await offerOf(device, 'five.superblock')
    const waiting = cli(device, 'install', id('five'))
    const cancelled = await whileStaging(device, async () => ({ it: device.client.cancel() }))
    await cancelled.it
    const done = await waiting
    expect([done.status, done.stderr]).toEqual([5, expect.stringContaining('(cancelled)')])
    expect((await ended(device)).text).toBe('Cancelled. Nothing was changed.')
    expect(await standing(device)).toEqual(before)
  })

  test('while it waits for the stick', async () => {
    await device.client.install({ id: id('five') })
    await whileStaging(device, () => device.service.kill('SIGKILL'))
    await device.exec(['umount', `/run/superblock/media/STICK${sticks}`])
    await device.service.start()
    const { job } = await device.waitFor(({ job }) => job?.state === 'paused', 'the pause')
    expect([job?.code, job?.cancellable, job?.stick]).toEqual(['media-gone', true, 'keep'])
    expect(await staged(device)).toHaveLength(1)
    const other = await cli(device, 'install', '/etc/hostname')
    expect([other.status, other.stderr]).toEqual([7, expect.stringContaining('(busy)')])
    expect((await cli(device, 'cancel')).status).toBe(0)
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
    expect(await standing(device)).toEqual(before)
  })

  test('while it waits for a package that was taken out of the inbox; of a stick nothing is said then', async () => {
    const inbox = join(inboxOf(device), 'five.superblock')
    await copyFile(file('five'), inbox)
    await offerOf(device, 'five.superblock')
    await device.client.install({ id: id('five') })
    await whileStaging(device, () => device.service.kill('SIGKILL'))
    await rm(inbox)
    await device.service.start()
    const { job } = await device.waitFor(({ job }) => job?.state === 'paused', 'the pause')
    expect([job?.code, job?.cancellable, job?.stick]).toEqual(['package-gone', true, 'none'])
    expect(job?.text).toMatch(/^The package was taken out of the inbox\. Put it back/)
    await copyFile(file('five'), inbox)
    const done = await ended(device)
    expect([done.stick, done.text]).toEqual(['none', 'Version 5.0 is installed and starts with the next reboot.'])
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
    await rm(inbox)
    await device.waitFor(({ offers }) => !offers.some(({ path }) => path.includes('inbox')), 'the inbox empty again')
    expect(await standing(device)).toEqual(before)
  })

  test('while it waits for the reboot', async () => {
    await insert('two')
    await offerOf(device, 'two.superblock')
    await install(device, { id: id('two') })
    expect(await order(device)).toBe('2.0 pending, 1.0 booted')
    expect(await standing(device)).not.toEqual(before)
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
    expect(await standing(device)).toEqual(before)
    const none = await cli(device, 'cancel')
    expect([none.status, none.stderr]).toEqual([7, expect.stringContaining('(not-cancellable)')])
    expect(await verdictOf(device, 'two.superblock')).toBe('fits')
  })

  test('while it is at work nothing else begins, no reboot either', async () => {
    await insert('five')
    await offerOf(device, 'five.superblock')
    await device.client.install({ id: id('five') })
    const asked = await whileStaging(device, async () => ({
      it: Promise.allSettled([
        device.client.install({ id: id('two') }),
        device.client.rollback({ reason: 'x' }),
        device.client.reboot(),
      ]),
    }))
    for (const one of await asked.it) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'busy' } })
    expect((await ended(device)).state).toBe('reboot')
    expect((await restart(device)).job?.text).toBe('Version 5.0 is installed and works.')
  })
})

describe('by itself', () => {
  beforeAll(() => make('e', { config: '[reboot]\npolicy = "auto"\n[install]\npolicy = "auto"\n' }))

  test('a stick is inserted: the device installs, reboots and finds itself good', async () => {
    const stick = await makeStick(lab, 'AUTO', [file('two'), file('two-for-others')])
    await device.insert(stick)
    await device.rebooted()
    await device.boot()
    const { job } = await atRest(device)
    expect([job?.kind, job?.state]).toEqual(['install', 'done'])
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
  })

  test('what an operator rolled back is not installed again by itself; what is newer is', async () => {
    await device.client.rollback({ reason: 'not yet' })
    await device.rebooted()
    await device.boot()
    await atRest(device)
    const stick = await insert('two')
    const offer = await offerOf(device, 'two.superblock')
    expect([offer.verdict.fits, offer.preselected]).toEqual([true, false])
    await sleep(500)
    expect((await device.client.status()).job?.kind).toBe('rollback')
    await device.remove(stick)
    await insert('three')
    await device.rebooted()
    await device.boot()
    expect((await atRest(device)).job).toMatchObject({ kind: 'install', state: 'done', to: { version: '3.0' } })
  })
})

describe('two signers, and packages that hold only what changed', () => {
  beforeAll(async () => {
    const { public: key } = await product.keep(second)
    await make('f', { config: '[signatures]\nrequired = 2\n', keys: [key] })
  })

  test('one good signature is not enough, and two keys in /usr/lib and /etc are two', async () => {
    await insert('two', 'two-by-one', 'two-by-both', 'two-bare', 'three-bare', 'three-from-two')
    await device.waitFor(({ offers }) => offers.length === 6, 'all six')
    expect(await verdictOf(device, 'two.superblock')).toBe('not-enough-signatures')
    expect(await verdictOf(device, 'two-by-one.superblock')).toBe('not-enough-signatures')
    const both = await offerOf(device, 'two-by-both.superblock')
    expect(both.verdict).toEqual({ fits: true })
    expect(both.signers.map(signer => signer.fingerprint).sort()).toEqual(
      [product.key.fingerprint, second.fingerprint].sort(),
    )
    const refused = await cli(device, 'install', id('two'))
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining('(not-enough-signatures)')])
  })

  test('a delta is chosen when its base is here, and the objects otherwise', async () => {
    expect((await offerOf(device, 'two-by-both.superblock')).plan).toMatchObject({ way: 'delta', members: 1 })
    expect((await offerOf(device, 'three-from-two.superblock')).plan).toMatchObject({ way: 'objects' })
    expect((await offerOf(device, 'two-bare.superblock')).plan).toMatchObject({ way: 'delta' })
    const { verdict } = await offerOf(device, 'three-bare.superblock')
    expect(verdict).toMatchObject({ fits: false, code: 'needs-base' })
    const refused = await cli(device, 'install', id('three-bare'))
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining('(needs-base)')])
  })

  test('a wrapped superblock installs where its base is', async () => {
    const job = await install(device, { id: id('two-bare') })
    expect([job.state, job.counters.membersRead]).toEqual(['reboot', 1])
    await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    expect((await restart(device)).job?.state).toBe('done')
    expect(await read(device, '/etc/acme/upstream.conf')).toBe('of = 2.0\n')
  })

  test('then the next delta fits, and is installed', async () => {
    await insert('three-bare', 'three-from-two')
    expect(await verdictOf(device, 'three-bare.superblock')).toBe('fits')
    const { plan } = await offerOf(device, 'three-from-two.superblock')
    expect(plan).toMatchObject({ way: 'delta', members: 1 })
    const job = await install(device, { id: id('three-from-two') })
    expect([job.state, job.counters.membersRead]).toEqual(['reboot', 1])
    await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    expect((await restart(device)).job?.state).toBe('done')
    expect(await read(device, '/usr/lib/os-release')).toContain('VERSION_ID=3.0')
  })

  test('doctor has nothing to say against this device, and names what is wrong with one', async () => {
    const good = await cli(device, 'doctor')
    expect([good.status, good.stdout]).toEqual([0, expect.stringContaining('2 usable signing keys, 2 wanted')])
    expect(good.stdout).not.toContain('FAIL')
    await device.exec(['sh', '-c', 'rm /etc/superblock/keys/*; : >/etc/superblock/keys/empty.asc'])
    const bad = await cli(device, 'doctor')
    expect(bad.status).toBe(6)
    expect(bad.stdout).toMatch(/FAIL {2}keys: 1 usable signing key, 2 wanted; .*empty\.asc: it is empty/)
    expect(bad.stdout).toMatch(/next: Put the public keys .* into \/etc\/superblock\/keys/)
  })
})

/** Bytes that the children of the service which touch the sticks have read so far. */
async function readFromMedia(): Promise<number> {
  const pid = await device.service.pid()
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  let sum = 0
  for (const child of children.split(' ').filter(Boolean)) {
    if (!(await readFile(`/proc/${child}/cmdline`, 'utf8')).includes('/run/superblock/media/')) continue
    sum += Number(/^rchar: (\d+)/m.exec(await readFile(`/proc/${child}/io`, 'utf8'))?.[1])
  }
  return sum
}

/** What the package itself says: bytes before its first member, and its members. */
async function indexOf(path: string) {
  const source = await openFile(path)
  try {
    const head = await readHead(source)
    const members = [...(await readIndex(source, head, parseManifest(head.manifest)))]
    return { head: members[0]?.header ?? 0, members }
  } finally {
    await source.close()
  }
}
