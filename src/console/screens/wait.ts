/** No service: that it is so, that nothing is lost by it, what to do with the stick, and that the console goes on trying. */
import type { Failure } from '../../base/failure.ts'
import type { Snapshot } from '../../control/protocol.ts'
import { BLANK, type Frame, row, type Screen, say } from '../lines.ts'
import { spoken } from '../numbers.ts'
import { isWorking } from '../view.ts'
import { failureWords, nextWords } from '../words.ts'

/**
 * @param lost why there is none; undefined while connecting for the first time
 * @param last what the service said before it went
 */
export function wait(frame: Frame, lost: Failure | undefined, last: Snapshot | undefined): Screen {
  const { t } = frame
  const keys = [frame.kiosk ? t.keys.none : t.keys.quit]
  if (!lost) return { head: t.wait.connecting, lines: [], keys }
  const job = last?.job ?? null
  return {
    head: lost.code === 'other-version' ? t.wait.otherVersion : t.wait.gone,
    tone: 'warn',
    lines: [
      ...(job && isWorking(job) && job.stick === 'keep'
        ? [...say(frame, t.wait.keepStick, { bold: true, tone: 'warn' }), BLANK]
        : []),
      ...say(frame, failureWords(lost, t), { bold: true }),
      ...say(frame, t.wait.goesOn),
      ...say(frame, t.wait.again),
      BLANK,
      ...row(frame, t.trouble.next, nextWords(lost.code, t)),
      ...row(frame, t.trouble.code, spoken(lost.code)),
      ...row(frame, t.packages.service, lost.message),
    ],
    keys,
  }
}
