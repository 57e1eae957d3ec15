/** The boot loader's side of a trial: it counts the starts of a new deployment down and falls back when none was good. */
import { join } from 'node:path'
import { isThere } from '../base/files.ts'
import { readEnvironment, writeEnvironment } from './grub.ts'

export interface Trial {
  /** `<commit>.<serial>` of the deployment on trial */
  id: string
  /** starts that are left */
  tries: number
}

const grubenv = (sysroot: string) => join(sysroot, 'boot/grub/grubenv')

/** Which boot loader keeps the trial; `none`: nothing falls back by itself, and the verbs below do nothing. */
export async function kind(sysroot: string): Promise<'grub' | 'none'> {
  return (await isThere(grubenv(sysroot))) ? 'grub' : 'none'
}

/** What is known of a deployment here; boot-order first. */
type Existing = { os: string; commit: string; serial: number; booted: boolean }

/**
 * The id of the deployment that ostree makes of a commit, or has just made: the trial is armed before it exists. ostree
 * gives the highest serial of that commit in that stateroot plus one; folders that are no deployment, which a killed
 * command left, it removes first.
 */
export function trialId(existing: readonly Existing[], { os, commit }: Pick<Existing, 'os' | 'commit'>): string {
  const same = existing.filter(one => one.os === os && one.commit === commit)
  const [first] = existing
  const made = first && same.includes(first) && !first.booted ? first.serial : undefined
  return `${commit}.${made ?? Math.max(-1, ...same.map(one => one.serial)) + 1}`
}

/**
 * From now on the boot loader counts the starts of the deployment that is made of this commit next, or was just made.
 * @throws Failure `grubenv`
 */
export async function armTrial(
  sysroot: string,
  existing: readonly Existing[],
  target: Pick<Existing, 'os' | 'commit'>,
  tries: number,
): Promise<void> {
  if ((await kind(sysroot)) === 'none') return
  const trial = { trial_id: trialId(existing, target), trial_tries: String(tries) }
  await writeEnvironment(grubenv(sysroot), trial)
}

/** The trial is over, or is not to be. @throws Failure `grubenv` */
export async function clearTrial(sysroot: string): Promise<void> {
  if ((await kind(sysroot)) === 'grub') await writeEnvironment(grubenv(sysroot), { trial_id: null, trial_tries: null })
}

/** The trial that the boot loader has, or undefined. @throws Failure `grubenv` */
export async function readTrial(sysroot: string): Promise<Trial | undefined> {
  if ((await kind(sysroot)) === 'none') return undefined
  const variables = await readEnvironment(grubenv(sysroot))
  const id = variables.get('trial_id')
  return id ? { id, tries: Number(variables.get('trial_tries') ?? 0) } : undefined
}
