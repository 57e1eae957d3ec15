/** Media, offers, device and job put together: what superblockd runs and what the control socket speaks to. */
import { join } from 'node:path'
import { asFailure, Failure } from '../base/failure.ts'
import { privateFolder, removeTree, removeUnfinished } from '../base/files.ts'
import type { Log } from '../base/log.ts'
import { run, settled } from '../base/run.ts'
import { account, readLedger } from '../boot/ledger.ts'
import type { Config } from '../config.ts'
import { type Media, openMedia } from '../media/media.ts'
import { cleanup, pin, unpin } from '../ostree/deploy.ts'
import { openEngine } from '../ostree/engine.ts'
import { thawBoot } from '../ostree/thaw.ts'
import { verifyMember } from '../package/read.ts'
import { loadKeys } from '../package/signature.ts'
import { admit, type Examined } from './admit.ts'
import { describeJob } from './describe.ts'
import { describeDeployments, later, machineOf, readDevice, trustFacts } from './device.ts'
import { examineDevice } from './doctor.ts'
import { withSource } from './examine.ts'
import { type Chain, openHistory, remembered } from './history.ts'
import { hooksFolder } from './hooks.ts'
import { openJobRoom } from './job.ts'
import { type BootHealth, openJournal } from './journal.ts'
import { openOffers } from './offers.ts'
import { makeReserve } from './reserve.ts'
import type { Examination, HistoryEntry, InstallRequest, Problem, RollbackRequest, Snapshot } from './snapshot.ts'
import { dropStagingExcept } from './staging.ts'
import { isOver, isWorking, reconcile, type State } from './state.ts'

export interface Updater {
  snapshot(): Snapshot
  install(request: InstallRequest): Promise<void>
  rollback(request: RollbackRequest): Promise<void>
  cancel(): Promise<void>
  reboot(): Promise<void>
  setPinned(index: number, pinned: boolean): Promise<void>
  history(): Promise<HistoryEntry[]>
  verifyHistory(): Promise<Chain>
  doctor(): Promise<Examination[]>
  close(): Promise<void>
}

/** Seconds between looks at whether somebody changed the deployments, made room or brought keys by hand. */
const DEVICE_TICK = 30
/** Refusals that are no fault of the package. */
const DEVICE_FAULTS = ['no-space', 'no-keys', 'unknown-signer', 'not-enough-signatures']

/** Seconds that stopping waits: for ostree to finish a deployment, and for sticks, which may hang. */
const STOP = { job: 30, media: 5 } as const

/**
 * Find out what is true, mend what an earlier death left, and go on with what was under way.
 * @param runtime folder on a tmpfs for locks, e.g. /run/superblock
 * @param onChange the snapshot is another than before
 * @throws Failure `not-booted`, `command-missing`
 */
export async function openUpdater(
  config: Config,
  version: string,
  runtime: string,
  log: Log,
  onChange: () => void,
): Promise<Updater> {
  await privateFolder(config.state)
  await privateFolder(config.media.inbox)
  const work = join(runtime, 'engine')
  await privateFolder(work)
  const engine = openEngine(work)
  // In this order: a command that waits for a frozen file system would hold the lock for ever.
  if (await thawBoot(engine.sysroot))
    log.warn('the file system of /boot was frozen by an interrupted command; thawed it')
  await settled(engine.lock)
  for (const folder of [config.state, work]) await removeUnfinished(folder)

  const journal = await openJournal(config.state)
  const history = await openHistory(config.state)
  let entries = await history.entries()
  if (journal.damaged) {
    log.error({ path: journal.damaged }, 'the journal could not be read; it is set aside')
    await history.add('journal-damaged', { setAside: journal.damaged })
  }
  // Two places remember what protects from old releases; the stricter one counts.
  const { epochFloor, newest } = remembered(entries)
  const stricter = Math.max(epochFloor, journal.read().epochFloor)
  if (stricter !== journal.read().epochFloor) await journal.write({ epochFloor: stricter })

  let device = await readDevice(engine, later(newest, journal.read().newest))
  const before = journal.read().state
  const ledger = await readLedger(config.state)
  const now = reconcile(before, machineOf(device, ledger ? account(ledger) : ''))
  if (now !== before) log.info({ from: before.at, to: now.at }, 'the machine is not where the journal left it')
  // What has run here counts, not what was only installed: an installation that is called off leaves no trace.
  const ran = later(later(newest, journal.read().newest), device.booted.timestamp)
  await journal.write({ state: now, newest: ran })
  // While an import is due, nothing refers yet to the objects that it relies on being here.
  const importing = now.at === 'installing' && now.step === 'import'
  if (!isOver(now) && !importing) await cleanup(engine)
  await dropStagingExcept(config.state, now.at === 'installing' || now.at === 'undoing' ? stagedBy(now.job) : undefined)
  if (!(now.at === 'installing' && now.step === 'arm')) await removeTree(hooksFolder(config))
  await makeReserve(config.state, config.install.reserve)

  const refreshDevice = async () => {
    device = await readDevice(engine, journal.read().newest)
    return device
  }
  const judges = async (allowDowngrade: boolean) => ({
    device: trustFacts(device, config, journal.read()),
    keyring: await loadKeys(config.signatures.keys),
    required: config.signatures.required,
    allowDowngrade,
  })
  const look = async (path: string, examined: Examined, suspect?: string) =>
    withSource(await media.open(path), async source => {
      const admitted = await admit(source, await judges(false), engine, config.state, examined)
      const member = 'wanted' in admitted ? admitted.wanted.find(one => one.path === suspect) : undefined
      if (member) await verifyMember(source, member)
      return admitted
    })
  /** What the verdicts rest on beside the packages themselves. */
  const grounds = () => JSON.stringify([device.deployments, device.newest, journal.read().epochFloor])
  let judgedBy = grounds()
  const offers = openOffers(
    look,
    ({ commit, timestamp }) =>
      journal.read().left[commit] === undefined && Date.parse(timestamp) >= Date.parse(device.booted.timestamp),
    () => media.inTrouble(),
    changed,
    log,
  )
  const room = openJobRoom({
    config,
    engine,
    journal,
    history: {
      ...history,
      async add(event, facts) {
        await history.add(event, facts)
        entries = await history.entries()
      },
    },
    log,
    offers: () => offers,
    examine: (path, id) => offers.atNow(path, media.holding(path)?.path ?? '', id),
    open: path => media.open(path),
    device: refreshDevice,
    judges,
    onChange: changed,
    onMove: onChange,
  })

  let rebootAt: number | undefined
  let rebootFailure: Problem | undefined
  const attempted = new Set<string>()
  let overBefore = true
  let workedBefore = isWorking(journal.read().state)

  /** Something is different: tell the clients, and do what the policies ask for. */
  function changed(): void {
    onChange()
    if (grounds() !== judgedBy) {
      judgedBy = grounds()
      offers.again()
    }
    room.offersChanged()
    const { state } = journal.read()
    if (!overBefore && isOver(state)) {
      void lookAtDevice()
      void checkBoot()
    }
    overBefore = isOver(state)
    if (workedBefore !== isWorking(state)) {
      workedBefore = isWorking(state)
      void media.look()
    }
    const waits = state.at === 'returning' || (state.at === 'reboot' && config.reboot.policy === 'auto')
    if (waits) rebootAt ??= Date.now() + config.reboot.delay * 1000
    else rebootAt = undefined
    // Another copy of what was damaged may be whole.
    if (state.at === 'failed' && state.cause.code === 'tampered' && state.job.kind === 'install')
      attempted.delete(state.job.offer)
    // Only when all that is in was looked at is the newest known.
    const best =
      config.install.policy === 'auto' && isOver(state) && media.isLookedOver() && offers.isIdle()
        ? offers.best()
        : undefined
    if (best?.id && !attempted.has(best.id)) {
      attempted.add(best.id)
      room
        .install({ id: best.id, path: best.path })
        .catch(error => log.warn({ err: error }, 'cannot install by policy'))
    }
  }

  /** Is the job's package on a stick that does not answer? */
  const isSilent = (state: State) =>
    state.at === 'installing' && media.holding(state.job.path)?.code === 'not-answering'

  const checkBoot = () =>
    room.checkBoot().catch(error => log.error({ err: error }, 'cannot check the health of this boot'))

  async function lookAtDevice(): Promise<void> {
    try {
      await refreshDevice()
      if (grounds() !== judgedBy) changed()
    } catch (error) {
      log.error({ err: error }, 'cannot ask ostree')
    }
  }

  async function reboot(): Promise<void> {
    if (isWorking(journal.read().state))
      throw new Failure('busy', 'cannot reboot: the device is being changed; wait for the end. See: superblock status')
    rebootAt = undefined
    try {
      await run(config.reboot.command)
    } catch (error) {
      const { message } = asFailure(error, 'reboot')
      rebootFailure = { code: 'reboot-failed', text: message, next: 'Switch the device off and on again.' }
      // Where it is due by itself it is tried again: nobody may be there to do it.
      changed()
      throw error
    }
  }

  const media: Media = openMedia(config.media, work, {
    change: changed,
    found: (medium, file) => offers.found(medium, file),
    gone: (_, path) => offers.gone(path),
    left: medium => {
      for (const offer of offers.list()) if (offer.medium === medium.path) attempted.delete(offer.id)
      offers.left(medium)
    },
    failed: error => log.error({ err: error }, 'cannot look at the mounts'),
    isBusy: () => isWorking(journal.read().state),
  })

  const timers = [
    setInterval(() => {
      if (rebootAt === undefined) return
      if (Date.now() >= rebootAt) void reboot().catch(() => {})
      else onChange()
    }, 1000),
    setInterval(() => {
      void lookAtDevice()
      offers.again(DEVICE_FAULTS)
    }, DEVICE_TICK * 1000),
  ]

  void room.advance().then(checkBoot).finally(changed)

  return {
    snapshot() {
      const record = journal.read()
      const { state } = record
      const rebootIn = rebootAt === undefined ? undefined : Math.max(0, Math.ceil((rebootAt - Date.now()) / 1000))
      return {
        api: 1,
        version,
        device: {
          compatible: config.device.compatible,
          name: config.device.name || config.device.compatible,
          os: device.booted.os,
          policy: config.install.policy,
          epochFloor: record.epochFloor,
          newest: device.newest,
          signaturesRequired: config.signatures.required,
        },
        deployments: describeDeployments(device, entries, record.left),
        media: media.list(),
        offers: offers.list(),
        releases: offers.releases(),
        job: state.at === 'idle' ? null : describeJob(state, room.meter.read(), rebootIn, isSilent(state)),
        health: healthOf(record.health, device.bootId),
        problems: rebootFailure ? [rebootFailure] : [],
      }
    },
    install: request => room.install(request),
    rollback: request => room.rollback(request),
    cancel: () => room.cancel(),
    reboot,
    async setPinned(index, pinned) {
      const { deployments } = await refreshDevice()
      if (!deployments[index])
        throw new Failure('not-found', `cannot pin deployment ${index}: there is none. See: superblock deployments`)
      await (pinned ? pin : unpin)(engine, index)
      await refreshDevice()
      onChange()
    },
    history: async () => history.entries(),
    verifyHistory: () => history.verify(),
    doctor: () => examineDevice(config, engine),
    async close() {
      for (const timer of timers) clearInterval(timer)
      await Promise.all([atMost(STOP.job, room.stop()), atMost(STOP.media, media.close().then(offers.idle))])
    },
  }
}

function healthOf(health: BootHealth | null, now: string): Snapshot['health'] {
  if (!health) return null
  const { bootId, checks, ...rest } = health
  return { ...rest, current: bootId === now, checks }
}

const stagedBy = (job: { kind: string; offer?: string }) => job.offer

const atMost = (seconds: number, work: Promise<void>) =>
  Promise.race([work, new Promise<void>(resolve => setTimeout(resolve, seconds * 1000).unref())])
