/**
 * Whatever dies whenever, the job ends at its target or the device is what it was: the service killed or stopped in every
 * step and at random moments, the power cut at random moments.
 *
 *   SUPERBLOCK_KILLS=100 npx vitest run --project system kill     the long run: so many kills, and 2 cuts for each 5 of them
 *   SUPERBLOCK_SEED=…                                             the same moments again
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { readEntries } from '../kit/bootloader.ts'
import {
  begin,
  type Endurance,
  faults,
  finish,
  isOver,
  journalled,
  makeEndurance,
  randomFrom,
  reboot,
  stateFolder,
  whenJournalled,
} from '../kit/endurance.ts'

const KILLS = Number(process.env.SUPERBLOCK_KILLS ?? 8)
const CUTS = Math.max(1, Math.round(process.env.SUPERBLOCK_KILLS ? KILLS * 0.4 : 5))
const SEED = Number(process.env.SUPERBLOCK_SEED ?? Math.floor(Math.random() * 1e9))
const INSTALL = ['admit', 'stage', 'import', 'arm', 'deploy', 'settle'].map(step => `installing/${step}`)

let lab: string
let bench: Endurance
/** milliseconds of an installation, and from the start of the service to the end of a trial */
let span: { install: number; trial: number }

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-kill-')
  bench = await makeEndurance(lab)
  await bench.reset()
  span = await measure()
}, 300_000)
afterAll(async () => {
  await bench.device.destroy()
  await rm(lab, { recursive: true, force: true })
})
beforeEach(() => bench.reset())

const booted = async () => (await bench.device.client.status()).deployments.find(one => one.booted)?.version

/** Until the next start of the device the service finds this script instead. */
async function insteadOfOstree(script: string) {
  const place = '/run/superblock-kit/bin/ostree'
  await bench.device.exec(['sh', '-c', 'cat >"$1"; chmod 755 "$1"', 'sh', place], { input: script })
}

async function on() {
  await bench.device.boot()
  await bench.device.insert(bench.stick)
}

async function measure() {
  const { device } = bench
  await on()
  await begin(bench)
  const from = Date.now()
  await whenJournalled(device, ['reboot'])
  const install = Date.now() - from
  await reboot(device, { service: false })
  const start = Date.now()
  await Promise.all([device.service.start(), whenJournalled(device, ['done'])])
  return { install, trial: Date.now() - start }
}

/** All is in order, the device runs 2.0, and it can still be told to go back. */
async function soundOn2() {
  const { device } = bench
  expect(await faults(device)).toEqual([])
  expect(await booted()).toBe('2.0')
  await device.client.rollback({ reason: 'to see that it can' })
  await device.waitFor(({ job }) => job?.kind === 'rollback' && job.state === 'reboot', 'the end of the rollback')
  expect((await device.client.status()).deployments[0]?.version).toBe('1.0')
  expect(await faults(device)).toEqual([])
}

/** Interrupt at the first sight of each place in turn, and let the service start again each time. */
async function interruptAt(places: readonly string[], signal: 'SIGKILL' | 'SIGTERM') {
  const seen: string[] = []
  for (const [at, place] of places.entries()) {
    // A step may be over before it is seen; the next one will do.
    const met = await whenJournalled(bench.device, places.slice(at))
    if (met !== place) continue
    seen.push(place)
    const from = Date.now()
    await bench.device.service.kill(signal)
    if (signal === 'SIGTERM') expect(Date.now() - from, `ms to stop in ${place}`).toBeLessThan(15_000)
    // As a kill within the replacement of a file leaves it.
    await writeFile(join(stateFolder(bench.device), '.0123456789abcdef.tmp'), '{')
    await bench.device.service.start()
  }
  return seen
}

test('an ostree command outlives the service, and the next life of the service waits for it', async () => {
  const { device } = bench
  await on()
  const calls = async () => (await device.exec(['cat', '/var/calls'])).stdout.split('\n').filter(Boolean)
  const slow = `#!/bin/sh
case "$*" in *pull-local*) ;; *) exec /usr/bin/ostree "$@" ;; esac
echo begin >>/var/calls
sleep 3
/usr/bin/ostree "$@"
echo "end $?" >>/var/calls
`
  await device.exec(['touch', '/var/calls'])
  await insteadOfOstree(slow)
  await begin(bench)
  await expect.poll(calls, { timeout: 20_000 }).toEqual(['begin'])
  await device.service.kill('SIGKILL')
  expect(await calls()).toEqual(['begin'])
  await device.service.start()
  expect(await calls()).toEqual(['begin', 'end 0'])
  await whenJournalled(device, ['reboot'])
  expect(await faults(device)).toEqual([])
  expect((await finish(bench)).job?.state).toBe('done')
  expect(await calls()).toEqual(['begin', 'end 0'])
  expect(await faults(device)).toEqual([])
})

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`${signal} in every step of an installation, of its trial, and of a rollback`, async () => {
    const { device } = bench
    await on()
    await begin(bench)
    const seen = await interruptAt([...INSTALL, 'reboot'], signal)
    expect(await faults(device)).toEqual([])
    const starting = reboot(device).catch(error => error)
    seen.push(await whenJournalled(device, ['trying', 'done']))
    await device.service.kill(signal).catch(() => {})
    const started = await starting
    await device.service.start()
    expect((await finish(bench)).job?.state, String(started)).toBe('done')
    expect(await faults(device)).toEqual([])
    expect(await booted()).toBe('2.0')

    await device.client.rollback({ reason: 'the other way' })
    seen.push(...(await interruptAt(['rolling-back', 'reboot'], signal)))
    expect((await finish(bench)).job?.state).toBe('done')
    expect(await faults(device)).toEqual([])
    expect(await booted()).toBe('1.0')
    console.log(`${signal} met: ${seen.join(', ')}`)
    expect(seen.length).toBeGreaterThanOrEqual(7)
  })

  test(`${signal} while an installation is taken back`, async () => {
    const { device } = bench
    await on()
    await begin(bench)
    await whenJournalled(device, ['reboot'])
    await device.client.cancel()
    const steps = ['settle', 'deploy', 'arm', 'import', 'stage', 'admit'].map(step => `undoing/${step}`)
    const seen = await interruptAt([...steps, 'cancelled'], signal)
    console.log(`${signal} met: ${seen.join(', ')}`)
    expect(seen.length).toBeGreaterThanOrEqual(3)
    expect((await finish(bench)).job?.state).toBe('cancelled')
    expect(await faults(device)).toEqual([])
    expect((await device.client.status()).deployments.map(one => one.version)).toEqual(['1.0'])
    await begin(bench)
    expect((await finish(bench)).job?.state).toBe('done')
    expect(await faults(device)).toEqual([])
    expect(await booted()).toBe('2.0')
  })
}

/** Stop the service in the moment when the boot order has changed, before it can write that down, and cut the power. */
async function cutWhenSwitched(place: string) {
  const { device } = bench
  const first = async () => (await readEntries(device.sysroot).catch(() => []))[0]?.id
  const before = await first()
  for (const end = Date.now() + 30_000; ; ) {
    const now = await first()
    if (now !== undefined && now !== before) break
    if (Date.now() > end) throw new Error('the boot order did not change')
  }
  process.kill((await device.service.pid()) ?? 0, 'SIGSTOP')
  expect(await journalled(device)).toBe(place)
  // What ostree has begun it ends.
  await sleep(1000)
  await device.powerCut()
  await device.boot()
}

const versions = async () => (await bench.device.client.status()).deployments.map(one => one.version)

test('a power cut between the new boot order and the journal: the new release is tried, and deployed once', async () => {
  const { device } = bench
  await on()
  await begin(bench)
  await cutWhenSwitched('installing/deploy')
  const { job } = await device.waitFor(isOver, 'the end of the trial')
  expect(job?.state, job?.text).toBe('done')
  expect(await versions()).toEqual(['2.0', '1.0'])
  expect((await device.client.history(true)).entries.map(one => one.event)).toEqual(['good', 'installed', 'good'])
  await soundOn2()
})

test('a power cut between the old boot order and the journal: the rollback is complete', async () => {
  const { device } = bench
  await on()
  await begin(bench)
  await finish(bench)
  await device.client.rollback({ reason: 'to see it cut' })
  await cutWhenSwitched('rolling-back')
  const { job } = await device.waitFor(isOver, 'the end of the rollback')
  expect(job?.state, job?.text).toBe('done')
  expect(await booted()).toBe('1.0')
  expect(await versions()).toEqual(['1.0', '2.0'])
  expect(await faults(device)).toEqual([])
})

test('a power cut in a cancel that came too late: the new release starts, and is left again', async () => {
  const { device } = bench
  await on()
  await begin(bench)
  await whenJournalled(device, ['reboot'])
  await insteadOfOstree('#!/bin/sh\ncase "$*" in *undeploy*) sleep 10 ;; esac\nexec /usr/bin/ostree "$@"\n')
  await device.client.cancel()
  await whenJournalled(device, ['undoing/settle', 'undoing/deploy'])
  await device.powerCut()
  await device.boot()
  const { job } = await device.waitFor(one => one.job?.state === 'reboot', 'the way back')
  expect(job?.code).toBe('cancelled')
  expect(await booted()).toBe('2.0')
  expect((await finish(bench)).job).toMatchObject({ state: 'fell-back', code: 'cancelled' })
  expect(await booted()).toBe('1.0')
  expect(await faults(device)).toEqual([])
})

interface Trial {
  what: string
  /** ms after the installation was asked for, or after the start of the new release's service */
  after: number
  phase: 'install' | 'trial'
  stick: 'stays' | 'goes'
}

/** The moments that a seed stands for. */
function trials(what: string, count: number, seed: number): Trial[] {
  const random = randomFrom(seed)
  return Array.from({ length: count }, () => {
    const phase = random() < 0.8 ? 'install' : 'trial'
    return { what, phase, after: Math.round(random() * span[phase]), stick: random() < 0.6 ? 'stays' : 'goes' }
  })
}

/** Bring the device to the moment. */
async function until({ phase, after }: Trial) {
  const { device } = bench
  await on()
  await begin(bench)
  if (phase === 'trial') {
    await whenJournalled(device, ['reboot'])
    await reboot(device, { service: false })
    void device.service.start().catch(() => {}) // it may not live to answer
    while ((await device.service.pid()) === undefined) await sleep(5)
  }
  await sleep(after)
  return journalled(device)
}

async function endsWell(trial: Trial, met: string): Promise<string> {
  const { device, stick } = bench
  let { job } = await finish(bench)
  const first = job?.state ?? 'none'
  if (job === null) {
    // It died before it had written down what was asked of it: nothing has happened.
    expect(await booted()).toBe('1.0')
    expect(await faults(device)).toEqual([])
    if (trial.stick === 'goes' || trial.what === 'cut') await device.insert(stick).catch(() => {})
    await begin(bench)
    job = (await finish(bench)).job
  }
  expect(job?.state, job?.text).toBe('done')
  await soundOn2()
  return `${trial.what} in the ${trial.phase} at ${trial.after} ms, stick ${trial.stick}: ${met} → ${first}`
}

async function each(all: readonly Trial[], act: (trial: Trial) => Promise<string>) {
  console.log(`${all[0]?.what}: seed ${SEED}, moments within ${span.install} and ${span.trial} ms`)
  const failed: string[] = []
  for (const [at, trial] of all.entries()) {
    if (at > 0) await bench.reset()
    try {
      console.log(`${at + 1} ${await act(trial)}`)
    } catch (error) {
      failed.push(`${at + 1} ${JSON.stringify(trial)}: ${(error as Error).message}`)
      console.log(`${at + 1} ${trial.what} in the ${trial.phase} at ${trial.after} ms: FAILED`)
    }
  }
  expect(failed, `SUPERBLOCK_SEED=${SEED}`).toEqual([])
}

test(
  'the service is killed at random moments',
  () =>
    each(trials('kill', KILLS, SEED), async trial => {
      const { device, stick } = bench
      const met = await until(trial)
      await device.service.kill('SIGKILL')
      if (trial.stick === 'goes' && trial.phase === 'install') await device.remove(stick)
      await device.service.start()
      return endsWell(trial, met)
    }),
  KILLS * 60_000,
)

test(
  'the power is cut at random moments',
  () =>
    each(trials('cut', CUTS, SEED + 1), async trial => {
      const { device, stick } = bench
      const met = await until(trial)
      await device.powerCut()
      await device.boot({ service: false })
      if (trial.stick === 'stays') await device.insert(stick)
      await device.service.start()
      return endsWell(trial, met)
    }),
  CUTS * 60_000,
)
