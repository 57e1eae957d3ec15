/** What is missing on this device for updates to work, each with the next action. */
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { asFailure } from '../base/failure.ts'
import { isThere, readIfThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { bytes } from '../base/text.ts'
import { counts, findBootLoader } from '../boot/bootloader.ts'
import { neverRun } from '../boot/health.ts'
import { HOOK_KINDS } from '../boot/hooks.ts'
import { hasWatchdog } from '../boot/reset.ts'
import type { Config } from '../config.ts'
import { audit } from '../ostree/audit.ts'
import { commitFacts } from '../ostree/commit-facts.ts'
import type { Engine } from '../ostree/engine.ts'
import { spaceFor } from '../ostree/space.ts'
import { bootedOf, type Deployment, deployments } from '../ostree/status.ts'
import { day, signersAfter, signersText } from './keys.ts'
import { damageProblem } from './repair.ts'
import type { Examination } from './snapshot.ts'

/** Less than this on /sysroot is too little for any release worth the name. */
const LITTLE = 64 * 1024 * 1024
/** A clock before the first release of this product is wrong. */
const PLAUSIBLE = Date.parse('2026-01-01T00:00:00Z')

/**
 * Why the service did not start last time, for when it cannot tell by itself.
 * @param runtime folder that superblockd leaves a note in
 */
export async function examineLastStart(runtime: string): Promise<Examination> {
  const name = 'last start'
  const note = await readIfThere(lastFailure(runtime)).catch(() => undefined)
  const next = 'Do what it says, then: systemctl restart superblockd'
  if (note?.trim()) return { name, ok: false, text: `the service did not start: ${note.trim()}`, next }
  const said = await run(['journalctl', '--unit=superblockd', '--lines=3', '--no-pager', '--output=cat'], {
    timeout: 5000,
    accept: [1],
  }).catch(() => undefined)
  const log = said?.stdout.trim().replaceAll('\n', ' / ')
  if (!log) return { name, ok: true, text: 'nothing is known of a start that failed' }
  return { name, ok: false, text: `the last lines of its log: ${log}`, next: 'systemctl status superblockd' }
}

/** What superblockd leaves when it cannot start, and takes away when it can. */
export const lastFailure = (runtime: string): string => join(runtime, 'last-failure')

/** Everything that is stored is read, which takes a while. */
export async function examineStore(config: Config, engine: Engine, here?: readonly Deployment[]): Promise<Examination> {
  const name = 'store'
  try {
    const problem = damageProblem(await audit(engine, config.state, here ?? (await deployments(engine))))
    if (problem) return { name, ok: false, text: problem.text, next: problem.next }
    return { name, ok: true, text: 'all that the releases here consist of was read, and is sound' }
  } catch (error) {
    return { name, ok: false, text: asFailure(error, 'read the store').message, next: 'See the log of superblockd.' }
  }
}

type Look = () => Promise<{ text: string } | { text: string; next: string }>

/** Every check runs, whatever the others found. */
export async function examineDevice(config: Config, engine: Engine): Promise<Examination[]> {
  const looks: [string, Look][] = [
    ['ostree', ostreeThere],
    ['deployment', () => booted(engine)],
    ['product', () => product(config)],
    ['line', () => line(config, engine)],
    ['keys', () => keys(config, engine)],
    ['space', () => space(engine)],
    ['permissions', () => writable(config)],
    ['boot loader', () => bootLoader(engine)],
    ['watchdog', watchdog],
    ['health checks', () => healthChecks(config)],
    ['hooks', () => hooks(config)],
    ['clock', clock],
  ]
  return Promise.all(
    looks.map(async ([name, look]) => {
      try {
        const found = await look()
        return { name, ok: !('next' in found), ...found }
      } catch (error) {
        return {
          name,
          ok: false,
          text: asFailure(error, `look at ${name}`).message,
          next: 'See the log of superblockd.',
        }
      }
    }),
  )
}

async function ostreeThere() {
  const { stdout } = await run(['ostree', '--version'])
  const version = /Version: '?([\d.]+)/.exec(stdout)?.[1] ?? 'unknown'
  return { text: `ostree ${version}` }
}

/** The booted deployment, or why there is none. */
async function findBooted(engine: Engine): Promise<{ deployment: Deployment } | { deployment?: never; why: string }> {
  try {
    const deployment = bootedOf(await deployments(engine))
    return deployment ? { deployment } : { why: 'none of the deployments is marked as booted' }
  } catch (error) {
    return { why: asFailure(error, 'ask ostree').message }
  }
}

const MAKE_IMAGE = 'Make an OTA-enabled image with superblock-builder and boot it.'

async function booted(engine: Engine) {
  const found = await findBooted(engine)
  if (found.deployment)
    return { text: `booted: ${found.deployment.os}, version ${found.deployment.version || 'unknown'}` }
  return { text: `the running system is no OSTree deployment (${found.why})`, next: MAKE_IMAGE }
}

async function product(config: Config) {
  if (config.device.compatible) return { text: `this device is ${config.device.compatible}` }
  return {
    text: 'the device has no product name, so no package fits it',
    next: 'Set compatible under [device] in /etc/superblock/superblock.toml.',
  }
}

async function line(config: Config, engine: Engine) {
  const { deployment } = await findBooted(engine)
  const ref = config.device.ref || deployment?.ref
  if (ref) return { text: `follows the releases of ${ref}` }
  if (!deployment) return { text: 'follows no releases, since it is no OSTree device', next: MAKE_IMAGE }
  return {
    text: 'the booted deployment was made without a ref, so no package fits it',
    next: 'Set ref under [device] in /etc/superblock/superblock.toml.',
  }
}

async function keys(config: Config, engine: Engine) {
  const { deployment } = await findBooted(engine)
  const release = deployment && (await commitFacts(engine.repo, deployment.commit)).timestamp
  const signers = await signersAfter(config, release ?? '')
  const { usable, trouble } = signers
  const ends = usable.flatMap(({ fingerprint, until = 0 }) =>
    until === Number.POSITIVE_INFINITY ? [] : [`what ${fingerprint} signs counts until ${day(until)}`],
  )
  const text = [signersText(signers, config.signatures.required), ...ends].join('; ')
  if (usable.length >= config.signatures.required && trouble.length === 0) return { text }
  return {
    text,
    next: `Put the public keys (*.asc) of the makers of your releases into ${config.signatures.keys.at(-1)}.`,
  }
}

async function space(engine: Engine) {
  if (!(await isThere(engine.repo))) return { text: 'there is no OSTree repository', next: MAKE_IMAGE }
  const free = await spaceFor(engine)
  const text = `${bytes(free)} can be used on /sysroot`
  return free >= LITTLE ? { text } : { text, next: 'Remove data, or old deployments with: ostree admin undeploy INDEX' }
}

async function writable(config: Config) {
  const next = `Start superblockd as root; ${config.state} must be on a disk that can be written.`
  if (!(await isThere(config.state))) return { text: `${config.state} is not there yet`, next }
  try {
    await access(config.state, constants.W_OK)
    return { text: `${config.state} is writable` }
  } catch {
    return { text: `${config.state} cannot be written by this user`, next }
  }
}

async function bootLoader(engine: Engine) {
  const found = await findBootLoader(engine.sysroot)
  if (counts(found)) {
    // What it keeps can be spoiled; then the sentence says how to mend it.
    await found.read()
    const menu = found.name === 'GRUB' ? await readIfThere(join(engine.sysroot, 'boot/grub/grub.cfg')) : undefined
    if (menu !== undefined && !menu.includes('trial_id'))
      return {
        text: 'the menu of GRUB does not count the starts of a new release: one that hangs while starting is not undone by itself',
        next: 'Have the menu made by the generator of superblock, or by one that counts as docs/integration.md says.',
      }
    return { text: `${found.name} counts the starts of a new release` }
  }
  return {
    text: `the boot loader does not count starts, for ${found.missing}: a release that hangs while starting is not undone by itself`,
    next: 'Set up boot counting as docs/integration.md says.',
  }
}

async function watchdog() {
  if (await hasWatchdog()) return { text: 'a hardware watchdog is there' }
  return { text: 'there is no hardware watchdog: a start that hangs stays so until the device is switched off and on' }
}

async function healthChecks(config: Config) {
  return programs(
    await neverRun(config.health.checks),
    'health checks',
    'required.d when a release that fails it must not stay, otherwise to wanted.d',
  )
}

async function hooks(config: Config) {
  const folders = HOOK_KINDS.map(kind => `${kind}.d`)
  return programs(await neverRun([config.hooks.folder], folders), 'hooks', folders.join(', '))
}

function programs({ misplaced, notExecutable }: Awaited<ReturnType<typeof neverRun>>, what: string, where: string) {
  if (misplaced.length > 0)
    return {
      text: `not run, since it is in no folder of ${what}: ${misplaced.join(', ')}`,
      next: `Move it to ${where}.`,
    }
  if (notExecutable.length > 0)
    return {
      text: `not run, since it cannot be executed: ${notExecutable.join(', ')}`,
      next: 'Make it executable in the tree that the release is made from (chmod +x), or remove it.',
    }
  return { text: `all ${what} are where they are run, and executable` }
}

async function clock() {
  const now = Date.now()
  const text = `the clock says ${new Date(now).toISOString()}`
  if (now >= PLAUSIBLE) return { text }
  return { text, next: 'Set the clock. Updates work without it; the times in the history will be wrong.' }
}
