/** The ways back to another release: an operator wants it, or the new one was not good. */
import { diskTrouble } from '../base/disk.ts'
import { asFailure } from '../base/failure.ts'
import { runHooks } from '../boot/hooks.ts'
import { setDefault } from '../ostree/rollback.ts'
import { type Core, causeOf } from './core.ts'
import { hookTerms, refusedBy } from './hooks.ts'
import { giveUpReserve, makeReserve } from './reserve.ts'
import type { ReleaseName } from './snapshot.ts'
import { type Cause, type ChangeJob, type InstallJob, isTarget, type RollbackJob, type State } from './state.ts'
import { clearTrial, passOver } from './trial.ts'

export interface Returns {
  /** It is not good: the one before becomes the default again. */
  fallBack(job: InstallJob, cause: Cause): Promise<State>
  /** An operator wants another deployment. */
  rollBack(job: RollbackJob): Promise<State>
  /** What was returned to runs, and is good. */
  finishRollback(job: RollbackJob): Promise<void>
  /** The job's target runs, and counts no longer as left; what a rollback leaves does. */
  changeSides(job: ChangeJob): Promise<void>
}

export function makeReturns(core: Core): Returns {
  const { config, engine, journal, meter, recordOnce } = core

  /** A release counts as left once the one that was wanted instead runs: a rollback that is called off leaves no trace. */
  async function changeSides(job: ChangeJob): Promise<void> {
    const { [job.to.commit]: _, ...left } = journal.read().left
    if (job.kind === 'rollback' && job.from.commit !== job.to.commit) left[job.from.commit] = job.reason
    await journal.write({ left })
  }

  /** Before the boot order changes, what runs may put the data in order for what will run. @returns the hook that refuses */
  async function prepareReturn(direction: 'rollback' | 'return', from: ReleaseName, to: ReleaseName) {
    const terms = hookTerms(config, engine, direction, from, to, () => meter.beat())
    const { failed } = await runHooks(config.hooks.folder, 'pre-rollback', terms)
    if (failed) core.log.warn({ hook: failed.name, said: failed.output }, 'a hook refuses to go back')
    return failed
  }

  /** The boot order was changed: a count that cannot be ended names a release that is not started any more, and does nothing. */
  const endOther = () =>
    clearTrial(engine, config.state).catch(error => core.log.error({ err: error }, 'cannot end the trial'))

  async function fallBack(job: InstallJob, cause: Cause): Promise<State> {
    await journal.write({ left: { ...journal.read().left, [job.to.commit]: cause.text } })
    await recordOnce('fell-back', job, {
      commit: job.to.commit,
      version: job.to.version,
      to: job.from.version,
      ...cause,
    })
    // Nobody is there to decide: a hook that refuses does not hold up the device.
    if (isTarget(job, (await core.device()).booted)) await prepareReturn('return', job.to, job.from)
    try {
      await giveUpReserve(config.state)
      await setDefault(engine, job.from)
    } catch (error) {
      const { message } = asFailure(error, 'go back')
      return {
        at: 'failed',
        job,
        cause: { ...cause, text: `${cause.text}, and going back failed: ${message}` },
        stuck: true,
      }
    }
    await endOther()
    const { booted, bootId } = await core.device()
    if (isTarget(job, booted)) return { at: 'returning', job, bootId, cause }
    return { at: 'fell-back', job, cause }
  }

  /**
   * On a disk that is full to the last byte the boot order cannot be written. But the boot loader's count can, and without a start left
   * to what runs it takes the one below.
   * @returns false when the count does what the order could not
   */
  async function changeOrder(job: RollbackJob): Promise<boolean> {
    try {
      await setDefault(engine, job.to)
      return true
    } catch (error) {
      const [first, second] = (await core.device()).deployments
      if (diskTrouble(error) !== 'full' || !first || !second || !isTarget(job, second)) throw error
      if (!(await passOver(engine, first))) throw error
      core.log.warn({ err: error }, 'the disk is full: the boot loader is told to pass over what runs')
      return false
    }
  }

  async function rollBack(job: RollbackJob): Promise<State> {
    meter.begin('rollback', 0)
    try {
      // After a power cut the target may be running already.
      const isThere = isTarget(job, (await core.device()).booted)
      const refusing = isThere ? undefined : await prepareReturn('rollback', job.from, job.to)
      if (refusing && !job.force) throw refusedBy(refusing, `go back to version ${job.to.version}`)
      if (!(await changeOrder(job))) {
        const { booted, bootId } = await core.device()
        return isTarget(job, booted) ? { at: 'trying', job } : { at: 'reboot', job, bootId }
      }
    } catch (error) {
      const cause = causeOf(asFailure(error, 'roll back'))
      await recordOnce('failed', job, { version: job.to.version, ...cause })
      return { at: 'failed', job, cause }
    }
    const { booted, bootId } = await core.device()
    await endOther()
    await recordOnce('rollback', job, {
      commit: job.to.commit,
      serial: job.to.serial,
      version: job.to.version,
      from: job.from.version,
      reason: job.reason,
    })
    await makeReserve(config.state, config.install.reserve).catch(() => {})
    const sameAsRunning = job.from.commit === job.to.commit && job.from.serial === job.to.serial
    if (sameAsRunning) {
      await changeSides(job)
      return { at: 'done', job }
    }
    return isTarget(job, booted) ? { at: 'trying', job } : { at: 'reboot', job, bootId }
  }

  /** Where the disk was too full to change the boot order, the boot loader was told to pass over what is left: now it may be changed. */
  async function finishRollback(job: RollbackJob): Promise<void> {
    const [first] = (await core.device()).deployments
    if (first && !isTarget(job, first)) {
      try {
        await setDefault(engine, job.to)
      } catch (error) {
        core.log.error({ err: error }, 'cannot change the boot order yet')
        return
      }
    }
    await endOther()
  }

  return { fallBack, rollBack, finishRollback, changeSides }
}
