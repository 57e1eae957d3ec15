/**
 * A commit that ostree takes for complete and that is not, as a power cut in the middle of a prune leaves it: the next
 * package makes it whole, by whatever way it comes and however /sysroot is mounted.
 */
import { lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { OfferInfo } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { faults } from '../kit/endurance.ts'
import { atRest, install, offerOf, order, restart } from '../kit/operate.ts'
import { bareSuperblock, makeProduct, type Product } from '../kit/releases.ts'
import { makeStick } from '../kit/stick.ts'

let lab: string
let product: Product
let device: Device
let made = 0

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-mend-')
  product = await makeProduct(lab)
  await product.release('2.0')
  await product.package('2.0', { name: 'objects.superblock' })
  const fromSuperblock = await bareSuperblock(product, '2.0', '1.0')
  await product.package('2.0', { name: 'delta.superblock', fromSuperblock })
})
afterAll(() => rm(lab, { recursive: true, force: true }))
beforeEach(async () => {
  device = await product.device(`device-${++made}`)
})
afterEach(() => device.destroy())

const objects = () => join(device.sysroot, 'ostree/repo/objects')

/** Large content objects that release 2.0 has and 1.0, which is deployed, has not. */
async function newObjects(): Promise<string[]> {
  const all = (await readdir(objects(), { recursive: true })).filter(name => name.endsWith('.file'))
  const fresh: string[] = []
  for (const name of all) {
    const { nlink, size } = await lstat(join(objects(), name))
    if (nlink === 1 && size > 10_000) fresh.push(name)
  }
  return fresh
}

/** The device has commit 2.0 without a ref and with a hole in it; it is off. */
async function makeHole() {
  const commit = product.commits['2.0'] ?? ''
  const source = { name: 'SOURCE', folder: product.repo }
  await device.boot({ service: false })
  await device.insert(source)
  await device.exec(['ostree', 'pull-local', '--repo=/ostree/repo', '/run/superblock/media/SOURCE', commit])
  await device.remove(source)
  const [gone] = await newObjects()
  await rm(join(objects(), gone ?? 'no object'))
  await expect(fsck()).rejects.toThrow(/missing/i)
  // fsck marks what it finds, which a device that nobody looks at does not have.
  await rm(join(device.sysroot, `ostree/repo/state/${commit}.commitpartial`), { force: true })
  await device.powerCut()
}

const fsck = () => device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo', '--quiet'])

async function offered(file: string) {
  await device.insert(await makeStick(lab, `STICK-${made}`, [join(lab, file)]))
  await atRest(device)
  return offerOf(device, file)
}

async function withHole(file: string) {
  await makeHole()
  await device.boot()
  return offered(file)
}

async function isInstalled(offer: OfferInfo) {
  const job = await install(device, { id: offer.id })
  expect(job.state, job.text).toBe('reboot')
  expect(await order(device)).toBe('2.0 pending, 1.0 booted')
}

async function isMended(offer: OfferInfo) {
  await isInstalled(offer)
  expect(await faults(device)).toEqual([])
  expect((await restart(device)).job?.state).toBe('done')
  expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
}

test('what is missing is read from a package of objects, and nothing else', async () => {
  const offer = await withHole('objects.superblock')
  expect(offer.plan).toMatchObject({ way: 'objects', members: 1 })
  await isMended(offer)
})

test('a delta alone mends it too', async () => {
  const offer = await withHole('delta.superblock')
  expect(offer.plan).toMatchObject({ way: 'delta' })
  await isMended(offer)
})

test('where /sysroot is mounted read-only', async () => {
  await makeHole()
  // ostree remounts the file system itself, for which it must be one of the device's own.
  await writeFile(join(device.folder, 'disk'), '200m')
  await device.boot({ service: false })
  await device.exec(['mount', '-o', 'remount,bind,ro', '/sysroot'])
  await expect(device.exec(['touch', '/sysroot/ostree/repo/state/x'])).rejects.toThrow(/Read-only/)
  await device.service.start()
  await isInstalled(await offered('objects.superblock'))
  await fsck()
})
