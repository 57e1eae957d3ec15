/** The boot loader's side of a trial: it counts the starts of a new deployment down and falls back when none was good. */
import { join } from 'node:path'
import { isThere } from '../base/files.ts'
import { grub } from './grub.ts'
import { findTrialFile, trialFile } from './uboot.ts'
import { findEnvironment } from './uboot-environment.ts'

/** What a trial is for, by the names that boot loaders know it by. */
export interface Target {
  /** `<commit>.<serial>`, for GRUB */
  deployment: string
  /** its tree's release_id, for U-Boot; '' where it has none */
  release: string
}

export interface Trial {
  /** of the target, as this boot loader knows it */
  id: string
  /** starts that are left */
  tries: number
}

/** One of the boot loaders that can count. Each verb is durable when it resolves. */
export interface BootLoader {
  /** as people call it */
  name: string
  /** From now on the starts of the target are counted, whatever was counted before. @throws Failure `grubenv`, `uboot-env` */
  arm(target: Target, tries: number): Promise<void>
  /** The trial is over, or is not to be. Repeating it is harmless. @throws Failure `grubenv`, `uboot-env` */
  clear(): Promise<void>
  /** The trial that it has, or undefined. @throws Failure `grubenv`, `uboot-env` */
  read(): Promise<Trial | undefined>
}

/** Which boot loader counts here, or what is missing for one to do so. */
export async function findBootLoader(sysroot: string): Promise<BootLoader | { missing: string }> {
  const grubenv = join(sysroot, 'boot/grub/grubenv')
  if (await isThere(grubenv)) return grub(grubenv)
  const environment = await findEnvironment(join(sysroot, 'etc/fw_env.config'))
  if (environment) return environment
  // libostree makes it where its boot loader is U-Boot.
  if (!(await isThere(join(sysroot, 'boot/loader/uEnv.txt'))))
    return { missing: 'there is neither a /boot/grub/grubenv nor a /boot/loader/uEnv.txt' }
  const file = await findTrialFile(sysroot)
  if (file !== undefined) return trialFile(file)
  return {
    missing:
      'U-Boot starts this device, but its script boot.scr is neither in /efi nor in /boot/efi; see that the partition is mounted',
  }
}

/** As findBootLoader; it must be the one that counts the trial of this account, where that says so. */
export async function findCounting(
  sysroot: string,
  account: { loader?: string | undefined } | undefined,
): Promise<BootLoader | { missing: string }> {
  const found = await findBootLoader(sysroot)
  const named = account?.loader
  if (!counts(found) || named === undefined || named === found.name) return found
  return { missing: `${named} counts it, and cannot be reached; what was found is ${found.name}` }
}

export const counts = (found: BootLoader | { missing: string }): found is BootLoader => !('missing' in found)

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
