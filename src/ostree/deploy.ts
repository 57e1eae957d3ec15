/** Make deployments, keep as many as wanted, and take them away. */
import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { readIfThere } from '../base/files.ts'
import { changeAdmin, type Engine, type OnPulse } from './engine.ts'
import { refCommit } from './import.ts'
import { readLoader } from './loader.ts'
import { readFromCommit } from './show.ts'
import { bootedOf, type Deployment, deploymentId, deployments } from './status.ts'
import { type Leftover, removeDeployments } from './tidy.ts'

/**
 * Deploy what the ref names, to boot next; every deployment that is there stays. /etc is merged from the booted deployment, and so are
 * the kernel arguments of the site; those that the release itself brings arrive. Repeating it when it is already the next to boot does
 * nothing.
 * @throws Failure `no-such-ref`, `command-failed`
 */
export async function deploy(engine: Engine, os: string, ref: string, onPulse?: OnPulse): Promise<void> {
  const commit = await refCommit(engine, ref)
  if (commit === undefined)
    throw new Failure('no-such-ref', `cannot deploy ${ref}: the repo has no such ref; import it`)
  const isNext = ([first]: Deployment[]) => first?.os === os && first.commit === commit && !first.booted
  if (isNext(await deployments(engine))) return
  const booted = bootedOf(await deployments(engine))
  const [kernelArguments, origin] = booted
    ? [await kernelArgumentsFor(engine, booted, commit), await originFor(engine, booted, ref)]
    : [[], undefined]
  try {
    // By ref, not checksum, so that the origin names it; --retain, since what goes is decided by `prune` alone; --no-prune,
    // since nothing has gone that objects could be left of, and looking for them takes a sixth of the time.
    const how = [`--os=${os}`, '--retain', '--no-prune', ...kernelArguments]
    await changeAdmin(
      engine,
      'deploy',
      [...how, ...(origin === undefined ? [] : [`--origin-file=${origin}`]), ref],
      onPulse,
    )
  } catch (error) {
    // ostree tidies up at the end, and what it cannot remove of other deployments is no fault of this one.
    if (!isNext(await deployments(engine))) throw error
  } finally {
    if (origin !== undefined) await unlink(origin).catch(() => {})
  }
}

/** What a tree has every device start with, by a file of its own. */
const KERNEL_ARGUMENTS = '/usr/lib/ostree-boot/kargs'
const words = (text: string) => text.split(/\s+/).filter(Boolean)

/**
 * Options for `ostree admin deploy`: what the running release's file gave goes, what the new one's has comes, whatever else there is
 * stays. None where both files say the same: then ostree takes over what there is.
 */
async function kernelArgumentsFor(engine: Engine, booted: Deployment, commit: string): Promise<string[]> {
  const running = join(engine.sysroot, `ostree/deploy/${booted.os}/deploy/${deploymentId(booted)}`)
  const before = words((await readIfThere(join(running, KERNEL_ARGUMENTS)).catch(() => undefined)) ?? '')
  const after = words(await readFromCommit(engine, commit, KERNEL_ARGUMENTS))
  if (before.join(' ') === after.join(' ')) return []
  const { entries } = await readLoader(engine)
  const entry = entries.find(
    ({ deployment }) => deployment.commit === booted.commit && deployment.serial === booted.serial,
  )
  if (!entry) return []
  const going = [...before]
  const staying = entry.options.filter(option => {
    if (option.startsWith('ostree=')) return false
    const at = going.indexOf(option)
    if (at >= 0) going.splice(at, 1)
    return at < 0
  })
  const coming = after.filter(option => !staying.includes(option))
  return ['--karg-none', ...[...staying, ...coming].map(option => `--karg-append=${option}`)]
}

/**
 * The origin of the new deployment, where what runs follows a remote: that stays, with all else that its origin says. Without it a
 * device that also updates by other means would find no update any more.
 * @returns a file to be removed; undefined where the ref alone says all
 */
async function originFor(engine: Engine, booted: Deployment, ref: string): Promise<string | undefined> {
  const path = join(engine.sysroot, `ostree/deploy/${booted.os}/deploy/${deploymentId(booted)}.origin`)
  const text = await readIfThere(path).catch(() => undefined)
  const [, remote] = /^refspec=([^:\n]+):/m.exec(text ?? '') ?? []
  if (text === undefined || remote === undefined) return undefined
  const sections = text.split(/^(?=\[)/m).filter(section => !section.startsWith('[libostree-transient]'))
  const origin = sections
    .join('')
    .replace(/^refspec=.*$/m, `refspec=${remote}:${ref}`)
    .replace(/^override-commit=.*\n/m, '')
  const file = join(engine.folder, 'origin')
  await writeFile(file, origin, { mode: 0o600 })
  return file
}

/** Keep a deployment until it is unpinned. */
export async function pin(engine: Engine, index: number): Promise<void> {
  await changeAdmin(engine, 'pin', [String(index)])
}

export async function unpin(engine: Engine, index: number): Promise<void> {
  await changeAdmin(engine, 'pin', ['--unpin', String(index)])
}

/**
 * Take the oldest deployments away until `keep` are left of the stateroot that boots next. Never the booted one, the next
 * to boot, a pinned or staged one, one that `isProtected` holds on to, or one of another stateroot.
 * @returns those that went, and what could not be removed of them
 * @throws Failure `command-failed` when one stays in the boot order
 */
export async function prune(
  engine: Engine,
  keep: number,
  isProtected: (deployment: Deployment) => boolean,
): Promise<{ gone: Deployment[]; left: Leftover[] }> {
  const gone = surplusOf(await deployments(engine), keep, isProtected)
  return { gone, left: await removeDeployments(engine, gone) }
}

/** Which deployments `prune` takes away, last in the boot order first, so that the indexes of the others hold. */
export function surplusOf(
  list: readonly Deployment[],
  keep: number,
  isProtected: (deployment: Deployment) => boolean,
): Deployment[] {
  const os = (bootedOf(list) ?? list[0])?.os
  const ours = list.filter(one => one.os === os)
  const mustStay = (one: Deployment) =>
    one.index === 0 || one.booted || one.pending || one.staged || one.pinned || isProtected(one)
  const removable = ours.filter(one => !mustStay(one)).reverse()
  return removable.slice(0, Math.max(0, ours.length - keep))
}
