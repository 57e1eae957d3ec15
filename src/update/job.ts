/**
 * The one job at a time: what is due next follows from the journalled state, so that a start of the service and the next
 * step of a running job are the same thing.
 */
import { randomUUID } from 'node:crypto'
import { asFailure, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { abortable, type Source, unlessAborted } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { clearTrial } from '../boot/bootloader.ts'
import { checkHealth } from '../boot/health.ts'
import type { Config } from '../config.ts'
import type { Engine } from '../ostree/engine.ts'
import { setDefault } from '../ostree/rollback.ts'
import type { Judges } from './admit.ts'
import { type DeviceState, nameOf, rollbackTarget } from './device.ts'
import type { History } from './history.ts'
import type { Journal } from './journal.ts'
import { type Meter, makeMeter } from './meter.ts'
import type { Offer, Offers } from './offers.ts'
import { giveUpReserve, makeReserve } from './reserve.ts'
import type { HealthInfo, InstallRequest, RollbackRequest, StepName } from './snapshot.ts'
import {
  type Cause,
  changesBootOrder,
  type InstallJob,
  isCancellable,
  isOver,
  isTarget,
  type Job,
  STEPS,
  type State,
} from './state.ts'
import { steps, type Workshop } from './steps.ts'

export interface Surroundings {
  config: Config
  engine: Engine
  journal: Journal
  history: History
  log: Log
  offers: () => Offers
  /** Look at one file that was named instead of offered. */
  examine: (path: string) => Promise<Offer>
  /** Open a file on whatever medium it is. */
  open: (path: string) => Promise<Source>
  /** what the device is now; asked anew */
  device: () => Promise<DeviceState>
  judges: (allowDowngrade: boolean) => Promise<Judges>
  /** the state is another */
  onChange: () => void
  /** the running step came further */
  onMove: () => void
}

export interface JobRoom {
  meter: Meter
  /** Do whatever is due, until something outside must happen. */
  advance(): Promise<void>
  install(request: InstallRequest): Promise<void>
  rollback(request: RollbackRequest): Promise<void>
  cancel(): Promise<void>
  /** Offers came or went: a paused job may continue. */
  offersChanged(): void
  /** Run the health checks of this boot, if they have not run yet. */
  checkBoot(): Promise<void>
  /** Begin nothing more; resolves when what must not be left half done is done. */
  stop(): Promise<void>
}

const causeOf = ({ code, message, facts }: Failure): Cause => ({ code, text: message, facts })

/** Milliseconds that somebody who asks for an installation waits for a look at the package. */
const LOOK = 10_000

/** @throws Failure `not-answering` */
function promptly<T>(look: Promise<T>): Promise<T> {
  const late = new AbortController()
  const text =
    'cannot install: the stick with the package is not answering; take it out and put it back, or try another'
  const timer = setTimeout(() => late.abort(new Failure('not-answering', text)), LOOK)
  return unlessAborted(look, late.signal).finally(() => clearTimeout(timer))
}

/** Codes that mean: the stick is the trouble, another one or the same again may do. */
const MEDIA = ['media-gone', 'media-error', 'not-answering']

const REMOVED = 'The stick was removed'
const waiting = (code: string, why: string): Cause => ({
  code,
  text: `${why}. Put the stick back, or another with the same package; the installation continues by itself.`,
})

export function openJobRoom(around: Surroundings): JobRoom {
  const { config, engine, journal, history, log, onChange } = around
  const meter = makeMeter(around.onMove)
  const state = () => journal.read().state
  let working: Promise<void> | undefined
  let stopping = false
  let aborter = new AbortController()
  /** what is kept in memory between admit and stage: the open file and what was found in it */
  let shop: Workshop | undefined
  /** the copy of the package that could not be read on: it is not tried again until it was taken out and put back */
  let worn: Offer | undefined
  let retried = false

  async function enter(next: State): Promise<void> {
    await journal.write({ state: next })
    log.info({ state: next.at, ...('step' in next ? { step: next.step } : {}) }, 'state')
    onChange()
  }

  function advance(): Promise<void> {
    working ??= (async () => {
      for (;;) {
        const next = stopping ? undefined : await act(state())
        if (!next) return
        await enter(next)
      }
    })()
      .catch(error => log.error({ err: error }, 'cannot go on'))
      .finally(() => {
        working = undefined
        onChange()
      })
    return working
  }

  /** The state after what is due now was done, or undefined when something outside must happen first. */
  async function act(now: State): Promise<State | undefined> {
    switch (now.at) {
      case 'installing':
        return now.paused ? undefined : installStep(now.job, now.step)
      case 'undoing':
        return undoStep(now.job, now.step, now.cause)
      case 'rolling-back':
        return flip(now.job)
      case 'trying':
        return judgeBoot(now.job)
      case 'falling-back':
        return fallBack(now.job, now.cause)
      default:
        return undefined
    }
  }

  async function installStep(job: InstallJob, step: StepName): Promise<State> {
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

  /** The journalled job: a step may have added to it. */
  function currentJob(job: InstallJob): InstallJob {
    const now = state()
    return now.at === 'installing' && now.job.id === job.id ? now.job : job
  }

  async function openShop(job: InstallJob): Promise<void> {
    await closeShop()
    aborter = new AbortController()
    const { signal } = aborter
    const opening = around.open(job.path)
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
      folder: config.state,
      settings: { keep: config.install.keep, reserve: config.install.reserve, tries: config.trial.tries },
      meter,
      signal: aborter.signal,
      source,
      judges: () => around.judges(job.allowDowngrade),
      async update(change) {
        const now = state()
        if (now.at === 'installing') await enter({ ...now, job: { ...now.job, ...change } })
      },
      isProtected: deployment => deployment.commit === job.from.commit,
    }
  }

  async function closeShop(): Promise<void> {
    const source = shop?.source
    shop = undefined
    await source?.close().catch(() => {})
  }

  function afterFailure(job: InstallJob, step: StepName, error: unknown): State {
    if (aborter.signal.aborted) return { at: 'undoing', job, step, cause: { code: 'cancelled', text: 'cancelled' } }
    const failure = asFailure(error, `install ${job.path}`)
    log.warn({ err: failure, code: failure.code, step }, 'a step failed')
    if (failure.code === 'media-error' && !retried) {
      retried = true
      return { at: 'installing', job, step: 'admit' }
    }
    if (MEDIA.includes(failure.code)) {
      worn = around.offers().at(job.path)
      const paused = waiting(failure.code, failure.code === 'media-gone' ? REMOVED : failure.message)
      return { at: 'installing', job, step: 'admit', paused }
    }
    return { at: 'undoing', job, step, cause: causeOf(failure) }
  }

  async function settled(job: InstallJob): Promise<State> {
    const { deployments, booted, bootId } = await around.device()
    await recordOnce('installed', job, {
      commit: job.to.commit,
      serial: deployments[0]?.serial,
      version: job.to.version,
      timestamp: job.to.timestamp,
      from: job.from.version,
      package: job.offer,
      counters: job.counters,
    })
    return isTarget(job, booted) ? { at: 'trying', job } : { at: 'reboot', job, bootId }
  }

  async function undoStep(job: Job, step: StepName, cause: Cause): Promise<State> {
    try {
      if (job.kind === 'rollback') await setDefault(engine, job.from)
      else await steps[step].undo(job, makeShop(job, undefined))
    } catch (error) {
      // What is left over does no harm and is cleaned up by the next job; going on is worth more than stopping here.
      log.error({ err: error, step }, 'cannot take back a step')
    }
    const before = STEPS[STEPS.indexOf(step) - 1]
    if (before && job.kind === 'install') return { at: 'undoing', job, step: before, cause }
    await makeReserve(config.state, config.install.reserve).catch(() => {})
    // Who sees the end of the job sees the deployments as they are then.
    await around.device()
    const cancelled = cause.code === 'cancelled'
    await recordOnce(cancelled ? 'cancelled' : 'failed', job, { version: job.to.version, ...cause })
    return { at: cancelled ? 'cancelled' : 'failed', job, cause }
  }

  async function flip(job: Extract<Job, { kind: 'rollback' }>): Promise<State> {
    meter.begin('rollback', 0)
    try {
      await setDefault(engine, job.to)
    } catch (error) {
      const cause = causeOf(asFailure(error, 'roll back'))
      await recordOnce('failed', job, { version: job.to.version, ...cause })
      return { at: 'failed', job, cause }
    }
    const { booted, bootId } = await around.device()
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

  /** A release counts as left once the one that was wanted instead runs: a rollback that is called off leaves no trace. */
  async function changeSides(job: Job): Promise<void> {
    const { [job.to.commit]: _, ...left } = journal.read().left
    if (job.kind === 'rollback' && job.from.commit !== job.to.commit) left[job.from.commit] = job.reason
    await journal.write({ left })
  }

  async function judgeBoot(job: Job): Promise<State> {
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
    const { booted, bootId } = await around.device()
    if (isTarget(job, booted)) return { at: 'returning', job, bootId, cause }
    return { at: 'fell-back', job, cause }
  }

  /** A job repeats its steps after a crash; its history does not repeat itself. */
  async function recordOnce(event: string, job: Job, facts: { [key: string]: unknown }): Promise<void> {
    const told = (await history.entries()).some(entry => entry.job === job.id && entry.event === event)
    if (!told) await history.add(event, { job: job.id, ...facts })
  }

  async function runChecks(): Promise<HealthInfo> {
    const { booted, bootId } = await around.device()
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

  function refuseIfBusy(): void {
    const now = state()
    if (!isOver(now))
      throw new Failure('busy', `cannot begin: another job is not over yet (${now.at}). See: superblock status`)
  }

  async function install(request: InstallRequest): Promise<void> {
    refuseIfBusy()
    const offer = await requested(request)
    const allowed = offer.verdict.fits || (offer.verdict.code === 'older' && request.allowDowngrade)
    if (!offer.verdict.fits && !allowed)
      throw new Failure(offer.verdict.code, `cannot install ${safe(offer.path)}: ${offer.verdict.why}`, {
        facts: offer.verdict.facts,
      })
    const { booted } = await around.device()
    refuseIfBusy()
    const job: InstallJob = {
      kind: 'install',
      id: randomUUID(),
      offer: offer.id ?? '',
      medium: offer.medium,
      path: offer.path,
      allowDowngrade: request.allowDowngrade === true,
      startedAt: new Date().toISOString(),
      from: nameOf(booted),
      to: { version: offer.manifest?.version ?? '', commit: '', ref: '', os: '', epoch: 0, timestamp: '' },
      earlierRef: '',
      unpacked: 0,
      counters: { bytesRead: 0, membersRead: 0, membersSkipped: 0, bytesWritten: 0 },
    }
    retried = false
    await enter({ at: 'installing', job, step: 'admit' })
    void advance()
  }

  async function requested({ id, path }: InstallRequest): Promise<Offer> {
    if (id !== undefined) return promptly(around.offers().findNow(id))
    if (path !== undefined) return promptly(around.examine(path))
    throw new Failure('bad-request', 'cannot install: name a package by its id or its path')
  }

  async function rollback(request: RollbackRequest): Promise<void> {
    refuseIfBusy()
    if (request.reason.trim() === '') throw new Failure('bad-request', 'cannot roll back without a reason')
    const { deployments, booted } = await around.device()
    const target =
      request.index === undefined ? rollbackTarget(deployments) : deployments.find(d => d.index === request.index)
    if (!target)
      throw new Failure('not-found', 'cannot roll back: there is no such deployment. See: superblock deployments')
    if (target.booted && target.index === 0)
      throw new Failure('already-booted', `cannot roll back: version ${target.version} is what this device runs`)
    refuseIfBusy()
    // Before the journal is written: on a full disk it is this that makes room for it.
    await giveUpReserve(config.state)
    const job = {
      kind: 'rollback' as const,
      id: randomUUID(),
      startedAt: new Date().toISOString(),
      from: nameOf(booted),
      to: nameOf(target),
      reason: request.reason.slice(0, 500),
    }
    await enter({ at: 'rolling-back', job })
    void advance()
  }

  async function cancel(): Promise<void> {
    const now = state()
    if (!isCancellable(now))
      throw new Failure('not-cancellable', 'cannot cancel: there is nothing that could be stopped safely now')
    const cause = { code: 'cancelled', text: 'cancelled' }
    if (now.at === 'reboot') await enter({ at: 'undoing', job: now.job, step: 'settle', cause })
    else if (now.at === 'installing' && now.paused) await enter({ at: 'undoing', job: now.job, step: 'stage', cause })
    else aborter.abort(new Failure('cancelled', 'cancelled'))
    void advance()
  }

  function offersChanged(): void {
    const now = state()
    if (now.at !== 'installing' || !now.paused || working) return
    const copy = around
      .offers()
      .copies(now.job.offer)
      .find(offer => offer !== worn && (offer.verdict.fits || now.job.allowDowngrade))
    if (!copy) {
      // What could not be read was a stick on its way out.
      if (now.job.medium !== '' && now.paused.code !== 'media-gone' && !around.offers().at(now.job.path))
        void enter({ ...now, paused: waiting('media-gone', REMOVED) })
      return
    }
    retried = false
    const job = { ...now.job, path: copy.path, medium: copy.medium }
    void enter({ at: 'installing', job, step: 'admit' }).then(advance)
  }

  async function checkBoot(): Promise<void> {
    const { bootId, booted } = await around.device()
    const { health } = journal.read()
    if (health?.bootId === bootId && health.verdict !== 'checking') return
    const { verdict } = await runChecks()
    if (verdict === 'good') await history.add('good', { commit: booted.commit, version: booted.version })
  }

  async function stop(): Promise<void> {
    stopping = true
    // Everything else goes on in the next life of the service as if nothing had been.
    if (changesBootOrder(state())) await working
  }

  return { meter, advance, install, rollback, cancel, offersChanged, checkBoot, stop }
}
