/** What may be asked for: each request is refused, or becomes the journalled state from which the rest follows. */
import { randomUUID } from 'node:crypto'
import { Failure } from '../base/failure.ts'
import { unlessAborted } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { etcState } from '../ostree/etc.ts'
import type { Deployment } from '../ostree/status.ts'
import type { Core } from './core.ts'
import { nameOf, rollbackTarget } from './device.ts'
import { gone, type Installing } from './installing.ts'
import type { Offer } from './offers.ts'
import { giveUpReserve } from './reserve.ts'
import type { InstallRequest, RepairRequest, RollbackRequest } from './snapshot.ts'
import { type InstallJob, isCancellable, isOver } from './state.ts'

export interface Requests {
  install(request: InstallRequest): Promise<void>
  rollback(request: RollbackRequest): Promise<void>
  repair(request: RepairRequest): Promise<void>
  cancel(): Promise<void>
  /** Offers came or went: a paused job may continue. */
  offersChanged(): void
  /**
   * What the site changed in /etc since the new release was deployed is taken over before that starts. Resolves when it is.
   * @param quiet only when nothing was changed since the last call
   * @throws Failure with the code of what kept the release from being deployed again
   */
  takeOverSettings(quiet: boolean): Promise<void>
}

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

/** What requests ask of the job room. */
export interface Work {
  /** do what is due now */
  advance: () => Promise<void>
  isWorking: () => boolean
  stopRepair: () => void
  /** let running checks be the last ones, and wait until nothing is at work */
  interrupt: () => Promise<void>
}

export function makeRequests(
  core: Core,
  installing: Installing,
  { advance, isWorking, stopRepair, interrupt }: Work,
): Requests {
  const { config, enter } = core

  function refuseIfBusy(): void {
    const now = core.state()
    if (!isOver(now))
      throw new Failure('busy', `cannot begin: another job is not over yet (${now.at}). See: superblock status`)
  }

  const isAllowed = ({ verdict }: Offer, downgrade: boolean | undefined) =>
    verdict.fits || (verdict.code === 'older' && downgrade === true)

  /** A file that somebody names may lie on a stick that is mounted by other means. */
  const isOnStick = ({ medium }: Offer) => medium !== config.media.inbox

  async function install(request: InstallRequest): Promise<void> {
    refuseIfBusy()
    const offer = await requested(request)
    if (!offer.verdict.fits && !isAllowed(offer, request.allowDowngrade))
      throw new Failure(offer.verdict.code, `cannot install ${safe(offer.path)}: ${offer.verdict.why}`, {
        facts: offer.verdict.facts,
      })
    const { booted } = await core.device()
    refuseIfBusy()
    const job: InstallJob = {
      kind: 'install',
      id: randomUUID(),
      offer: offer.id ?? '',
      medium: offer.medium,
      path: offer.path,
      onStick: isOnStick(offer),
      allowDowngrade: request.allowDowngrade === true,
      ...(request.allowDowngrade && request.disownNewer ? { disownNewer: true } : {}),
      ...(request.reason ? { reason: request.reason } : {}),
      startedAt: new Date().toISOString(),
      from: nameOf(booted),
      to: { version: offer.manifest?.version ?? '', commit: '', ref: '', os: '', epoch: 0, timestamp: '' },
      earlierRef: '',
      unpacked: 0,
      counters: { bytesRead: 0, membersRead: 0, membersSkipped: 0, bytesWritten: 0 },
    }
    installing.renew()
    await enter({ at: 'installing', job, step: 'admit' })
    void advance()
  }

  async function requested({ id, path }: InstallRequest): Promise<Offer> {
    if (path !== undefined) return promptly(core.examine(path, id))
    if (id !== undefined) return promptly(core.offers().findNow(id))
    throw new Failure('bad-request', 'cannot install: name a package by its id or its path')
  }

  /** Who sees that a new release does not work need not wait for its checks. */
  const isOnTrial = (): boolean => {
    const now = core.state()
    return now.at === 'trying' && now.job.kind === 'install'
  }

  async function rollback(request: RollbackRequest): Promise<void> {
    if (!isOnTrial()) refuseIfBusy()
    if (request.reason.trim() === '') throw new Failure('bad-request', 'cannot roll back without a reason')
    const { deployments, booted } = await core.device()
    const { index } = request
    const target =
      index === undefined
        ? rollbackTarget(deployments, await core.history.entries(), core.journal.read().left)
        : deployments.find(d => d.index === index)
    if (!target)
      throw new Failure(
        'not-found',
        `cannot roll back: there is no ${index === undefined ? 'other release that was found good' : 'such deployment'}. See: superblock deployments`,
      )
    if (target.booted && target.index === 0)
      throw new Failure('already-booted', `cannot roll back: version ${target.version} is what this device runs`)
    if (isOnTrial()) await interrupt()
    try {
      // The verdict may have been faster.
      if (!isOnTrial()) refuseIfBusy()
      // A release that is not found good yet has no say in whether it is left.
      await begin({ ...request, force: request.force || isOnTrial() }, booted, target)
    } finally {
      void advance()
    }
  }

  async function begin(request: RollbackRequest, from: Deployment, to: Deployment): Promise<void> {
    // Before the journal is written: on a full disk it is this that makes room for it.
    await giveUpReserve(config.state)
    const job = {
      kind: 'rollback' as const,
      id: randomUUID(),
      startedAt: new Date().toISOString(),
      from: nameOf(from),
      to: nameOf(to),
      reason: request.reason.slice(0, 500),
      ...(request.force ? { force: true } : {}),
      ...(isOnTrial() ? { untried: true } : {}),
    }
    await enter({ at: 'rolling-back', job })
  }

  async function cancel(): Promise<void> {
    const now = core.state()
    if (!isCancellable(now))
      throw new Failure('not-cancellable', 'cannot cancel: there is nothing that could be stopped safely now')
    const cause = { code: 'cancelled', text: 'cancelled' }
    if (now.at === 'repairing') stopRepair()
    else if (now.at === 'reboot') await enter({ at: 'undoing', job: now.job, step: 'settle', cause })
    else if (now.at === 'installing' && now.paused) await enter({ at: 'undoing', job: now.job, step: 'stage', cause })
    else if (now.at === 'installing' && now.waiting) await enter({ at: 'undoing', job: now.job, step: now.step, cause })
    else installing.abort()
    void advance()
  }

  function offersChanged(): void {
    const now = core.state()
    if (now.at !== 'installing' || !now.paused || isWorking()) return
    const copy = core
      .offers()
      .copies(now.job.offer)
      .find(offer => !installing.isWorn(offer) && isAllowed(offer, now.job.allowDowngrade))
    if (!copy) {
      // What could not be read was a stick on its way out.
      const paused = gone(now.job)
      if (now.job.medium !== '' && now.paused.code !== paused.code && !core.offers().at(now.job.path))
        void enter({ ...now, paused })
      return
    }
    installing.renew()
    const job = { ...now.job, path: copy.path, medium: copy.medium, onStick: isOnStick(copy) }
    void enter({ at: 'installing', job, step: 'admit' }).then(advance)
  }

  let settings = ''

  async function takeOverSettings(quiet: boolean): Promise<void> {
    const now = core.state()
    if (now.at !== 'reboot' || now.job.kind !== 'install' || now.job.etc === undefined || isWorking()) return
    const before = settings
    settings = await etcState('/etc')
    if (settings === now.job.etc || (quiet && settings !== before) || core.state() !== now) return
    core.log.info('settings were changed since the release was deployed: it is deployed again')
    await enter({ at: 'installing', job: now.job, step: 'deploy' })
    await advance()
    const then = core.state()
    if (then.at === 'failed') throw new Failure(then.cause.code, then.cause.text, { facts: then.cause.facts })
  }

  async function repair(request: RepairRequest): Promise<void> {
    refuseIfBusy()
    const named = request.id !== undefined || request.path !== undefined ? await requested(request) : undefined
    if (named && !named.manifest)
      throw new Failure('not-found', `cannot repair: nothing can be taken from ${safe(named.path)}`)
    const { booted } = await core.device()
    refuseIfBusy()
    const running = nameOf(booted)
    const from = {
      path: named?.path ?? '',
      medium: named?.medium ?? '',
      onStick: named ? isOnStick(named) : anyOnStick(),
    }
    const times = { id: randomUUID(), startedAt: new Date().toISOString() }
    await enter({ at: 'repairing', job: { kind: 'repair', ...times, from: running, to: running, ...from } })
    void advance()
  }

  const anyOnStick = () =>
    core
      .offers()
      .list()
      .some(({ medium }) => medium !== config.media.inbox)

  return { install, rollback, repair, cancel, offersChanged, takeOverSettings }
}
