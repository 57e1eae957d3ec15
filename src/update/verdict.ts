/** What becomes of a release that was booted: its health decides whether it stays, and the ways back to the one before. */
import { join } from 'node:path'
import { diskTrouble } from '../base/disk.ts'
import { asFailure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { safe } from '../base/text.ts'
import { checkHealth, type HealthPlan } from '../boot/health.ts'
import { runHooks } from '../boot/hooks.ts'
import { account, readLedger } from '../boot/ledger.ts'
import { inOneLine } from '../boot/programs.ts'
import { etcState, settingsOnlyIn } from '../ostree/etc.ts'
import { setDefault } from '../ostree/rollback.ts'
import { type Deployment, deploymentId } from '../ostree/status.ts'
import { type Core, causeOf } from './core.ts'
import type { DeviceState } from './device.ts'
import { hookTerms, programLock, refusedBy } from './hooks.ts'
import type { BootHealth } from './journal.ts'
import { giveUpReserve, makeReserve } from './reserve.ts'
import type { ReleaseName } from './snapshot.ts'
import {
  type Cause,
  type ChangeJob,
  type InstallJob,
  isOver,
  isTarget,
  notStarted,
  type RollbackJob,
  type State,
} from './state.ts'
import { clearTrial, passOver } from './trial.ts'

export interface Verdicts {
  /** The job's target runs: is it good? Undefined when that was interrupted. */
  judge(job: ChangeJob): Promise<State | undefined>
  /** Let the checks that run be the last ones: an operator has decided otherwise. */
  interrupt(): void
  /** It is not good: the one before becomes the default again. */
  fallBack(job: InstallJob, cause: Cause): Promise<State>
  /** An operator wants another deployment. */
  rollBack(job: RollbackJob): Promise<State>
  /** Run the health checks of this boot, if they have not run yet. */
  checkBoot(): Promise<void>
}

/** An operator went back to an older release for good, since a newer one that was here is dated wrong. */
const leadsOut = (job: InstallJob, newest: string) =>
  job.disownNewer === true && Date.parse(job.to.timestamp) < Date.parse(newest)

const goneBackFrom = ({ deployments }: DeviceState, timestamp: string) => ({
  newest: timestamp,
  disowned: deployments.filter(one => Date.parse(one.timestamp) > Date.parse(timestamp)).map(({ commit }) => commit),
})

/** Of the settings that did not arrive, so many are named. */
const LOST_NAMED = 5

export function makeVerdicts(core: Core): Verdicts {
  const { config, engine, journal, history, meter, onChange, recordOnce } = core
  let interrupter = new AbortController()

  /** What every device is checked for, and what its configuration names. */
  const plan: HealthPlan = {
    folders: config.health.checks,
    units: config.health.units,
    writable: [
      { name: '/var', folder: config.state },
      { name: '/sysroot', folder: join(engine.repo, 'tmp'), remount: '/sysroot' },
    ],
  }

  /** A release counts as left once the one that was wanted instead runs: a rollback that is called off leaves no trace. */
  async function changeSides(job: ChangeJob): Promise<void> {
    const { [job.to.commit]: _, ...left } = journal.read().left
    if (job.kind === 'rollback' && job.from.commit !== job.to.commit) left[job.from.commit] = job.reason
    await journal.write({ left })
  }

  /** @param job whose target has just been installed: its own hooks come first, and what fails there is not checked further */
  async function runChecks(job?: InstallJob): Promise<BootHealth> {
    interrupter = new AbortController()
    const { signal } = interrupter
    const { booted, bootId } = await core.device()
    const show = async (checks: BootHealth['checks'], verdict: BootHealth['verdict']) => {
      const health = { verdict, at: new Date().toISOString(), version: booted.version, checks, bootId }
      await journal.write({ health })
      onChange()
      return health
    }
    await show([], 'checking')
    const sofar = (done: BootHealth['checks']) => void show([...done], 'checking')
    let checks: BootHealth['checks'] = []
    if (job) {
      const terms = { ...hookTerms(config, engine, 'update', job.from, job.to), signal }
      const { done, failed } = await runHooks(config.hooks.folder, 'post-boot', terms, sofar)
      if (failed) return show(done, 'bad')
      checks = done
    }
    const environment = { SUPERBLOCK_VERSION: booted.version, SUPERBLOCK_COMMIT: booted.commit }
    const terms = { timeout: config.health.timeout, environment, lock: programLock(engine), signal }
    checks = [...checks, ...(await checkHealth(plan, terms, done => sofar([...checks, ...done])))]
    if (signal.aborted) return show(checks, 'checking')
    return show(checks, checks.some(check => check.required && !check.ok) ? 'bad' : 'good')
  }

  /** What was changed after the release was deployed, and before anybody could deploy it again, is said. */
  async function lookForLostSettings({ from, to, etc }: InstallJob): Promise<void> {
    const own = join(engine.sysroot, `ostree/deploy/${to.os}/deploy/${deploymentId(from)}`)
    if (etc === undefined || !(await isThere(own)) || (await etcState(join(own, 'etc'))) === etc) return
    const paths = await settingsOnlyIn(own, '/', LOST_NAMED)
    if (paths.length === 0) return
    const named = paths.map(path => safe(`/etc/${path}`, 80)).join(', ')
    core.problem('settings-lost', {
      text: `settings that were changed shortly before the update are only in version ${from.version}: ${named}`,
      next: 'Look whether they matter, and set them again.',
      facts: { paths: named, version: from.version },
    })
  }

  async function judge(job: ChangeJob): Promise<State | undefined> {
    if (job.kind === 'rollback') await changeSides(job)
    else {
      // It starts all the same: the boot loader has not done what it was told.
      const ledger = await readLedger(config.state)
      if (ledger?.over) return notStarted(job, account(ledger))
      await lookForLostSettings(job)
    }
    const health = await runChecks(job.kind === 'install' ? job : undefined)
    if (health.verdict === 'checking') return undefined
    if (health.verdict === 'bad') return unhealthy(job, health)
    let downgrade = false
    if (job.kind === 'rollback') await finishRollback(job)
    else {
      try {
        await clearTrial(engine, config.state)
      } catch (error) {
        // It would be counted on, and left some day, though it was found good.
        return { at: 'falling-back', job, cause: causeOf(asFailure(error, 'end the trial')) }
      }
      await changeSides(job)
      const before = await core.device()
      const epochFloor = Math.max(journal.read().epochFloor, job.to.epoch)
      downgrade = leadsOut(job, before.newest)
      // From now on this is what later releases are compared with.
      await journal.write({ epochFloor, ...(downgrade && goneBackFrom(before, job.to.timestamp)) })
      if (downgrade) await core.device()
    }
    await recordOnce('good', job, {
      commit: job.to.commit,
      version: job.to.version,
      ...(job.kind === 'install' ? { epoch: job.to.epoch, timestamp: job.to.timestamp } : {}),
      ...(downgrade ? { downgrade } : {}),
    })
    return { at: 'done', job }
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

  async function unhealthy(job: ChangeJob, { checks }: BootHealth): Promise<State> {
    const failing = checks.filter(check => check.required && !check.ok)
    const check = failing.map(({ name }) => name).join(', ')
    const [only, ...more] = failing
    const last = ({ name, output }: (typeof failing)[number]) => `${name}: ${output.split('\n').at(-1)}`
    const said = inOneLine(more.length > 0 ? failing.map(last).join(' / ') : (only?.output ?? ''))
    const facts = { version: job.to.version, check, said }
    const text = `version ${job.to.version} failed the health check ${safe(check)}${said && ` (${said})`}`
    const cause = { code: 'unhealthy', text, facts }
    if (job.kind === 'install') return { at: 'falling-back', job, cause }
    await recordOnce('unhealthy', job, { commit: job.to.commit, version: job.to.version, ...cause })
    return { at: 'failed', job, cause, stuck: true }
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
        const { bootId } = await core.device()
        return { at: 'reboot', job, bootId }
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

  let checking: Promise<void> | undefined
  const checkBoot = (): Promise<void> => {
    checking ??= checkThisBoot().finally(() => {
      checking = undefined
    })
    return checking
  }

  async function checkThisBoot(): Promise<void> {
    const { bootId, booted } = await core.device()
    const { health, state } = journal.read()
    if (health?.bootId === bootId && health.verdict !== 'checking') return
    // The trial's verdict is the job's. And where an operator leaves what runs, nobody is to find it good behind their back.
    if (state.at === 'trying') return
    if (state.at !== 'idle' && state.job.kind === 'rollback' && !isOver(state)) return
    const { verdict } = await runChecks()
    if (verdict !== 'good') return
    await endForgotten(booted)
    await history.add('good', { commit: booted.commit, version: booted.version })
  }

  /**
   * A trial that no job knows of any more, since the journal was lost. When its release is what runs, it was found good with
   * it; when it is what starts next, it would be started for ever once nothing counts, so what runs becomes the default.
   */
  async function endForgotten(booted: Deployment): Promise<void> {
    if (!isOver(journal.read().state)) return // the job's own trial goes on
    const target = (await readLedger(config.state))?.target.deployment
    const [next] = (await core.device()).deployments
    if (next && !next.booted && deploymentId(next) === target) {
      const { left } = journal.read()
      await journal.write({ left: { ...left, [next.commit]: 'its trial was forgotten before it was found good' } })
      await giveUpReserve(config.state)
      await setDefault(engine, booted)
    }
    await clearTrial(engine, config.state)
    await core.device()
  }

  return { judge, interrupt: () => interrupter.abort(), fallBack, rollBack, checkBoot }
}
