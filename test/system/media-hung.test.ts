/** A stick that stops answering, whatever is being asked of it: it alone waits; the service, its socket and the other sticks go on. */
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { PackageResult } from '../../src/builder/package.ts'
import type { MediumInfo } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { type Image, type Kind, lacking, layOut, type Mounted, makeImage, plug } from '../kit/mounts.ts'
import { atRest, cli, ended, verdictOf } from '../kit/operate.ts'
import { makeProduct, type Product } from '../kit/releases.ts'

const why = await lacking()

let lab: string
let product: Product
let device: Device
let five: PackageResult
let six: PackageResult
const large = {} as Record<Kind, Image>
let small: Image
const inserted: Mounted[] = []

describe.skipIf(why)(`sticks that hang${why ? ` (skipped: ${why})` : ''}`, () => {
  beforeAll(async () => {
    lab = await mkdtemp('/tmp/sb-hung-')
    product = await makeProduct(lab)
    await product.release('6.0')
    await product.release('5.0', { ballast: 32 * 2 ** 20 })
    six = await product.package('6.0', { name: 'six.superblock' })
    five = await product.package('5.0', { name: 'five.superblock' })
    const folder = await layOut(join(lab, 'five'), { 'five.superblock': five.file })
    for (const kind of ['vfat', 'ntfs'] as const) large[kind] = await makeImage(kind, join(lab, kind), folder, 80)
    small = await makeImage(
      'ext4',
      join(lab, 'ext4'),
      await layOut(join(lab, 'six'), { 'six.superblock': six.file }),
      16,
    )
    device = await product.device('d')
    await device.boot()
    await atRest(device)
  })
  afterEach(async () => {
    for (const one of inserted.splice(0)) {
      if (one.daemon) one.go()
      await one.remove({ lazy: true }).catch(() => {})
    }
    await device.waitFor(({ media }) => media.every(one => one.kind === 'inbox'), 'no stick')
  })
  afterAll(async () => {
    await device?.destroy()
    await rm(lab, { recursive: true, force: true })
  })

  async function insert(image: Image, name: string): Promise<Mounted> {
    const mounted = await plug(device, image, name)
    inserted.push(mounted)
    return mounted
  }
  const pathOf = (name: string) => `/run/superblock/media/${name}`
  const medium = (name: string, is: (one: MediumInfo) => boolean, what: string) =>
    device.waitFor(({ media }) => media.some(one => one.path === pathOf(name) && is(one)), `${name} ${what}`)
  const silent = (name: string) => medium(name, one => one.code === 'not-answering', 'as not answering')
  const fits = (id: string) =>
    device.waitFor(({ offers }) => offers.some(one => one.id === id && one.verdict.fits), 'the package')

  /** How long the service takes to say how it is, in milliseconds; sorted. */
  async function answers(count = 40): Promise<number[]> {
    const took: number[] = []
    for (let i = 0; i < count; i++) {
      const from = performance.now()
      await device.client.status()
      took.push(performance.now() - from)
      await sleep(10)
    }
    return took.sort((a, b) => a - b)
  }

  /** Begin to install 5.0 and stop the stick in the middle of copying. */
  async function hangWhileCopied(name: string, kind: Kind): Promise<Mounted> {
    const stick = await insert(large[kind], name)
    await fits(five.id)
    await device.client.install({ id: five.id })
    await device.waitFor(
      ({ job }) => job?.progress?.step === 'stage' && job.progress.bytesDone > 0,
      'the beginning of copying',
    )
    stick.hang()
    return stick
  }

  async function takeBack() {
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
  }

  test('while it is copied from: it is said, everything else works, and it goes on by itself', async () => {
    const stick = await hangWhileCopied('HUNG', 'vfat')
    const from = performance.now()
    const took = await answers()
    const { job } = await silent('HUNG')
    console.log(
      `said after ${((performance.now() - from) / 1000).toFixed(1)} s; status took ${took[20]?.toFixed(1)} ms, at most ${took.at(-1)?.toFixed(1)} ms`,
    )
    expect([job?.state, job?.code, job?.cancellable]).toEqual(['running', 'not-answering', true])
    expect(job?.text).toBe(
      'The stick is not answering. Wait, or take it out and put it back, or another with the same package; the installation continues by itself.',
    )
    const shown = await cli(device, 'status')
    expect(shown.stdout).toContain('The stick is not answering. Wait, or take it out')
    // A second stick is found as if nothing were.
    await insert(small, 'OTHER')
    expect(await verdictOf(device, 'six.superblock')).toBe('fits')
    const listed = await cli(device, 'list')
    expect(listed.stdout).toContain('HUNG: it is not answering; wait, or take it out and put it back')
    stick.go()
    expect((await ended(device)).state).toBe('reboot')
    await medium('HUNG', one => one.state === 'ready' && one.code === undefined, 'as it was before')
    await takeBack()
    expect(took.at(-1)).toBeLessThan(2000)
  })

  test('while it is copied from: cancelling works at once', async () => {
    await hangWhileCopied('HUNG', 'ntfs')
    const from = performance.now()
    await takeBack()
    console.log(`cancelled after ${Math.round(performance.now() - from)} ms`)
  })

  test('while it is copied from: the same package on another stick takes over when it is taken out', async () => {
    const stick = await hangWhileCopied('HUNG', 'ntfs')
    const pid = (await device.service.pid()) as number
    await stick.remove({ lazy: true })
    await device.waitFor(({ job }) => job?.state === 'paused' && job.code === 'media-gone', 'the pause')
    await insert(large.vfat, 'SPARE')
    const job = await ended(device)
    expect([job.state, job.medium]).toEqual(['reboot', pathOf('SPARE')])
    // Its reader may hang in the kernel as long as the filesystem's process is there, and no longer.
    await stick.kill()
    await expect.poll(() => readersOf(pid, 'HUNG')).toEqual([])
    await takeBack()
  })

  test('a package on it that was refused before is asked for: that ends with a sentence', async () => {
    const stick = await insert(large.vfat, 'HUNG')
    await fits(five.id)
    stick.hang()
    const path = `${pathOf('HUNG')}/five.superblock`
    await expect(device.client.install({ path })).rejects.toMatchObject({ code: 'not-answering' })
    expect((await device.client.status()).job?.state).toBe('cancelled')
  })

  test('the service is stopped promptly, and started beside it', async () => {
    await hangWhileCopied('HUNG', 'vfat')
    const from = performance.now()
    expect(await device.service.kill('SIGTERM')).toBe(0)
    const took = performance.now() - from
    console.log(`stopped after ${Math.round(took)} ms`)
    expect(took).toBeLessThan(4000)
    await device.service.start()
    await insert(large.ntfs, 'SPARE')
    inserted[0]?.go()
    expect((await ended(device)).state).toBe('reboot')
    await takeBack()
  })

  test('nobody asks for its size, and sizes are known again when it answers', async () => {
    await insert(small, 'OTHER')
    await medium('OTHER', one => one.size !== undefined, 'with its size')
    const pid = (await device.service.pid()) as number
    const stick = await insert(large.vfat, 'HUNG')
    stick.hang()
    await silent('HUNG')
    const asking = async () => (await processes(pid)).filter(one => /^(\S*\/)?(sh|df|awk)\b|prober/.test(one.command))
    await expect.poll(asking).toEqual([])
    const { media } = await device.client.status()
    expect(media.find(one => one.path === pathOf('OTHER'))?.size).toBeGreaterThan(10e6)
    stick.go()
    await medium('HUNG', one => one.size !== undefined, 'with its size')
    // Nobody stays who has no more to do.
    await expect.poll(asking, { timeout: 10_000 }).toEqual([])
  })

  test('as it is put in: it is reported, and the package on another stick is installed', async () => {
    const stick = await insert(large.vfat, 'HUNG')
    stick.hang()
    await insert(small, 'OTHER')
    const { offers } = await fits(six.id)
    expect(offers.map(offer => offer.medium)).toEqual([pathOf('OTHER')])
    await device.client.install({ id: six.id })
    expect((await ended(device)).state).toBe('reboot')
    await silent('HUNG')
    await takeBack()
    stick.go()
    await device.waitFor(({ offers }) => offers.some(one => one.id === five.id), 'its package')
    await medium('HUNG', one => one.state === 'ready', 'as ready')
  })
})

/** Every process that lives in the mount namespace of another: the device's, as the host sees them. */
async function processes(pid: number): Promise<{ pid: string; command: string }[]> {
  const namespace = await readlink(`/proc/${pid}/ns/mnt`)
  const found: { pid: string; command: string }[] = []
  for (const one of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
    if ((await readlink(`/proc/${one}/ns/mnt`).catch(() => '')) !== namespace) continue
    const command = (await readFile(`/proc/${one}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')
    if (command !== '') found.push({ pid: one, command })
  }
  return found
}

const readersOf = async (pid: number, name: string) =>
  (await processes(pid)).filter(one => one.command.includes('reader.js') && one.command.includes(name))
