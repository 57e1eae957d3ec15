/**
 * Sticks that are pulled, break or hang while they are read: the installation waits, says so, and goes on by itself.
 *
 *   SUPERBLOCK_PULLS=50 npx vitest run --project system media-pull     the long run
 *   SUPERBLOCK_SEED=…                                                  the same moments again
 */
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import type { JobInfo, Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { randomFrom } from '../kit/endurance.ts'
import { type Fitting, makeFitting } from '../kit/fitting.ts'
import { type Image, KINDS, type Kind, lacking, layOut, type Mounted, makeImage, plug } from '../kit/mounts.ts'
import { ended, order } from '../kit/operate.ts'

const PULLS = Number(process.env.SUPERBLOCK_PULLS ?? 8)
const SEED = Number(process.env.SUPERBLOCK_SEED ?? Math.floor(Math.random() * 1e9))
const why = await lacking()

let fitting: Fitting
let lab: string
let device: Device
let five: PackageResult
const images = {} as Record<Kind, Image>

describe.skipIf(why)(`sticks in trouble${why ? ` (skipped: ${why})` : ''}`, () => {
  beforeAll(async () => {
    fitting = await makeFitting('5.0', 'five', { ballast: 32 * 2 ** 20 })
    ;({ folder: lab, device, offered: five } = fitting)
    const folder = await layOut(join(lab, 'one'), { 'five.superblock': five.file })
    for (const kind of KINDS) images[kind] = await makeImage(kind, join(lab, `${kind}.img`), folder, 80)
  })
  afterAll(() => fitting?.end())

  const isOffered = ({ offers }: Snapshot) => offers.some(offer => offer.id === five.id && offer.verdict.fits)
  const empty = () => device.waitFor(({ media }) => media.every(one => one.kind === 'inbox'), 'no stick')

  async function insert(kind: Kind, name: string = kind): Promise<Mounted> {
    const mounted = await plug(device, images[kind], name)
    await device.waitFor(isOffered, 'the package')
    return mounted
  }

  /** Call the installation off, so that the next one has as much to do. */
  async function takeBack() {
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
  }

  test(
    'one that is pulled at any moment pauses the installation, which continues by itself',
    async () => {
      const random = randomFrom(SEED)
      console.log(`seed ${SEED}`)
      const first = await insert('exfat')
      const from = performance.now()
      await device.client.install({ id: five.id })
      await device.waitFor(({ job }) => job?.stick === 'remove', 'that the stick may go')
      const span = performance.now() - from
      expect((await ended(device)).state).toBe('reboot')
      await first.remove({ lazy: true })
      await empty()
      await takeBack()
      let paused = 0
      for (let trial = 0; trial < PULLS; trial++) {
        const kind = KINDS[trial % KINDS.length] as Kind
        const after = Math.round(random() * span)
        const stick = await insert(kind)
        await device.client.install({ id: five.id })
        await sleep(after)
        if (kind !== 'ext4') await stick.kill()
        await stick.remove({ lazy: true })
        const { job } = await device.waitFor(
          ({ job }) => job?.state === 'paused' || job?.state === 'reboot',
          'a pause, or that it is not needed any more',
        )
        let back = 'not needed'
        if (job?.state === 'paused') {
          paused++
          const what = 'Put the stick back, or another with the same package; the installation continues by itself.'
          expect([job.code, job.text, job.stick]).toEqual(['media-gone', `The stick was removed. ${what}`, 'keep'])
          back = ['the same stick', 'another stick', 'the same after a power cut'][Math.floor(random() * 3)] as string
          if (back.includes('power')) {
            await device.powerCut()
            await device.boot()
            await device.waitFor(({ job }) => job?.state === 'paused', 'the pause after the power cut')
          } else await empty()
          const other = KINDS[(trial + 1) % KINDS.length] as Kind
          const again = back.includes('another') ? await insert(other, 'OTHER') : await insert(kind)
          expect((await ended(device)).state).toBe('reboot')
          await again.remove({ lazy: true })
        }
        console.log(`${trial + 1} ${kind} pulled after ${after} of ${Math.round(span)} ms: ${back}`)
        expect(await order(device)).toBe('5.0 pending, 1.0 booted')
        await empty()
        await takeBack()
      }
      await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
      expect(paused).toBeGreaterThanOrEqual(PULLS / 4)
    },
    PULLS * 60_000 + 60_000,
  )

  test('a place that cannot be read is named, tried once more, and left to another stick', async () => {
    const folder = await layOut(join(lab, 'torn'), { 'five.superblock': five.file })
    const image = await makeImage('ext4', join(lab, 'torn.img'), folder, 80)
    const stick = await plug(device, image, 'TORN')
    await device.waitFor(isOffered, 'the package')
    // From a place in the middle of the package on, the loop device has nothing any more: the kernel answers EIO.
    const { stdout } = await run(['debugfs', '-R', 'blocks five.superblock', image.file])
    const blocks = stdout.trim().split(' ').map(Number)
    let last = 0
    const place = blocks.findIndex((block, at) => {
      const isLast = block > last
      last = Math.max(last, block)
      return isLast && at >= 4000
    })
    await truncate(image.file, (blocks[place] as number) * 4096)
    await device.client.install({ id: five.id })
    const { job } = await device.waitFor(({ job }) => job?.state === 'paused', 'the pause')
    expect(job?.code).toBe('media-error')
    const [, at] =
      /^cannot read \/run\/superblock\/media\/TORN\/five\.superblock at byte (\d+): EIO: .*; copy it to another stick\. Put the stick back, or another with the same package; the installation continues by itself\.$/.exec(
        job?.text ?? '',
      ) ?? []
    // Where a read began or ended, within one member of the place itself.
    expect(Math.abs(Number(at) - place * 4096)).toBeLessThan(2 ** 20)
    expect((await device.log()).match(/"code":"media-error","step":"stage"/g)).toHaveLength(2)
    // What was read before is there; the same bad stick is not tried again and again.
    const { counters } = job as JobInfo
    expect(counters.bytesRead).toBeGreaterThan(8 * 2 ** 20)
    await sleep(1500)
    expect((await device.client.status()).job?.state).toBe('paused')
    await stick.remove({ lazy: true })
    await device.waitFor(({ job }) => job?.code === 'media-gone', 'that the stick is out')
    const other = await insert('vfat')
    const done = await ended(device)
    expect([done.state, done.medium]).toEqual(['reboot', '/run/superblock/media/vfat'])
    await other.remove({ lazy: true })
    await empty()
    await takeBack()
  })

  test('once everything is copied it does not matter that the stick is gone', async () => {
    const stick = await insert('ntfs')
    await device.client.install({ id: five.id })
    const { job } = await device.waitFor(({ job }) => job?.stick === 'remove', 'that the stick may go')
    expect(job?.text).toContain('The stick may be removed now.')
    await stick.kill()
    await stick.remove({ lazy: true })
    expect((await ended(device)).state).toBe('reboot')
    await empty()
    await takeBack()
  })
})
