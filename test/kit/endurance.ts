/** A sample device that is set back to the factory for each trial, driven through an update however often it is interrupted, and examined. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { listIfThere } from '../../src/base/files.ts'
import { run } from '../../src/base/run.ts'
import { isUnreachable } from '../../src/control/protocol.ts'
import { parseStatus } from '../../src/ostree/status.ts'
import type { HistoryEntry, JobInfo, Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from './device.ts'
import { makeSample, SAMPLE, type Sample } from './sample.ts'
import { makeStick, type Stick } from './stick.ts'

export interface Endurance {
  sample: Sample
  device: Device
  stick: Stick
  /** the offer's id: SHA-256 of the manifest */
  offer: string
  /** cut the power and set the device's disk back to release 1.0 */
  reset(): Promise<void>
}

/** @param folder short: the device's control socket lies in it */
export async function makeEndurance(folder: string): Promise<Endurance> {
  const sample = await makeSample(folder)
  const { device } = sample
  const factory = join(folder, 'factory')
  await run(['cp', '-a', device.sysroot, factory])
  const stick = await makeStick(folder, 'STICK', [sample.package])
  const { stdout } = await run(['tar', 'xOf', sample.package, 'manifest.json'])
  const { stdout: sum } = await run(['sha256sum'], { input: stdout })
  return {
    sample,
    device,
    stick,
    offer: sum.slice(0, 64),
    async reset() {
      await device.powerCut()
      await rm(device.sysroot, { recursive: true, force: true })
      await run(['cp', '-a', factory, device.sysroot])
    },
  }
}

/** The service's own folder, as the host sees it. */
export const stateFolder = (device: Device) => join(device.sysroot, 'ostree/deploy', SAMPLE.os, 'var/lib/superblock')

/** What the journal says: `installing/stage`, `reboot`…; `paused` for an installation that is. */
export async function journalled(device: Device): Promise<string> {
  const text = await readFile(join(stateFolder(device), 'state.json'), 'utf8').catch(() => '')
  if (text === '') return 'none'
  const { state } = JSON.parse(text) as { state: { at: string; step?: string; paused?: unknown } }
  if (state.paused) return 'paused'
  return state.step ? `${state.at}/${state.step}` : state.at
}

/** Resolves within milliseconds of when the journal first says so; a journal that is beyond it already counts too. */
export async function whenJournalled(device: Device, places: readonly string[], seconds = 60): Promise<string> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(1)) {
    const place = await journalled(device)
    if (places.includes(place)) return place
  }
  throw new Error(`cannot find ${places} in the journal within ${seconds} s: it says ${await journalled(device)}`)
}

/** Ask for the installation as soon as the package is offered. */
export async function begin({ device, offer }: Endurance): Promise<void> {
  await device.waitFor(({ offers }) => offers.some(one => one.id === offer && one.verdict.fits), 'the package')
  await device.client.install({ id: offer })
}

const OVER: readonly JobInfo['state'][] = ['done', 'fell-back', 'failed', 'cancelled']
export const isOver = ({ job }: Snapshot) => job === null || OVER.includes(job.state)

/** Play the operator until the job is over: put the stick in when asked for it, reboot when asked to. */
export async function finish({ device, stick }: Endurance): Promise<Snapshot> {
  for (;;) {
    const snapshot = await device.waitFor(
      one => isOver(one) || one.job?.state === 'reboot' || one.job?.state === 'paused',
      'the end of the job',
      60,
    )
    if (isOver(snapshot)) return snapshot
    if (snapshot.job?.state === 'paused') {
      if (!/Put the stick back/.test(snapshot.job.text))
        throw new Error(`the pause is not explained: ${snapshot.job.text}`)
      await device.insert(stick)
      await device.waitFor(({ job }) => job?.state !== 'paused', 'the installation going on')
    } else await reboot(device)
  }
}

export async function reboot(device: Device, options?: { service: boolean }): Promise<void> {
  const off = device.rebooted()
  // The service may be gone before it has answered.
  await device.client.reboot().catch(error => {
    if (!isUnreachable(error)) throw error
  })
  await off
  await device.boot(options)
}

/** Whatever an interruption left behind that should not be there, or does not agree; nothing where all is well. */
export async function faults(device: Device): Promise<string[]> {
  const found: string[] = []
  const before = await leftovers(device)
  if (before.length > 0) {
    // What the running service is writing has such a name too, for a moment.
    await sleep(300)
    const still = await leftovers(device)
    found.push(...before.filter(path => still.includes(path)).map(path => `${path} was left`))
  }
  await device
    .exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    .catch(error => found.push(`fsck: ${(error as Error).message}`))

  const { stdout } = await device.exec(['ostree', 'admin', 'status'])
  const snapshot = await device.client.status()
  const brief = (
    list: readonly { version: string; commit: string; serial: number; booted: boolean; pending: boolean }[],
  ) => list.map(one => `${one.version} ${one.commit}.${one.serial} ${one.booted} ${one.pending}`).join(', ')
  const [ostree, service] = [
    brief(parseStatus(stdout, { version: () => undefined, isThere: () => true })),
    brief(snapshot.deployments),
  ]
  if (ostree !== service) found.push(`ostree says ${ostree}; the service says ${service}`)
  const folder = join(device.sysroot, 'ostree/deploy', SAMPLE.os, 'deploy')
  const there = (await readdir(folder)).filter(name => !name.endsWith('.origin')).sort()
  const known = snapshot.deployments.map(one => `${one.commit}.${one.serial}`).sort()
  if (there.join() !== known.join()) found.push(`the deployments' folders are ${there}, known are ${known}`)

  const { entries, chain } = await device.client.history(true)
  if (!chain.ok) found.push(`the history is broken at line ${chain.brokenAt}`)
  found.push(...repeated(entries))
  return found
}

/** The account of a trial is there as long as the boot loader counts, and no longer. */
async function onTrial(device: Device): Promise<string[]> {
  const block = await readFile(join(device.sysroot, 'boot/grub/grubenv'), 'utf8')
  return block.includes('trial_id') ? ['trial.json'] : []
}

const STATE_FILES = ['boot-files.json', 'history.jsonl', 'inbox', 'reserve', 'staging', 'state.json', 'state.spare']

/** Files that are there and should not be. */
async function leftovers(device: Device): Promise<string[]> {
  const state = stateFolder(device)
  const repo = join(device.sysroot, 'ostree/repo')
  const belong: [string, string[]][] = [
    [state, [...STATE_FILES, ...(await onTrial(device))]],
    [join(state, 'staging'), []],
    [join(device.folder, 'shared/engine'), ['engine.lock', 'program.lock']],
    [join(repo, 'tmp'), ['cache']],
    [join(repo, 'state'), []],
  ]
  const found: string[] = []
  for (const [folder, names] of belong)
    for (const name of await listIfThere(folder)) if (!names.includes(name)) found.push(join(folder, name))
  return found
}

/** Events that are told twice of one job; a boot's own health is told of each boot. */
function repeated(entries: readonly HistoryEntry[]): string[] {
  const seen = new Set<string>()
  const twice: string[] = []
  for (const { event, job } of entries) {
    if (job === undefined) continue
    const key = `${event} of job ${job}`
    if (seen.has(key)) twice.push(`the history tells twice: ${key}`)
    seen.add(key)
  }
  return twice
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
