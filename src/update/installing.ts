/** An installation step by step, forwards and back, with what it keeps in memory: the open package, and what became of the stick. */
import { diskTrouble } from '../base/disk.ts'
import { asFailure, Failure } from '../base/failure.ts'
import { abortable, unlessAborted } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { setDefault } from '../ostree/rollback.ts'
import type { Deployment } from '../ostree/status.ts'
import { removeDeployments } from '../ostree/tidy.ts'
import { type Core, causeOf } from './core.ts'
import type { Offer } from './offers.ts'
import { makeReserve } from './reserve.ts'
import type { StepName } from './snapshot.ts'
import { type Cause, type InstallJob, isTarget, STEPS, type State, type Undoing } from './state.ts'
import { steps, type Workshop } from './steps.ts'

export interface Installing {
  /** Do a step. @returns the state after it */
  step(job: InstallJob, step: StepName): Promise<State>
  /** Take back what a job did, from this step downwards. @returns the state after that of one step */
  undo(state: Undoing): Promise<State>
  /** Stop a step that reads the stick. */
  abort(): void
  /** A new attempt begins: what was read badly before may be read again. */
  renew(): void
  /** Is this the copy of the package that could not be read on? It is not tried again until it was taken out and put back. */
  isWorn(offer: Offer): boolean
}

/** Codes that mean: the stick is the trouble, another one or the same again may do. */
const MEDIA = ['media-gone', 'media-error', 'not-answering']

const waiting = (code: string, why: string): Cause => ({
  code,
  text: `${why}. Put the stick back, or another with the same package; the installation continues by itself.`,
})

/** The device's own disk is what failed: what comes from the stick or from a hook is a failure with a code of its own. */
function ofDisk(error: unknown, { path }: InstallJob): Failure | undefined {
  if (error instanceof Failure && error.code !== 'command-failed') return undefined
  const because = (code: string, why: string) =>
    new Failure(code, `cannot install ${safe(path)}: ${why}`, { cause: error })
  switch (diskTrouble(error)) {
    case 'full':
      return because('disk-full', "the device's disk is full. Remove something, then try again")
    case 'read-only':
      return because('disk-error', "the device's disk can only be read. Call support")
    case 'failing':
      return because('disk-error', "the device's disk reports errors. Call support")
    default:
      return undefined
  }
}

/** What ostree says when another program has had the lock of the repo or the sysroot for longer than it waits. */
const isLocked = (error: unknown) =>
  error instanceof Failure &&
  error.code === 'command-failed' &&
  /[Ll]ock(ing)?\b.*(Resource temporarily unavailable|timed? ?out)|Unable to acquire.*lock/.test(error.message)

const LOCKED: Cause = {
  code: 'store-locked',
  text: "Another program uses the device's store of releases. The installation waits for it and goes on by itself.",
}

/** The package is not there any more. */
export const gone = ({ onStick }: InstallJob): Cause =>
  onStick
    ? waiting('media-gone', 'The stick was removed')
    : {
        code: 'package-gone',
        text: 'The package was taken out of the inbox. Put it back, or insert a stick with it; the installation continues by itself.',
      }

export function makeInstalling(core: Core): Installing {
  const { config, engine, log, meter, enter, recordOnce } = core
  let aborter = new AbortController()
  /** what is kept in memory between admit and stage: the open file and what was found in it */
  let shop: Workshop | undefined
  let worn: Offer | undefined
  let retried = false

  async function forward(job: InstallJob, step: StepName): Promise<State> {
    if (step === 'stage' && shop?.admitted?.surplus.length) return makeRoom(job, shop.admitted.surplus)
    // What admit found out is gone with the process that found it.
    if (step === 'stage' && !shop?.admitted) return { at: 'installing', job, step: 'admit' }
    try {
      if (step === 'admit') await openShop(job)
      await steps[step].do(job, shop ?? makeShop(job, undefined))
      if (step === 'admit' || step === 'stage') aborter.signal.throwIfAborted()
    } catch (error) {
      await closeShop()
      return afterFailure(currentJob(job), step, error)
    }
    if (step === 'stage') await closeShop()
    const done = currentJob(job)
    const next = STEPS[STEPS.indexOf(step) + 1]
    return next ? { at: 'installing', job: done, step: next } : settled(done)
  }

  /** What the end of the installation would remove anyway goes first; what is then to be read is found out anew. */
  async function makeRoom(job: InstallJob, surplus: readonly Deployment[]): Promise<State> {
    const removed = [...(job.removed ?? []), ...surplus.map(({ version, commit }) => ({ version, commit }))]
    await enter({ at: 'installing', job: { ...job, removed }, step: 'stage' })
    try {
      core.tidied(await removeDeployments(engine, surplus))
    } catch (error) {
      return afterFailure(currentJob(job), 'stage', error)
    }
    await closeShop()
    await core.device()
    return { at: 'installing', job: currentJob(job), step: 'admit' }
  }

  /** The journalled job: a step may have added to it. */
  function currentJob(job: InstallJob): InstallJob {
    const now = core.state()
    return now.at === 'installing' && now.job.id === job.id ? now.job : job
  }

  async function openShop(job: InstallJob): Promise<void> {
    await closeShop()
    aborter = new AbortController()
    const { signal } = aborter
    const opening = core.open(job.path)
    try {
      shop = makeShop(job, abortable(await unlessAborted(opening, signal), signal))
    } catch (error) {
      // A stick that did not answer may still do so; nothing may stay open on it.
      void opening.then(source => source.close()).catch(() => {})
      throw error
    }
  }

  function makeShop(job: InstallJob, source: Workshop['source']): Workshop {
    return {
      engine,
      config,
      meter,
      signal: aborter.signal,
      source,
      judges: () => core.judges(job.allowDowngrade),
      async update(change) {
        const now = core.state()
        if (now.at === 'installing') await enter({ ...now, job: { ...now.job, ...change } })
      },
      isProtected: deployment => deployment.commit === job.from.commit,
      tidied: core.tidied,
    }
  }

  async function closeShop(): Promise<void> {
    const source = shop?.source
    shop = undefined
    await source?.close().catch(() => {})
  }

  function afterFailure(job: InstallJob, step: StepName, error: unknown): State {
    if (aborter.signal.aborted) return { at: 'undoing', job, step, cause: { code: 'cancelled', text: 'cancelled' } }
    const failure = damaged(ofDisk(error, job) ?? asFailure(error, `install ${safe(job.path)}`), job)
    log.warn({ err: failure, code: failure.code, step }, 'a step failed')
    // From here on nothing needs the stick, and what another program holds it will let go of.
    if (isLocked(error)) return { at: 'installing', job, step, waiting: LOCKED }
    if (failure.code === 'media-error' && !retried) {
      retried = true
      return { at: 'installing', job, step: 'admit' }
    }
    if (MEDIA.includes(failure.code)) {
      worn = core.offers().at(job.path)
      const paused = failure.code === 'media-gone' ? gone(job) : waiting(failure.code, failure.message)
      return { at: 'installing', job, step: 'admit', paused }
    }
    // A job that had gone on from what was staged leaves nothing, either.
    return { at: 'undoing', job, step: step === 'admit' ? 'stage' : step, cause: causeOf(failure) }
  }

  /** What was found damaged is remembered of the file; that another copy is there is said. */
  function damaged(failure: Failure, { path, offer }: InstallJob): Failure {
    if (failure.code !== 'tampered') return failure
    core.offers().damaged(path, failure)
    const other = core.offers().copies(offer)[0]
    if (!other?.verdict.fits) return failure
    const advice = `Another copy of the package was not found damaged: ${safe(other.path)}. Install that one`
    const facts = { ...failure.facts, other: other.path }
    return new Failure(failure.code, `${failure.message}. ${advice}`, { cause: failure, facts })
  }

  async function settled(job: InstallJob): Promise<State> {
    const { deployments, booted, bootId } = await core.device()
    await recordOnce('installed', job, {
      commit: job.to.commit,
      serial: deployments[0]?.serial,
      version: job.to.version,
      timestamp: job.to.timestamp,
      from: job.from.version,
      package: job.offer,
      counters: job.counters,
      ...(job.allowDowngrade ? { allowDowngrade: true } : {}),
      ...(job.disownNewer ? { disownNewer: true } : {}),
      ...(job.reason ? { reason: job.reason } : {}),
      ...(job.removed ? { removed: job.removed } : {}),
    })
    return isTarget(job, booted) ? { at: 'trying', job } : { at: 'reboot', job, bootId }
  }

  async function back({ job, step, cause, ...before }: Undoing): Promise<State> {
    let { remains } = before
    try {
      if (job.kind === 'rollback') await setDefault(engine, job.from)
      else await steps[step].undo(job, makeShop(job, undefined))
    } catch (error) {
      if (isLocked(error)) throw error // it is tried again
      log.error({ err: error, step }, 'cannot take back a step')
      if (job.kind === 'install' && step === 'deploy') {
        const kept = await keepFromStarting(job, error)
        if (kept) return kept
        remains = true
      }
      // What is left over else does no harm and is cleaned up by the next job; going on is worth more than stopping here.
    }
    const next = STEPS[STEPS.indexOf(step) - 1]
    if (next && job.kind === 'install') return { at: 'undoing', job, step: next, cause, ...(remains && { remains }) }
    await makeReserve(config.state, config.install.reserve).catch(() => {})
    // Who sees the end of the job sees the deployments as they are then.
    await core.device()
    const cancelled = cause.code === 'cancelled'
    await recordOnce(cancelled ? 'cancelled' : 'failed', job, { version: job.to.version, ...cause })
    return { at: cancelled ? 'cancelled' : 'failed', job, cause, ...(remains && { remains }) }
  }

  /**
   * The new deployment cannot be removed. A release never starts without its trial: so that ends only when another starts.
   * @returns the state in which it does start, or undefined when it does not
   */
  async function keepFromStarting(job: InstallJob, error: unknown): Promise<State | undefined> {
    try {
      await setDefault(engine, job.from)
    } catch (second) {
      log.error({ err: second }, 'cannot make the release before the next to start')
    }
    const { deployments, booted, bootId } = await core.device()
    const [next = booted] = deployments
    if (!isTarget(job, next) || isTarget(job, booted)) return undefined
    return { at: 'reboot', job, bootId, cause: causeOf(asFailure(error, 'call it off')) }
  }

  return {
    step: forward,
    undo: back,
    abort: () => aborter.abort(new Failure('cancelled', 'cancelled')),
    renew() {
      retried = false
    },
    isWorn: offer => offer === worn,
  }
}
