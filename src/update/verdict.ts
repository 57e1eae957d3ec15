/** What becomes of a release that was booted: its health decides whether it stays, and the ways back to the one before. */
import { asFailure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import { clearTrial } from '../boot/bootloader.ts'
import { checkHealth } from '../boot/health.ts'
import { setDefault } from '../ostree/rollback.ts'
import { type Core, causeOf } from './core.ts'
import { giveUpReserve, makeReserve } from './reserve.ts'
import type { HealthInfo } from './snapshot.ts'
import { type Cause, type InstallJob, isTarget, type Job, type RollbackJob, type State } from './state.ts'

export interface Verdicts {
  /** The job's target runs: is it good? */
  judge(job: Job): Promise<State>
  /** It is not: the one before becomes the default again. */
  fallBack(job: InstallJob, cause: Cause): Promise<State>
  /** An operator wants another deployment. */
  rollBack(job: RollbackJob): Promise<State>
  /** Run the health checks of this boot, if they have not run yet. */
  checkBoot(): Promise<void>
}

export function makeVerdicts(core: Core): Verdicts {
  const { config, engine, journal, history, meter, onChange, recordOnce } = core

  /** A release counts as left once the one that was wanted instead runs: a rollback that is called off leaves no trace. */
  async function changeSides(job: Job): Promise<void> {
    const { [job.to.commit]: _, ...left } = journal.read().left
    if (job.kind === 'rollback' && job.from.commit !== job.to.commit) left[job.from.commit] = job.reason
    await journal.write({ left })
  }

  async function runChecks(): Promise<HealthInfo> {
    const { booted, bootId } = await core.device()
    const at = () => new Date().toISOString()
    const show = (checks: HealthInfo['checks'], verdict: HealthInfo['verdict']) =>
      journal.write({ health: { verdict, at: at(), version: booted.version, checks, bootId } }).then(onChange)
    await show([], 'checking')
    const environment = { SUPERBLOCK_VERSION: booted.version, SUPERBLOCK_COMMIT: booted.commit }
    const checks = await checkHealth(config.health.checks, config.health.timeout, environment, done => {
      void show([...done], 'checking')
    })
    const verdict = checks.every(check => check.ok) ? 'good' : 'bad'
    await show(checks, verdict)
    return { verdict, at: at(), version: booted.version, checks }
  }

  async function judge(job: Job): Promise<State> {
    if (job.kind === 'rollback') await changeSides(job)
    const health = await runChecks()
    if (health.verdict === 'bad') {
      const failing = health.checks.find(check => !check.ok)
      const text = `version ${job.to.version} failed the health check ${safe(failing?.name ?? '', 60)}`
      const facts = { version: job.to.version, check: failing?.name ?? '' }
      const cause = { code: 'unhealthy', text, facts }
      if (job.kind === 'install') return { at: 'falling-back', job, cause }
      await recordOnce('unhealthy', job, { commit: job.to.commit, version: job.to.version })
      return { at: 'failed', job, cause }
    }
    await clearTrial(engine.sysroot)
    if (job.kind === 'install') {
      await changeSides(job)
      await journal.write({ epochFloor: Math.max(journal.read().epochFloor, job.to.epoch) })
    }
    await recordOnce('good', job, {
      commit: job.to.commit,
      version: job.to.version,
      ...(job.kind === 'install' ? { epoch: job.to.epoch, timestamp: job.to.timestamp } : {}),
    })
    return { at: 'done', job }
  }

  async function fallBack(job: InstallJob, cause: Cause): Promise<State> {
    await journal.write({ left: { ...journal.read().left, [job.to.commit]: cause.text } })
    await recordOnce('fell-back', job, {
      commit: job.to.commit,
      version: job.to.version,
      to: job.from.version,
      ...cause,
    })
    try {
      await giveUpReserve(config.state)
      await setDefault(engine, job.from)
    } catch (error) {
      const { message } = asFailure(error, 'go back')
      return {
        at: 'failed',
        job,
        cause: { ...cause, text: `${cause.text}, and going back failed: ${message}` },
      }
    }
    await clearTrial(engine.sysroot)
    const { booted, bootId } = await core.device()
    if (isTarget(job, booted)) return { at: 'returning', job, bootId, cause }
    return { at: 'fell-back', job, cause }
  }

  async function rollBack(job: RollbackJob): Promise<State> {
    meter.begin('rollback', 0)
    try {
      await setDefault(engine, job.to)
    } catch (error) {
      const cause = causeOf(asFailure(error, 'roll back'))
      await recordOnce('failed', job, { version: job.to.version, ...cause })
      return { at: 'failed', job, cause }
    }
    const { booted, bootId } = await core.device()
    await clearTrial(engine.sysroot)
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
    // After a power cut the target may be running already.
    return isTarget(job, booted) ? { at: 'trying', job } : { at: 'reboot', job, bootId }
  }

  async function checkBoot(): Promise<void> {
    const { bootId, booted } = await core.device()
    const { health } = journal.read()
    if (health?.bootId === bootId && health.verdict !== 'checking') return
    const { verdict } = await runChecks()
    if (verdict === 'good') await history.add('good', { commit: booted.commit, version: booted.version })
  }

  return { judge, fallBack, rollBack, checkBoot }
}
