/** Media, offers, device and job put together: what superblockd runs and what the control socket speaks to. */
import { dirname, join } from 'node:path'
import { watch } from 'chokidar'
import { asFailure, Failure } from '../base/failure.ts'
import { privateFolder } from '../base/files.ts'
import type { Log } from '../base/log.ts'
import { run } from '../base/run.ts'
import { safe } from '../base/text.ts'
import type { Config } from '../config.ts'
import { type Media, openMedia } from '../media/media.ts'
import { backUp } from '../ostree/backup.ts'
import { pin, unpin } from '../ostree/deploy.ts'
import { openEngine } from '../ostree/engine.ts'
import { IMMUTABLE, type Leftover, sweep, undeploy } from '../ostree/tidy.ts'
import { verifyMember } from '../package/read.ts'
import { watchedKeys } from '../package/signature.ts'
import { admit, type Examined } from './admit.ts'
import { describeJob } from './describe.ts'
import { describeDeployments, mayGo, readDevice, rollbackTarget, trustFacts } from './device.ts'
import { examineDevice, examineStore } from './doctor.ts'
import { withSource } from './examine.ts'
import type { Chain } from './history.ts'
import { openJobRoom } from './job.ts'
import type { BootHealth } from './journal.ts'
import { openOffers } from './offers.ts'
import { makeProblems } from './problems.ts'
import { FULL, recover, troubleOf } from './recover.ts'
import { makeReserve } from './reserve.ts'
import type {
  Examination,
  HistoryEntry,
  InstallRequest,
  Problem,
  RepairRequest,
  RollbackRequest,
  Snapshot,
} from './snapshot.ts'
import { isOver, isWorking, type State } from './state.ts'

export interface Updater {
  snapshot(): Snapshot
  install(request: InstallRequest): Promise<void>
  rollback(request: RollbackRequest): Promise<void>
  repair(request: RepairRequest): Promise<void>
  /** @throws Failure `busy`, `not-found`, `not-removable` */
  remove(index: number): Promise<void>
  cancel(): Promise<void>
  reboot(): Promise<void>
  setPinned(index: number, pinned: boolean): Promise<void>
  history(): Promise<HistoryEntry[]>
  verifyHistory(): Promise<Chain>
  doctor(deep: boolean): Promise<Examination[]>
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
  const work = join(runtime, 'engine')
  await privateFolder(work)
  const engine = openEngine(work)
  const problems = makeProblems(onChange)
  const tidied = (left: readonly Leftover[]) => problems.set('leftovers', leftProblem(left))
  const { journal, history, device: found } = await recover(config, engine, log, problems, tidied)
  let device = found
  let entries = await history.entries()

  const refreshDevice = async () => {
    device = await readDevice(engine, journal.read().newest, journal.read().disowned)
    return device
  }
  const keyring = watchedKeys(config.signatures.keys)
  const judges = async (allowDowngrade: boolean) => ({
    device: trustFacts(device, config, journal.read()),
    keyring: await keyring(),
    required: config.signatures.required,
    allowDowngrade,
    deployments: device.deployments,
    keep: config.install.keep,
  })
  const look = async (path: string, examined: Examined, suspect?: string) =>
    withSource(await media.open(path), async source => {
      const admitted = await admit(source, await judges(false), engine, config.state, examined)
      if (suspect !== undefined && 'wanted' in admitted)
        for (const member of admitted.wanted) if (member.path === suspect) await verifyMember(source, member)
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
    tidied,
    problem: problems.set,
  })

  let rebootAt: number | undefined
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

  /** What could not be done before may be possible by now. */
  async function lookAgain(): Promise<void> {
    await lookAtDevice()
    try {
      await room.endForgotten()
      if (isOver(journal.read().state)) await backUp(engine, config.state)
      // Most devices are switched off at the plug.
      await room.takeOverSettings(true)
      if (!journal.isSaved()) await journal.write({})
      await history.flush()
      if (isOver(journal.read().state)) {
        const hasRoom = (await makeReserve(config.state, config.install.reserve)) && journal.isSaved()
        problems.set('disk-full', hasRoom ? undefined : FULL)
        if (problems.list().some(({ code }) => code === 'leftovers')) tidied(await sweep(engine))
      }
    } catch (error) {
      problems.set(...troubleOf(error, 'write the state'))
    }
  }

  async function reboot(): Promise<void> {
    if (isWorking(journal.read().state))
      throw new Failure('busy', 'cannot reboot: the device is being changed; wait for the end. See: superblock status')
    rebootAt = undefined
    await room.takeOverSettings(false)
    try {
      await run(config.reboot.command)
    } catch (error) {
      const { message } = asFailure(error, 'reboot')
      problems.set('reboot-failed', { text: message, next: 'Switch the device off and on again.' })
      // Where it is due by itself it is tried again: nobody may be there to do it.
      changed()
      throw error
    }
  }

  /** An operator without a root shell makes room. */
  async function removeRelease(index: number): Promise<Leftover[]> {
    if (!isOver(journal.read().state))
      throw new Failure('busy', 'cannot remove a release: another job is not over yet. See: superblock status')
    const { deployments } = await refreshDevice()
    const one = deployments.find(each => each.index === index)
    if (!one)
      throw new Failure('not-found', `cannot remove deployment ${index}: there is none. See: superblock deployments`)
    if (!mayGo(one, rollbackTarget(deployments, entries, journal.read().left)))
      throw new Failure(
        'not-removable',
        `cannot remove version ${safe(one.version)}: it runs, starts next, is pinned, or is what a rollback returns to. See: superblock deployments`,
      )
    const left = await undeploy(engine, index)
    await history.add('removed', { commit: one.commit, version: one.version })
    entries = await history.entries()
    await refreshDevice()
    return left
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

  const keys = watchKeys(config.signatures.keys, () => offers.again(), log)

  const timers = [
    setInterval(() => {
      if (rebootAt === undefined) return
      if (Date.now() >= rebootAt) void reboot().catch(() => {})
      else onChange()
    }, 1000),
    setInterval(() => void lookAgain().finally(() => offers.again(DEVICE_FAULTS)), DEVICE_TICK * 1000),
  ]

  void room.advance().then(checkBoot).finally(changed).then(lookAgain)

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
        problems: problems.list(),
      }
    },
    install: request => room.install(request),
    rollback: request => room.rollback(request),
    repair: request => room.repair(request),
    async remove(index) {
      tidied(await removeRelease(index))
      onChange()
    },
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
    async doctor(deep) {
      const checks = await examineDevice(config, engine)
      return deep ? [...checks, await examineStore(config, engine, device.deployments)] : checks
    },
    async close() {
      for (const timer of timers) clearInterval(timer)
      await Promise.all([
        keys.close(),
        atMost(STOP.job, room.stop()),
        atMost(STOP.media, media.close().then(offers.idle)),
      ])
    },
  }
}

/** Whoever brings keys to a device, or takes them away, sees at once what becomes of the packages. */
function watchKeys(folders: readonly string[], onChange: () => void, log: Log) {
  const isOfKeys = (path: string) => folders.some(folder => [path, dirname(path)].includes(folder))
  const parents = folders.map(folder => dirname(folder))
  // A folder that is made later is seen in the one above it.
  const ignored = (path: string) => !parents.includes(path) && !isOfKeys(path)
  const watcher = watch(parents, { ignoreInitial: true, depth: 1, ignored })
  watcher.on('all', (_, path) => isOfKeys(path) && onChange())
  watcher.on('error', error => log.warn({ err: error }, 'changes of the keys are not seen at once'))
  return watcher
}

function leftProblem(left: readonly Leftover[]): Omit<Problem, 'code'> | undefined {
  const [first] = left
  if (!first) return undefined
  const more = left.length > 1 ? `, and ${left.length - 1} more` : ''
  const immutable = first.why === IMMUTABLE
  return {
    text: `what is no longer needed could not be removed: ${first.path}${more} (${first.why})`,
    next: immutable
      ? `As root: chattr -R -i -a ${first.path}. The rest is done by itself.`
      : 'It is tried again by itself, and keeps nothing from working. If it stays, call support.',
    facts: { path: first.path, why: first.why },
  }
}

function healthOf(health: BootHealth | null, now: string): Snapshot['health'] {
  if (!health) return null
  const { bootId, checks, ...rest } = health
  return { ...rest, current: bootId === now, checks }
}

const atMost = (seconds: number, work: Promise<void>) =>
  Promise.race([work, new Promise<void>(resolve => setTimeout(resolve, seconds * 1000).unref())])
