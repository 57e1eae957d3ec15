/**
 * Watches over a start of a release on trial. That user space was reached is noted and the boot loader's count filled up again,
 * so that power cuts do not use it up; a start that has no verdict in time is ended, and one bad end too many is the last.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { asFailure } from '../base/failure.ts'
import { run } from '../base/run.ts'
import { type BootLoader, counts, findCounting } from './bootloader.ts'
import { account, count, dropLedger, hasFailed, type Ledger, readLedger, writeLedger } from './ledger.ts'
import { crashRecords, leavePanicToWatchdog, wasWatchdog } from './reset.ts'

/** Seconds that the driver of a watchdog which is known to be there may be late. */
const DRIVER = 10
/** Seconds that a reboot may take before the kernel is made to do it. */
const REBOOT = 120
/** Milliseconds between looks at whether the verdict has come. */
const TICK = 1000

/**
 * Resolves when there is nothing to watch any more: a verdict was found, or this is not the release on trial.
 * @param folder of the account
 * @param booted `<commit>.<serial>`
 * @param say a line for the log
 */
export async function watchTrial(folder: string, booted: string, say: (text: string) => void): Promise<void> {
  const started = performance.now()
  const ledger = await readLedger(folder)
  if (ledger?.target.deployment !== booted) return ready()
  const loader = await findCounting('/', ledger)
  if (!counts(loader)) {
    say(`the boot loader's count cannot be filled up: ${loader.missing}`)
    return ready()
  }
  // A count that cannot be read must not have the device start for ever: the service's verdict is what is left.
  const next = await begin(folder, ledger, loader, say).catch(error => {
    say(asFailure(error, 'count this start').message)
    return undefined
  })
  await ready()
  if (!next) return
  say(
    `a start on trial; the boot loader grants ${next.granted} more; ${account(next) || 'none ended without a verdict'}`,
  )
  // The boot loader was told before, and has started it all the same: what is left is the service's to do.
  if (ledger.over) return
  if (next.over) return reboot(ledger, say)
  let restorePanic: (() => Promise<void>) | undefined
  while (await isOpen(folder, booted)) {
    if (performance.now() - started >= next.deadline * 1000) {
      say(`no verdict within ${next.deadline} s: this start counts as bad`)
      // On a full disk the boot loader's own count is what is left.
      await writeLedger(folder, { ...next, last: { ...next.last, late: true } }).catch(error =>
        say(asFailure(error, 'note that this start is late').message),
      )
      return reboot(next, say)
    }
    // The driver may come late, and systemd opens it when it is there.
    restorePanic ??= await leavePanicToWatchdog()
    await sleep(TICK)
  }
  await restorePanic?.()
}

type Start = NonNullable<Ledger['last']>
type Counted = Ledger & { last: Start }

/** Count this start. The account is written first: what the boot loader grants too little is given at the next start. */
async function begin(
  folder: string,
  ledger: Ledger,
  loader: BootLoader,
  say: (text: string) => void,
): Promise<Counted | undefined> {
  const trial = await loader.read()
  if (!trial) {
    // The verdict came in the moment before an end.
    await dropLedger(folder)
    return undefined
  }
  const counted = count(ledger, {
    bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    tries: trial.tries,
    watchdog: await wasWatchdog(ledger.watchdog ? DRIVER : 0),
    crashes: await crashRecords(),
  })
  const next: Counted = hasFailed(counted) ? { ...counted, over: true, granted: 0 } : counted
  try {
    await writeLedger(folder, next)
    await loader.arm(next.target, next.granted)
    return next
  } catch (error) {
    // On a full or read-only disk the boot loader goes on counting down, and so this start has its deadline all the same.
    say(asFailure(error, 'count this start').message)
    return { ...counted, granted: trial.tries }
  }
}

/** Is this the trial still, and no verdict in sight? */
async function isOpen(folder: string, booted: string): Promise<boolean> {
  return (await readLedger(folder))?.target.deployment === booted
}

/** sd_notify(3) through its command; without systemd there is nobody to tell. */
async function ready(): Promise<void> {
  if (process.env.NOTIFY_SOCKET) await run(['systemd-notify', '--ready'])
}

/** Whatever keeps the system from shutting down does not keep the kernel from rebooting. */
async function reboot({ reboot }: Ledger, say: (text: string) => void): Promise<void> {
  const asked = run(reboot, { timeout: REBOOT * 1000 }).catch(error => say(asFailure(error, 'reboot').message))
  await Promise.all([asked, sleep(REBOOT * 1000)])
  say('the reboot does not come about: asking the kernel')
  await run(['sync'], { timeout: 10_000 }).catch(() => {})
  await writeFile('/proc/sysrq-trigger', 'b')
}
