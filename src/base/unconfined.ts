/**
 * Run a program that is not ours with the rights of the whole system: under systemd as a unit of its own, since what confines
 * the service would confine its children too. It always ends in time, whatever becomes of the service.
 */
import { isThere } from './files.ts'
import { type RunResult, run, settled } from './run.ts'

export interface Unconfined {
  /** of the unit: one of the same name that a killed service left behind is ended first */
  name: string
  /** file that is locked meanwhile: what a killed service left behind, or what is being ended, is waited for */
  lock?: string | undefined
  /** until it is ended with all that it started */
  seconds: number
  env?: Record<string, string>
  input?: string | undefined
  onLine?: ((line: string) => void) | undefined
  /** nobody waits for it any more: it is ended */
  signal?: AbortSignal | undefined
}

export interface UnconfinedResult extends RunResult {
  /** it was ended, since its time was over */
  late: boolean
}

const MANAGER = '/run/systemd/system'
/** systemd-run can wait for a unit only through D-Bus. */
const BUS = '/run/dbus/system_bus_socket'
/** Seconds from SIGTERM to SIGKILL, and from there until even the waiting is given up. */
const GRACE = 5
/** Bytes that are kept of what it says. */
const LAST = 1024 * 1024
const ANY_STATUS = Array.from({ length: 255 }, (_, at) => at + 1)

/**
 * Its exit status is a result, not an error.
 * @throws Failure `command-missing` where systemd-run, flock or timeout are missing, `command-failed`, `command-timeout` when it
 *   cannot even be ended; the signal's reason
 */
export async function runUnconfined(argv: readonly string[], options: Unconfined): Promise<UnconfinedResult> {
  const managed = (await isThere(MANAGER)) && (await isThere(BUS))
  if (options.lock !== undefined) await settled(options.lock)
  return managed ? asUnit(argv, options) : asChild(argv, options)
}

async function asUnit(argv: readonly string[], options: Unconfined): Promise<UnconfinedResult> {
  const unit = `superblock-${options.name.replace(/[^\w.-]/g, '-')}.service`
  const settings = [
    ...['--quiet', '--wait', '--pipe', '--collect', `--unit=${unit}`, '--service-type=exec'],
    ...[`--property=RuntimeMaxSec=${options.seconds}`, `--property=TimeoutStopSec=${GRACE}`],
    ...Object.entries(options.env ?? {}).map(([name, value]) => `--setenv=${name}=${value}`),
  ]
  const started = performance.now()
  const stop = () => run(['systemctl', 'stop', unit], { accept: ANY_STATUS, timeout: 2 * GRACE * 1000 })
  options.signal?.addEventListener('abort', () => void stop().catch(() => {}), { once: true })
  // Whatever it starts holds the lock, until systemd has ended it all.
  const alone = options.lock === undefined ? [] : ['flock', '--exclusive', options.lock]
  const attempt = () => run(['systemd-run', ...settings, '--', ...alone, ...argv], how(options))
  let result = await attempt()
  if (result.status !== 0 && /already (loaded|exists)|was already/.test(result.stderr)) {
    await stop()
    result = await attempt()
  }
  const late = result.status !== 0 && performance.now() - started >= options.seconds * 1000
  return { ...result, late }
}

/** timeout(1) ends it also when we are no longer there to do so. */
async function asChild(argv: readonly string[], options: Unconfined): Promise<UnconfinedResult> {
  const { lock, seconds, env = {} } = options
  const started = performance.now()
  const alone = lock === undefined ? [] : ['flock', '--exclusive', '--close', lock]
  const ended = ['timeout', `--kill-after=${GRACE}`, String(seconds)]
  const result = await run([...ended, ...alone, ...argv], { ...how(options), env })
  const late = [124, 137].includes(result.status) && performance.now() - started >= seconds * 1000
  return { ...result, late }
}

const how = ({ seconds, input, onLine, signal }: Unconfined) => ({
  accept: ANY_STATUS,
  timeout: (seconds + 4 * GRACE) * 1000,
  last: LAST,
  ...(signal === undefined ? {} : { signal }),
  ...(input === undefined ? {} : { input }),
  ...(onLine === undefined ? {} : { onLine }),
})
