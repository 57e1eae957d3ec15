/** A trial as a whole: the boot loader's count and the account that user space keeps of it begin and end together. */
import { Failure } from '../base/failure.ts'
import { counts, findBootLoader, findCounting, type Trial, trialId } from '../boot/bootloader.ts'
import { dropLedger, newLedger, readLedger, writeLedger } from '../boot/ledger.ts'
import { crashRecords, hasWatchdog } from '../boot/reset.ts'
import type { Config } from '../config.ts'
import type { Engine } from '../ostree/engine.ts'
import { readFromCommit } from '../ostree/show.ts'
import { type Deployment, deploymentId, deployments } from '../ostree/status.ts'
import { evenIfFull } from './reserve.ts'

/** What U-Boot tells releases apart by: a line of what the tree has OSTree append to U-Boot's environment. */
const U_ENV = '/usr/lib/ostree-boot/uEnv.txt'

/**
 * The starts of the deployment that is made of this commit next, or was just made, are counted from now on; nothing happens
 * where no boot loader counts.
 * @throws Failure `grubenv`, `uboot-env`
 */
export async function armTrial(
  engine: Engine,
  to: { os: string; commit: string },
  { state, trial, reboot }: Pick<Config, 'state' | 'trial' | 'reboot'>,
): Promise<void> {
  const loader = await findBootLoader(engine.sysroot)
  if (!counts(loader)) return
  const release = await releaseId(engine, to.commit)
  const target = { deployment: trialId(await deployments(engine), to), release }
  const ledger = newLedger({
    target,
    loader: loader.name,
    tries: trial.tries,
    patience: trial.patience,
    deadline: trial.deadline,
    reboot: [...reboot.command],
    watchdog: await hasWatchdog(),
    crashes: await crashRecords(),
  })
  await evenIfFull(state, () => writeLedger(state, ledger))
  await loader.arm(target, trial.tries)
}

/**
 * Will the starts of the deployment that is made of this commit next, or was just made, be counted? Where no boot loader counts, there
 * is nothing that could.
 */
export async function isArmed(engine: Engine, to: { os: string; commit: string }, state: string): Promise<boolean> {
  const loader = await findBootLoader(engine.sysroot)
  if (!counts(loader)) return true
  const target = (await readLedger(state))?.target
  const trial = await loader.read().catch(() => undefined)
  return (
    target?.deployment === trialId(await deployments(engine), to) &&
    (trial?.id === target.deployment || trial?.id === target.release || target.release === '')
  )
}

/** The trial is over, or is not to be. Repeating it is harmless. @throws Failure `grubenv`, `uboot-env` */
export async function clearTrial(engine: Engine, state: string): Promise<void> {
  const ledger = await readLedger(state)
  const loader = await findCounting(engine.sysroot, ledger)
  if (counts(loader)) await loader.clear()
  // It counted once: where it cannot be reached any more, it would go on and throw a release away that was found good.
  else if (ledger) throw new Failure('uboot-env', `cannot end the trial: ${loader.missing}`)
  await dropLedger(state)
}

/** The trial that the boot loader has, or undefined. @throws Failure `grubenv`, `uboot-env` */
export async function readTrial(engine: Engine): Promise<Trial | undefined> {
  const loader = await findBootLoader(engine.sysroot)
  return counts(loader) ? loader.read() : undefined
}

/**
 * Without a change of the boot order, the entry below this one is started from now on.
 * @param first of the boot order
 * @returns false where no boot loader counts, or it cannot tell the release from others
 * @throws Failure `grubenv`, `uboot-env`
 */
export async function passOver(engine: Engine, first: Deployment): Promise<boolean> {
  const loader = await findBootLoader(engine.sysroot)
  if (!counts(loader)) return false
  await loader.arm({ deployment: deploymentId(first), release: await releaseId(engine, first.commit) }, 0)
  return (await loader.read())?.tries === 0
}

/** Does the boot loader pass over it? */
export async function isPassed(engine: Engine, first: Deployment): Promise<boolean> {
  const loader = await findBootLoader(engine.sysroot)
  const trial = counts(loader) ? await loader.read().catch(() => undefined) : undefined
  if (trial?.tries !== 0) return false
  return trial.id === deploymentId(first) || trial.id === (await releaseId(engine, first.commit))
}

/** By what U-Boot tells releases apart; '' where the release has no such line. */
const releaseId = async (engine: Engine, commit: string): Promise<string> =>
  /^release_id=(.*)$/m.exec(await readFromCommit(engine, commit, U_ENV))?.[1]?.trim() ?? ''
