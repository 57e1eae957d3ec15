/** What an operator does with an emulated device, and what can be seen of it from outside: short forms for the system tests. */
import type { Dirent } from 'node:fs'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunResult } from '../../src/base/run.ts'
import type { InstallRequest, JobInfo, OfferInfo, Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from './device.ts'
import { PRODUCT } from './releases.ts'

/** The command line's answer, whatever its exit status. */
export const cli = (device: Device, ...argv: string[]): Promise<RunResult> =>
  device.cli(argv, { accept: [1, 2, 3, 4, 5, 6, 7, 130] })

const OVER: readonly JobInfo['state'][] = ['done', 'fell-back', 'failed', 'cancelled']

/** Install, and follow it to where it waits for the reboot or is over. */
export async function install(device: Device, request: InstallRequest): Promise<JobInfo> {
  await device.client.install(request)
  return ended(device)
}

/** The job as it waits for the reboot or is over. */
export async function ended(device: Device): Promise<JobInfo> {
  const { job } = await device.waitFor(
    ({ job }) => job !== null && (job.state === 'reboot' || OVER.includes(job.state)),
    'the end of the job',
  )
  return job as JobInfo
}

/** Reboot as asked for, and wait until the job is over and this boot's health is known. */
export async function restart(device: Device): Promise<Snapshot> {
  await device.client.reboot()
  await device.rebooted()
  await device.boot()
  return atRest(device)
}

/** No job is under way and no health check runs. */
export const atRest = (device: Device): Promise<Snapshot> =>
  device.waitFor(
    ({ job, health, deployments }) =>
      (job === null || OVER.includes(job.state)) &&
      (health?.verdict === 'good' || health?.verdict === 'bad') &&
      health.version === deployments.find(one => one.booted)?.version,
    'rest',
  )

/** The offer of a file, once it was looked at. */
export async function offerOf(device: Device, file: string): Promise<OfferInfo> {
  const is = (offer: OfferInfo) => offer.file === file
  const { offers } = await device.waitFor(({ offers }) => offers.some(is), `the package ${file}`)
  return offers.find(is) as OfferInfo
}

/** What became of a file: `fits`, or the code of the refusal. */
export async function verdictOf(device: Device, file: string): Promise<string> {
  const { verdict } = await offerOf(device, file)
  return verdict.fits ? 'fits' : verdict.code
}

/** `2.0 pending, 1.0 booted`: the boot order, as ostree says it. */
export async function order(device: Device): Promise<string> {
  const { stdout } = await device.exec(['ostree', 'admin', 'status'])
  return stdout
    .split(/^(?=[* ] \w)/m)
    .map(block => {
      const version = /Version: (.*)/.exec(block)?.[1] ?? '?'
      const flag = block.startsWith('*') ? 'booted' : /\((pending|rollback)\)/.exec(block)?.[1]
      return [version, ...(flag ? [flag] : []), ...(/Pinned: yes/.test(block) ? ['pinned'] : [])].join(' ')
    })
    .join(', ')
}

/** What is in a file on the device. */
export const read = async (device: Device, path: string) => (await device.exec(['cat', path])).stdout

export const write = (device: Device, path: string, text: string) =>
  device.exec(['sh', '-c', 'mkdir -p "$(dirname "$1")" && cat >"$1"', 'sh', path], { input: text })

/** The device's /var, as the host sees it. */
export const varOf = (device: Device) => join(device.sysroot, 'ostree/deploy', PRODUCT.os, 'var')
export const stateOf = (device: Device) => join(varOf(device), 'lib/superblock')
export const inboxOf = (device: Device) => join(stateOf(device), 'inbox')

/** Names of what is staged. */
export const staged = (device: Device) => readdir(join(stateOf(device), 'staging')).catch(() => [])

/** All that an installation may change and a called off one must put back: deployments, boot order, refs, trial, objects, staging. */
export async function standing(device: Device): Promise<string[]> {
  const refs = 'cd /sysroot/ostree/repo; for ref in $(ostree refs --repo=.); do ostree rev-parse --repo=. $ref; done'
  return [
    (await device.exec(['ostree', 'admin', 'status'])).stdout,
    (await device.exec(['ostree', 'refs', '--repo=/sysroot/ostree/repo'])).stdout,
    (await device.exec(['sh', '-c', refs])).stdout,
    await readFile(join(device.sysroot, 'boot/grub/grubenv'), 'utf8'),
    ...(await readdir(join(device.sysroot, 'ostree/deploy', PRODUCT.os, 'deploy'))).sort(),
    ...(await filesBelow(join(device.sysroot, 'ostree/repo/objects'))),
    ...(await staged(device)),
  ]
}

async function filesBelow(folder: string): Promise<string[]> {
  return (await entriesBelow(folder)).flatMap(({ entry, path }) => (entry.isDirectory() ? [] : [path])).sort()
}

/** Links are entries, not ways. */
async function entriesBelow(folder: string): Promise<{ entry: Dirent; path: string }[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const lists = entries.map(async entry => {
    const path = join(folder, entry.name)
    return [{ entry, path }, ...(entry.isDirectory() ? await entriesBelow(path) : [])]
  })
  return (await Promise.all(lists)).flat()
}

/** Everything below a folder with kind, size, inode and times of contents: two that are equal mean that nothing was written. */
export async function listing(folder: string): Promise<string[]> {
  const lines = (await entriesBelow(folder)).map(async ({ path }) => {
    const { mode, size, ino, mtimeMs, nlink } = await lstat(path)
    return [path, mode.toString(8), size, ino, mtimeMs, nlink].join(' ')
  })
  return (await Promise.all(lines)).sort()
}

/** Bytes of all files below a folder that changes meanwhile. */
async function sizeOf(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  const files = await Promise.all(names.map(name => lstat(join(folder, name)).catch(() => undefined)))
  return files.reduce((sum, found) => sum + (found?.isFile() ? found.size : 0), 0)
}

/**
 * Stop the service in the moment when it has begun to copy a package, do something, and let it go on. The signal comes
 * within milliseconds, so that of a package with some megabytes most is still to be read.
 * @param least bytes that have been staged by then
 */
export async function whileStaging<T>(device: Device, action: (pid: number) => Promise<T>, least = 1): Promise<T> {
  const pid = await device.service.pid()
  if (pid === undefined) throw new Error('the service does not run')
  // As the service sees it: its disk may be one that is there for this boot only.
  const staging = `/proc/${pid}/root/var/lib/superblock/staging`
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if ((await sizeOf(staging)) >= least) {
      process.kill(pid, 'SIGSTOP')
      try {
        return await action(pid)
      } finally {
        try {
          process.kill(pid, 'SIGCONT')
        } catch {} // it was killed
      }
    }
  }
  throw new Error(`nothing was staged\n${await device.log()}`)
}
