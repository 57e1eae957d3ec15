/** The service: reads the configuration, opens the updater, listens on the control socket, and tells systemd how it is. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { asFailure } from './base/failure.ts'
import { keepHeapSmall } from './base/heap.ts'
import { type Log, makeLog } from './base/log.ts'
import { run } from './base/run.ts'
import { safe } from './base/text.ts'
import { onWarning } from './base/warnings.ts'
import { groupId, loadConfig } from './config.ts'
import { listen, makeApp, makeChanges } from './control/server.ts'
import { lastFailure } from './update/doctor.ts'
import { openUpdater } from './update/updater.ts'

const HELP = `superblockd: finds signed packages on sticks and installs them on this OSTree device

usage: superblockd [--help | --version]

It is started by systemd and configured in /usr/lib/superblock and /etc/superblock (superblock.toml and
superblock.d/*.toml). Talk to it with the command superblock. exit status: 0 stopped, 1 could not start, 2 usage.
`

/** Milliseconds that requests under way have when the service is stopped. */
const ANSWERING = 200

/** sd_notify(3) through its command, so that no native module is needed; without systemd there is nobody to tell. */
async function tell(log: Log, ...words: string[]): Promise<void> {
  if (!process.env.NOTIFY_SOCKET) return
  await run(['systemd-notify', ...words]).catch(error => log.warn({ err: error }, 'cannot tell systemd'))
}

async function serve(): Promise<number> {
  keepHeapSmall()
  const config = await loadConfig()
  const log = makeLog(config.log)
  onWarning(text => log.warn(text))
  process.on('unhandledRejection', error => log.error({ err: error }, 'unforeseen'))
  const runtime = dirname(config.socket)
  try {
    await mkdir(runtime, { recursive: true, mode: 0o755 })
    const changes = makeChanges()
    const updater = await openUpdater(config, __VERSION__, runtime, log, changes.tell)
    const server = await listen(makeApp(updater, changes), config.socket, await groupId('superblock'), log)
    log.info({ version: __VERSION__, socket: config.socket }, 'ready')
    await rm(lastFailure(runtime), { force: true }).catch(() => {})
    await tell(log, '--ready', 'STATUS=ready')
    const interval = Number(process.env.WATCHDOG_USEC ?? 0) / 2000
    const watchdog = interval > 0 ? setInterval(() => void tell(log, 'WATCHDOG=1'), interval) : undefined

    const signal = await new Promise<string>(resolve => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
    })
    log.info({ signal }, 'stopping')
    clearInterval(watchdog)
    server.close()
    // What was asked for last, a reboot often, is still answered.
    await Promise.all([updater.close(), sleep(ANSWERING)])
    server.closeAllConnections()
    return 0
  } catch (error) {
    const failure = asFailure(error, 'start')
    log.fatal({ err: failure, code: failure.code }, failure.message)
    await writeFile(lastFailure(runtime), `${failure.message} (${failure.code})\n`).catch(() => {})
    return 1
  }
}

const [argument, ...more] = process.argv.slice(2)
if (argument === undefined) process.exit(await serve())
if (argument === '--version' && more.length === 0) process.stdout.write(`${__VERSION__}\n`)
else if (argument === '--help' && more.length === 0) process.stdout.write(HELP)
else {
  process.stderr.write(`superblockd: cannot understand ${safe([argument, ...more].join(' '))}\n\n${HELP}`)
  process.exit(2)
}
