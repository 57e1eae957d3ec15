/** The console where there is no terminal: a plain line for each thing that happens, until it is ended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { asFailure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import { connect } from '../control/client.ts'
import { isUnreachable } from '../control/protocol.ts'
import { narrator } from './line.ts'
import { texts } from './texts.ts'
import { failureWords } from './words.ts'

const AGAIN = 1000

/**
 * @param io where lines go; a reader that goes away ends it
 * @returns the exit status: 128 + the signal that ended it
 */
export async function plain(
  socket: string,
  io: { stdout: NodeJS.WritableStream; env: NodeJS.ProcessEnv },
): Promise<number> {
  const t = texts(io.env)
  const stop = new AbortController()
  let status = 0
  const end = (signal: NodeJS.Signals) => {
    status = signal === 'SIGINT' ? 130 : 143
    stop.abort()
  }
  process.once('SIGINT', end).once('SIGTERM', end)
  const news = narrator(t)
  const tell = (line: string) => void io.stdout.write(`${safe(line, 2000)}\n`)
  let down = false
  try {
    while (!stop.signal.aborted) {
      try {
        for await (const snapshot of connect(socket).events(stop.signal)) {
          down = false
          for (const line of news(snapshot.job)) tell(line)
        }
      } catch (error) {
        const failure = asFailure(error, 'follow the service')
        if (!isUnreachable(failure)) throw failure
        if (!down) tell(`${failureWords(failure, t)} (${failure.code})`)
        down = true
        await sleep(AGAIN, undefined, { signal: stop.signal }).catch(() => {})
      }
    }
    return status
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end)
  }
}
