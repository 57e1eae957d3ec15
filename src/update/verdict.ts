/** What becomes of a release that was booted: its health decides whether it stays. */
import { join } from 'node:path'
import { asFailure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { safe } from '../base/text.ts'
import { checkHealth, type HealthPlan } from '../boot/health.ts'
import { runHooks } from '../boot/hooks.ts'
import { account, readLedger } from '../boot/ledger.ts'
import { inOneLine, timed } from '../boot/programs.ts'
import { etcState, settingsOnlyIn } from '../ostree/etc.ts'
import { setDefault } from '../ostree/rollback.ts'
import { deploymentId } from '../ostree/status.ts'
import { type Core, causeOf } from './core.ts'
import type { DeviceState } from './device.ts'
import type { Returns } from './going-back.ts'
import { hookTerms, programLock } from './hooks.ts'
import type { BootHealth } from './journal.ts'
import { signersAfter, signersText } from './keys.ts'
import { giveUpReserve } from './reserve.ts'
import { type ChangeJob, type InstallJob, isOver, notStarted, type State } from './state.ts'
import { clearTrial, isPassed, readTrial } from './trial.ts'

export interface Verdicts {
  /** The job's target runs: is it good? Undefined when that was interrupted. */
  judge(job: ChangeJob): Promise<State | undefined>
  /** Let the checks that run be the last ones: an operator has decided otherwise. */
  interrupt(): void
  /** Run the health checks of this boot, if they have not run yet. */
  checkBoot(): Promise<void>
  /** What runs is good, and a trial that no job knows of is ended. @throws Failure; it is to be tried again */
  endForgotten(): Promise<void>
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

export function makeVerdicts(core: Core, { changeSides, finishRollback }: Returns): Verdicts {
  const { config, engine, journal, history, onChange, recordOnce } = core
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
    const keys = job && (await canGoOn(job))
    if (keys && !keys.ok) checks = [...checks, keys]
    checks = [...checks, ...(await checkHealth(plan, terms, done => sofar([...checks, ...done])))]
    if (signal.aborted) return show(checks, 'checking')
    return show(checks, checks.some(check => check.required && !check.ok) ? 'bad' : 'good')
  }

  /** A release after which nothing can be installed any more is none to stay on: the one before took this one. */
  const canGoOn = (job: InstallJob) =>
    timed('keys', true, async () => {
      const { required } = config.signatures
      const signers = await signersAfter(config, job.to.timestamp)
      return { ok: signers.usable.length >= required, output: signersText(signers, required) }
    })

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
    await history.add('good', { commit: booted.commit, version: booted.version })
    await endForgotten()
  }

  /**
   * A trial that no job knows of any more, since the journal was lost or could not be written. When its release is what runs, it was
   * found good with it; when it is what starts next, it would be started for ever once nothing counts, so what runs becomes the default.
   */
  async function endForgotten(): Promise<void> {
    const { bootId, booted, deployments } = await core.device()
    const { state, health, left } = journal.read()
    if (!isOver(state) || health?.bootId !== bootId || health.verdict === 'checking') return
    const target = (await readLedger(config.state))?.target.deployment
    if (target === undefined && !(await readTrial(engine).catch(() => undefined))) return
    const [next] = deployments
    const leaves = next !== undefined && !next.booted
    const wasOnTrial = leaves && deploymentId(next) === target
    const isPassedOver = leaves && !wasOnTrial && (await isPassed(engine, next))
    // What an operator wanted does not depend on how well it is.
    if (health.verdict === 'bad' && !isPassedOver) return
    if (wasOnTrial || isPassedOver) {
      const why = wasOnTrial ? 'its trial was forgotten before it was found good' : 'an operator went back from it'
      await journal.write({ left: { ...left, [next.commit]: left[next.commit] ?? why } })
      await giveUpReserve(config.state)
      await setDefault(engine, booted)
    }
    await clearTrial(engine, config.state)
    await core.device()
  }

  return { judge, interrupt: () => interrupter.abort(), checkBoot, endForgotten }
}
