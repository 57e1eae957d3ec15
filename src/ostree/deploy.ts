/** Make deployments, keep as many as wanted, and take them away. */
import { Failure } from '../base/failure.ts'
import { changeAdmin, type Engine, type OnPulse } from './engine.ts'
import { refCommit } from './import.ts'
import { bootedOf, type Deployment, deployments } from './status.ts'

/**
 * Deploy what the ref names, to boot next; every deployment that is there stays. /etc and the kernel arguments are merged
 * from the booted deployment. Repeating it when it is already the next to boot does nothing.
 * @throws Failure `no-such-ref`, `command-failed`
 */
export async function deploy(engine: Engine, os: string, ref: string, onPulse?: OnPulse): Promise<void> {
  const commit = await refCommit(engine, ref)
  if (commit === undefined)
    throw new Failure('no-such-ref', `cannot deploy ${ref}: the repo has no such ref; import it`)
  const [first] = await deployments(engine)
  if (first?.os === os && first.commit === commit && !first.booted) return
  // By ref, not checksum, so that the origin names it; --retain, since what goes is decided by `prune` alone; --no-prune,
  // since nothing has gone that objects could be left of, and looking for them takes a sixth of the time.
  await changeAdmin(engine, 'deploy', [`--os=${os}`, '--retain', '--no-prune', ref], onPulse)
}

/** @throws Failure `command-failed`, for the booted deployment among others */
export async function undeploy(engine: Engine, index: number): Promise<void> {
  await changeAdmin(engine, 'undeploy', [String(index)])
}

/** Remove what killed commands left behind, and objects that nothing refers to. */
export async function cleanup(engine: Engine): Promise<void> {
  await changeAdmin(engine, 'cleanup', [])
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
 * @returns those that went
 */
export async function prune(
  engine: Engine,
  keep: number,
  isProtected: (deployment: Deployment) => boolean,
): Promise<Deployment[]> {
  const surplus = surplusOf(await deployments(engine), keep, isProtected)
  for (const deployment of surplus) await undeploy(engine, deployment.index)
  return surplus
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
