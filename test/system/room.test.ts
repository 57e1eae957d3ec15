/** What fits is installed, and what is refused for want of room names it: on disks of every size around what a release takes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import type { Device } from '../kit/device.ts'
import { atRest, install, offerOf } from '../kit/operate.ts'
import { makeProduct, type Product } from '../kit/releases.ts'
import { makeStick } from '../kit/stick.ts'

const MB = 2 ** 20
let lab: string
let product: Product
let device: Device
let used = { mebibytes: 0, inodes: 0 }

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-room-')
  product = await makeProduct(lab)
  const many: Record<string, string> = {}
  for (let i = 0; i < 1500; i++) many[`usr/share/small/${i % 40}/${i}`] = `file ${i}\n`
  for (let i = 0; i < 200; i++) many[`usr/etc/many/${i % 20}/${i}.conf`] = `setting ${i}\n`
  await product.release('2.0', { files: many, ballast: 4 * MB })
  await product.package('2.0')
  device = await product.device('d')
  const { stdout } = await run(['sh', '-c', 'du -sm "$1"; find "$1" | wc -l', 'sh', device.sysroot])
  const [mebibytes = 0, inodes = 0] = stdout.split('\n').map(line => Number.parseInt(line, 10))
  used = { mebibytes, inodes }
})
afterAll(async () => {
  await device?.destroy()
  await rm(lab, { recursive: true, force: true })
})

/** The device starts with a disk like this, with the release on a stick in it. */
async function offered(disk: string, before = async () => {}) {
  await device.powerCut()
  await writeFile(join(device.folder, 'disk'), disk)
  await device.boot()
  await before()
  await atRest(device)
  await device.insert(await makeStick(lab, 'STICK', [join(lab, 'acme-2.0.superblock')]))
  return offerOf(device, 'acme-2.0.superblock')
}

/** Fits, and then installs; or is refused with this code. */
async function outcome(disk: string, before?: () => Promise<void>): Promise<string> {
  const offer = await offered(disk, before)
  if (!offer.verdict.fits) return offer.verdict.code
  const job = await install(device, { id: offer.id })
  return job.state === 'reboot' ? 'installed' : `fits, and then ${job.state}: ${job.code} ${job.text}`
}

/** The outcomes of growing disks: refused up to one of them, installed from there on. */
async function series(sizes: readonly number[], disk: (size: number) => string, code: string) {
  const outcomes: string[] = []
  for (const size of sizes) outcomes.push(await outcome(disk(size)))
  const first = outcomes.indexOf('installed')
  expect(first).toBeGreaterThan(0)
  expect(outcomes).toEqual(sizes.map((_, at) => (at < first ? code : 'installed')))
}

const from = (least: number, step: number, count: number) => Array.from({ length: count }, (_, at) => least + at * step)

test('bytes: no size of the disk at which a release fits and then does not', () =>
  series(from(used.mebibytes + 2, 2, 14), size => `${size}m`, 'no-space'))

test('inodes: likewise', () =>
  series(from(used.inodes + 3000, 500, 12), size => `${used.mebibytes + 100}m,nr_inodes=${size}`, 'no-inodes'))

describe("the device's own /etc", () => {
  const fill = async (script: string) => void (await device.exec(['sh', '-euc', script]))

  test('counts with its bytes', async () => {
    const make = () => fill('mkdir /etc/site; head -c 30000000 /dev/urandom >/etc/site/map')
    const outcomes: string[] = []
    for (const more of [30 + 12, 2 * 30 + 14, 2 * 30 + 30])
      outcomes.push(await outcome(`${used.mebibytes + more}m`, make))
    expect(outcomes).toEqual(['no-space', expect.stringMatching(/^(no-space|installed)$/), 'installed'])
  })
  test('and with its files', async () => {
    const make = () => fill('mkdir /etc/site; cd /etc/site; for i in $(seq 2000); do : >$i; done')
    const disk = (inodes: number) => `${used.mebibytes + 100}m,nr_inodes=${used.inodes + inodes}`
    expect(await outcome(disk(2000 + 6500), make)).toBe('no-inodes')
    expect(await outcome(disk(2 * 2000 + 7500), make)).toBe('installed')
  })
})
