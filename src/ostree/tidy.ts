/**
 * Deployments taken away, and what nothing refers to any more. A file that somebody made immutable, a ref that cannot be read: what
 * cannot be removed is named and kept out of ostree's way, so that it stops nothing else.
 */
import { join } from 'node:path'
import { asFailure, Failure } from '../base/failure.ts'
import { listIfThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { changeAdmin, changeFiles, type Engine } from './engine.ts'
import { deploymentFolders } from './loader.ts'
import { type Deployment, deploymentId, deployments } from './status.ts'

/** What could not be removed. */
export interface Leftover {
  /** a file or folder; where that is not known, the store */
  path: string
  why: string
}

/** Why a file cannot be removed that somebody has set a flag of, as chattr(1) does. */
export const IMMUTABLE = 'it was made immutable'

/** Where folders go that cannot be removed: below the sysroot, beside what ostree looks at. */
const ASIDE = 'ostree/superblock-leftover'

const isGone = async (engine: Engine, { os, commit, serial }: Deployment) =>
  !(await deployments(engine)).some(one => one.os === os && one.commit === commit && one.serial === serial)

/**
 * Take a deployment out of the boot order, and its folder away.
 * @returns what of it could not be removed
 * @throws Failure `no-such-deployment`; `command-failed` when it is still in the boot order, as the booted one stays
 */
export async function undeploy(engine: Engine, index: number): Promise<Leftover[]> {
  const target = (await deployments(engine)).find(one => one.index === index)
  if (!target) throw new Failure('no-such-deployment', `cannot remove deployment ${index}: there is none`)
  try {
    await changeAdmin(engine, 'undeploy', [String(index)])
    return []
  } catch (error) {
    if (!(await isGone(engine, target))) throw error
    return sweep(engine)
  }
}

/**
 * Take several deployments away, the last in the boot order first.
 * @returns what of them could not be removed
 * @throws as undeploy
 */
export async function removeDeployments(engine: Engine, going: readonly Deployment[]): Promise<Leftover[]> {
  const left: Leftover[] = []
  for (const one of [...going].sort((a, b) => b.index - a.index)) left.push(...(await undeploy(engine, one.index)))
  return left
}

/**
 * Remove what killed commands left behind, deployments' folders that nothing starts, and objects that nothing refers to.
 * @returns what could not be removed; it is tried again with the next call
 */
export async function sweep(engine: Engine): Promise<Leftover[]> {
  await retryAside(engine)
  const first = await tried(() => changeAdmin(engine, 'cleanup', []))
  if (first === undefined) return aside(engine)
  const known = (await deployments(engine)).map(deploymentId)
  const orphans = (await deploymentFolders(engine)).filter(one => !known.includes(deploymentId(one)))
  for (const { folder } of orphans) await loosen(engine, join(engine.sysroot, folder))
  if (orphans.length > 0 && (await tried(() => changeAdmin(engine, 'cleanup', []))) === undefined) return aside(engine)
  const left = await deploymentFolders(engine)
  for (const orphan of orphans) if (left.some(one => one.folder === orphan.folder)) await setAside(engine, orphan)
  const last = await tried(() => changeAdmin(engine, 'cleanup', []))
  return [...(await aside(engine)), ...(last === undefined ? [] : [{ path: engine.repo, why: last }])]
}

/** Why it did not work, or undefined. */
async function tried(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return asFailure(error, 'tidy up').message
  }
}

/** chattr(1) of whichever package; without it, or without the right to do so, the flags stay. */
const loosen = (engine: Engine, folder: string) =>
  tried(() => changeFiles(engine, 'chattr -R -i -a -- "$1" 2>/dev/null || true', folder))

async function setAside(
  engine: Engine,
  { folder, commit, serial }: { folder: string; commit: string; serial: number },
) {
  const to = join(engine.sysroot, ASIDE)
  const from = join(engine.sysroot, folder)
  await tried(() =>
    changeFiles(
      engine,
      'mkdir -p "$2"; mv -T -- "$1" "$2/$3"; rm -f -- "$1.origin"',
      from,
      to,
      deploymentId({ commit, serial }),
    ),
  )
}

async function retryAside(engine: Engine): Promise<void> {
  const folder = join(engine.sysroot, ASIDE)
  for (const name of await listIfThere(folder)) {
    await loosen(engine, join(folder, name))
    await tried(() => changeFiles(engine, 'rm -rf -- "$1" 2>/dev/null || true', join(folder, name)))
  }
}

/** What lies aside, each with the file that keeps it, if one does. */
async function aside(engine: Engine): Promise<Leftover[]> {
  const folder = join(engine.sysroot, ASIDE)
  const found: Leftover[] = []
  for (const name of await listIfThere(folder)) {
    const path = join(folder, name)
    const { stdout } = await run(['lsattr', '-R', '-a', path], { accept: [1] }).catch(() => ({ stdout: '' }))
    const [, immutable] = /^[-A-Za-z]*[ia][-A-Za-z]* (\/.*)$/m.exec(stdout) ?? []
    found.push({ path: immutable ?? path, why: immutable === undefined ? 'it cannot be removed' : IMMUTABLE })
  }
  return found
}

/** Is there anything that an earlier call could not remove? */
export const hasLeftovers = async (engine: Engine): Promise<boolean> =>
  (await listIfThere(join(engine.sysroot, ASIDE))).length > 0
