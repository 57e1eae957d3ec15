/**
 * What the service needs of the device's memory: at rest, and at most while it installs a large package; and that it shows
 * signs of life while ostree works.
 *
 *   SUPERBLOCK_MEGABYTES=500 npx vitest run --project system memory     as large as the requirement says
 *   SUPERBLOCK_BIG=1 …                                                  also a package beyond 4 GiB; takes 25 GB of disk
 */
import { mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OfferInfo } from '../../src/update/snapshot.ts'
import { type Device, snapshots } from '../kit/device.ts'
import { isOver } from '../kit/endurance.ts'
import { makeLarge } from '../kit/large.ts'
import { makeSample, type Sample } from '../kit/sample.ts'
import { makeStick } from '../kit/stick.ts'

const MB = 1e6
const MEGABYTES = Number(process.env.SUPERBLOCK_MEGABYTES ?? 120)
const REST = 80 * MB
/** The requirement is 130 MB for 500 MB; what is needed does not depend on the size. */
const PEAK = 120 * MB

let lab: string
let sample: Sample
let device: Device

beforeAll(async () => {
  lab = await mkdtemp('/var/tmp/sb-mem-')
  sample = await makeSample(lab)
  device = sample.device
}, 300_000)
afterAll(async () => {
  await device.destroy()
  await rm(lab, { recursive: true, force: true })
})

interface Course {
  /** seconds that each step took */
  seconds: Record<string, number>
  /** different heartbeats seen in each step */
  beats: Record<string, number>
}

/** Follow the job to its reboot. */
async function follow(limit: number): Promise<Course> {
  const beats: Record<string, Set<string>> = {}
  const begun: Record<string, number> = {}
  const seconds: Record<string, number> = {}
  let last: string | undefined
  for await (const { job } of snapshots(device.client, AbortSignal.timeout(limit * 1000))) {
    const step = job?.progress?.step
    if (step !== last && last !== undefined) seconds[last] = (performance.now() - (begun[last] ?? 0)) / 1000
    if (step !== last && step !== undefined) begun[step] = performance.now()
    last = step
    if (step && job?.progress) beats[step] = (beats[step] ?? new Set()).add(job.progress.heartbeat)
    if (job?.state === 'reboot') {
      const counted = Object.entries(beats).map(([name, set]) => [name, set.size] as const)
      return { seconds, beats: Object.fromEntries(counted) }
    }
    if (job && ['failed', 'paused', 'cancelled'].includes(job.state)) throw new Error(job.text)
  }
  throw new Error(`cannot see the end of the installation within ${limit} s`)
}

async function installLarge(version: string, files: { count: number; size: number }[], limit: number) {
  const file = await makeLarge(sample, lab, { version, files })
  const { size } = await stat(file)
  const stick = await makeStick(lab, `STICK-${version}`)
  await rename(file, join(stick.folder, basename(file)))
  await device.boot()
  await device.insert(stick)
  const is = (one: OfferInfo) => one.release?.version === version && one.verdict.fits
  const { offers } = await device.waitFor(now => isOver(now) && now.offers.some(is), 'the package', 60)
  const offer = offers.find(is)
  // V8 looks for garbage some seconds after it has become quiet.
  await expect.poll(async () => (await device.service.memory()).now, { timeout: 20_000 }).toBeLessThan(REST)
  const rest = (await device.service.memory()).now
  const following = follow(limit)
  await device.client.install({ id: offer?.id ?? '' })
  const { seconds, beats } = await following
  const { peak, now } = await device.service.memory()
  const { job } = await device.client.status()
  const megabytes = (bytes: number) => Math.round(bytes / MB)
  console.log(
    [
      `package ${megabytes(size)} MB, ${job?.counters.membersRead} members read`,
      `memory: at rest ${megabytes(rest)} MB, peak ${megabytes(peak)} MB, after ${megabytes(now)} MB`,
      `seconds: ${JSON.stringify(seconds)}, heartbeats: ${JSON.stringify(beats)}`,
      `staged at ${megabytes((job?.counters.bytesRead ?? 0) / (seconds.stage ?? 1))} MB/s`,
    ].join('\n'),
  )
  return { size, peak, seconds, beats, path: join('/run/superblock/media', stick.name, basename(file)) }
}

test('memory stays bounded while a large package is installed, and the heartbeat tells that ostree works', async () => {
  // Four fifths in files that are streamed, one in files that are read many at a time.
  const large = { count: Math.max(1, Math.round((MEGABYTES * 0.8) / 20)), size: 20 * MB }
  const small = { count: 2000, size: Math.round((MEGABYTES * 0.2 * MB) / 2000) }
  const { size, peak, seconds, beats } = await installLarge('3.0', [large, small], 600)
  expect(size).toBeGreaterThan(MEGABYTES * MB * 0.95)
  expect(peak).toBeLessThan(PEAK)
  // A beat twice a second; half of them may be missed on a busy machine.
  expect(beats.import).toBeGreaterThan(seconds.import ?? 0)
}, 900_000)

test.runIf(process.env.SUPERBLOCK_BIG)(
  'a package of more than 4 GiB, most of it one member of more than 4 GiB',
  async () => {
    await device.powerCut()
    const files = [
      { count: 1, size: 2 ** 32 + 300 * MB },
      { count: 3, size: 50 * MB },
    ]
    const { size, peak, path } = await installLarge('9.0', files, 3600)
    expect(size).toBeGreaterThan(2 ** 32)
    expect(peak).toBeLessThan(PEAK)
    const from = performance.now()
    const { stdout } = await device.cli(['verify', path])
    console.log(`verified in ${Math.round((performance.now() - from) / 1000)} s: ${stdout.trim()}`)
    await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    await device.client.reboot().catch(() => {})
    await device.rebooted()
    await device.boot()
    const { job } = await device.waitFor(one => one.job?.state === 'done', 'the end of the trial', 120)
    expect(job?.to.version).toBe('9.0')
  },
  7_200_000,
)
