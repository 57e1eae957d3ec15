/**
 * The start of the service: what is true now, and what an earlier death left is mended. Whatever else cannot be read, written or tidied
 * up costs just that: it becomes a problem that is told of, since a service that does not start can neither roll back nor update.
 */
import { diskTrouble } from '../base/disk.ts'
import { asFailure } from '../base/failure.ts'
import { privateFolder, removeTree, removeUnfinished } from '../base/files.ts'
import type { Log } from '../base/log.ts'
import { settled } from '../base/run.ts'
import { account, readLedger } from '../boot/ledger.ts'
import type { Config } from '../config.ts'
import { restoreFiles } from '../ostree/backup.ts'
import type { Engine } from '../ostree/engine.ts'
import { thawBoot } from '../ostree/thaw.ts'
import { type Leftover, sweep } from '../ostree/tidy.ts'
import { type DeviceState, later, machineOf, readDevice } from './device.ts'
import { type History, openHistory, remembered } from './history.ts'
import { hooksFolder } from './hooks.ts'
import { type Journal, openJournal } from './journal.ts'
import type { Problems } from './problems.ts'
import { makeReserve } from './reserve.ts'
import { dropStagingExcept } from './staging.ts'
import { isOver, type Job, reconcile } from './state.ts'

export interface Recovered {
  journal: Journal
  history: History
  device: DeviceState
}

/** @throws Failure `not-booted`, `command-missing`, `ostree-output`: nothing can be done on such a device */
export async function recover(
  config: Config,
  engine: Engine,
  log: Log,
  problems: Problems,
  tidied: (left: readonly Leftover[]) => void,
): Promise<Recovered> {
  const tolerate = async (doing: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      log.error({ err: error }, `cannot ${doing}`)
      problems.set(...troubleOf(error, doing))
    }
  }
  await tolerate(`use ${config.state}`, () => privateFolder(config.state))
  await tolerate(`use the inbox ${config.media.inbox}`, () => privateFolder(config.media.inbox))
  // In this order: a command that waits for a frozen file system would hold the lock for ever.
  if (await thawBoot(engine.sysroot))
    log.warn('the file system of /boot was frozen by an interrupted command; thawed it')
  await settled(engine.lock)
  for (const folder of [config.state, engine.folder])
    await tolerate(`tidy up ${folder}`, () => removeUnfinished(folder))

  const journal = await openJournal(config.state)
  const history = await openHistory(config.state)
  const entries = await history.entries()
  if (journal.damaged) {
    log.error({ path: journal.damaged }, 'the journal could not be read; it is set aside')
    await tolerate('note it', () => history.add('journal-damaged', { setAside: journal.damaged }))
  }
  // Two places remember what protects from old releases; the stricter one counts.
  const { epochFloor, newest } = remembered(entries)
  const epoch = Math.max(epochFloor, journal.read().epochFloor)
  const known = journal.read().newest === '' ? newest : journal.read().newest
  await tolerate('put back the files by which the device starts', async () => {
    const paths = await restoreFiles(engine, config.state)
    if (paths.length === 0) return
    log.warn({ paths }, 'these were damaged and are put back')
    await history.add('mended', { paths })
  })
  const device = await readDevice(engine, known, journal.read().disowned)
  const before = journal.read().state
  const ledger = await readLedger(config.state)
  const now = reconcile(before, machineOf(device, ledger ? account(ledger) : ''))
  if (now !== before) log.info({ from: before.at, to: now.at }, 'the machine is not where the journal left it')
  // What has run here counts, not what was only installed: an installation that is called off leaves no trace.
  const ran = later(known, device.booted.timestamp)
  await tolerate('write the journal', () => journal.write({ state: now, newest: ran, epochFloor: epoch }))
  // While an import is due, nothing refers yet to the objects that it relies on being here.
  const importing = now.at === 'installing' && now.step === 'import'
  if (!isOver(now) && !importing) await tolerate('tidy up', async () => tidied(await sweep(engine)))
  const kept = now.at === 'installing' || now.at === 'undoing' ? stagedBy(now.job) : undefined
  await tolerate('drop what was staged', () => dropStagingExcept(config.state, kept))
  if (!(now.at === 'installing' && now.step === 'arm'))
    await tolerate('remove old hooks', () => removeTree(hooksFolder(config)))
  await tolerate('make the reserve', async () => {
    const hasRoom = await makeReserve(config.state, config.install.reserve)
    if (!hasRoom || !journal.isSaved()) problems.set('disk-full', FULL)
  })
  return { journal, history, device }
}

const stagedBy = (job: Job) => (job.kind === 'install' ? job.offer : undefined)

export const FULL = {
  text: "the device's disk is full",
  next: 'Remove data from the device. A rollback is possible all the same.',
}

/** What could not be done, as a problem. */
export function troubleOf(error: unknown, doing: string): Parameters<Problems['set']> {
  const { message } = asFailure(error, doing)
  switch (diskTrouble(error)) {
    case 'full':
      return ['disk-full', FULL]
    case 'read-only':
    case 'failing':
      return ['disk-error', { text: `the device's disk cannot be written to: ${message}`, next: 'Call support.' }]
    default:
      return [
        'cannot-tidy',
        { text: message, next: 'It is tried again with the next start. If it stays, call support.' },
      ]
  }
}
