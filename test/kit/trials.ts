/** Releases with hooks that do as they are told from outside, and the disk of a device in states that a power cut can leave. */
import { createHash } from 'node:crypto'
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import type { JobInfo } from '../../src/control/protocol.ts'
import type { State } from '../../src/update/state.ts'
import type { Device } from './device.ts'
import { whenJournalled } from './endurance.ts'
import { install, offerOf, stateOf, varOf, write } from './operate.ts'
import { PRODUCT } from './releases.ts'
import { makeStick } from './stick.ts'

/** Tells of itself in /var/hooked, and does what a file of its name in /var/on says. */
const HOOK = `#!/bin/sh
echo "$SUPERBLOCK_HOOK $SUPERBLOCK_DIRECTION $SUPERBLOCK_FROM_VERSION-$SUPERBLOCK_TO_VERSION" >>/var/hooked
[ ! -e "/var/on/$SUPERBLOCK_HOOK" ] || . "/var/on/$SUPERBLOCK_HOOK"
`

/** Files of a release that has one hook of each kind. */
export const HOOKS: Record<string, string> = Object.fromEntries(
  ['pre-deploy', 'post-boot', 'pre-rollback'].map(kind => [`usr/lib/superblock/hooks/${kind}.d/10-data`, HOOK]),
)

export const onHook = (device: Device, hook: string, what: string) => write(device, `/var/on/${hook}`, `${what}\n`)
/** From now on hooks do nothing again. */
export const forgetHooks = (device: Device) => rm(join(varOf(device), 'on'), { recursive: true, force: true })

/** Change what is journalled, as if it had been cut there. */
export async function rejournal(
  device: Device,
  change: (record: { state: State; [key: string]: unknown }) => unknown,
): Promise<void> {
  const path = join(stateOf(device), 'state.json')
  const record = JSON.parse(await readFile(path, 'utf8'))
  change(record)
  await writeFile(path, JSON.stringify(record))
}

/** Add what the job under way has told the history, as if it had been cut right after. */
export async function remember(device: Device, event: string, facts: object): Promise<void> {
  const { state } = JSON.parse(await readFile(join(stateOf(device), 'state.json'), 'utf8'))
  const path = join(stateOf(device), 'history.jsonl')
  const last = (await readFile(path, 'utf8')).trimEnd().split('\n').at(-1) ?? ''
  const prev = createHash('sha256').update(last).digest('hex')
  const line = { at: new Date().toISOString(), event, job: state.job.id, ...facts, prev }
  await appendFile(path, `${JSON.stringify(line)}\n`)
}

let sticks = 0

/** Insert a stick with a package, and wait until that is offered. @param folder where the stick is made */
export async function bring(device: Device, folder: string, made: PackageResult): Promise<void> {
  await device.insert(await makeStick(folder, `STICK${++sticks}`, [made.file]))
  await offerOf(device, basename(made.file))
}

/** The same, and install it. @returns the job as it then waits or ended */
export async function installFrom(device: Device, folder: string, made: PackageResult): Promise<JobInfo> {
  await bring(device, folder, made)
  return install(device, { id: made.id })
}

/** The same, and the device is switched off for the reboot. */
export async function installAndCut(device: Device, folder: string, made: PackageResult): Promise<void> {
  const { state, text } = await installFrom(device, folder, made)
  if (state !== 'reboot') throw new Error(`cannot go on to the reboot: ${text}`)
  // It is told a moment before it is on the disk.
  await whenJournalled(device, ['reboot'])
  await device.powerCut()
}

const grubenv = (device: Device) => join(device.sysroot, 'boot/grub/grubenv')
const account = (device: Device) => join(stateOf(device), 'trial.json')

export async function writeCount(device: Device, id: string, tries: number): Promise<void> {
  const text = `# GRUB Environment Block\ntrial_id=${id}\ntrial_tries=${tries}\n`
  await writeFile(grubenv(device), text.padEnd(1024, '#'))
}
export const dropCount = (device: Device) => writeFile(grubenv(device), '# GRUB Environment Block\n'.padEnd(1024, '#'))

export const writeAccount = (device: Device, deployment: string): Promise<void> =>
  writeFile(
    account(device),
    JSON.stringify({
      ...{ format: 1, target: { deployment, release: '' }, tries: 3, patience: 10, deadline: 900, granted: 3 },
      ...{ reboot: ['false'], watchdog: false, crashes: [] },
      ends: { watchdog: 0, crash: 0, deadline: 0, unknown: 0 },
    }),
  )
export const dropAccount = (device: Device) => rm(account(device))

/** Change the boot order as the service does. */
export async function flip(device: Device, commit: string): Promise<void> {
  const argv = ['/run/superblock-kit/bin/node', '/run/superblock-kit/app/dist/flip.js', '/', PRODUCT.os, commit, '0']
  const { stdout } = await device.exec(argv)
  if (!stdout.includes('"ok":true')) throw new Error(stdout)
}

/** Keep a switched off device's disk, to be set back to it. */
export async function keepDisk(device: Device, to: string): Promise<() => Promise<void>> {
  await run(['cp', '-a', device.sysroot, to])
  return async () => {
    await device.powerCut()
    await rm(device.sysroot, { recursive: true, force: true })
    await run(['cp', '-a', to, device.sysroot])
  }
}
