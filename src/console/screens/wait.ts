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
 * @param rebooting the device was told to reboot: then this is what was to be expected
 */
export function wait(frame: Frame, lost: Failure | undefined, last: Snapshot | undefined, rebooting: boolean): Screen {
  const { t } = frame
  const keys = [frame.kiosk ? t.keys.none : t.keys.quit]
  if (!lost) return { head: t.wait.connecting, lines: [], keys }
  if (rebooting)
    return {
      head: t.wait.rebooting,
      lines: [...say(frame, t.wait.powerOn, { bold: true }), BLANK, ...say(frame, t.wait.late)],
      keys,
    }
  const job = last?.job ?? null
  const working = isWorking(job)
  return {
    head: lost.code === 'other-version' ? t.wait.otherVersion : t.wait.gone,
    tone: 'warn',
    lines: [
      ...(working && job?.stick === 'keep'
        ? [...say(frame, t.wait.keepStick, { bold: true, tone: 'warn' }), BLANK]
        : []),
      ...say(frame, failureWords(lost, t), { bold: true }),
      ...(working || !last ? say(frame, t.wait.goesOn) : []),
      ...say(frame, t.wait.again),
      BLANK,
      ...row(frame, t.trouble.next, nextWords(lost.code, t)),
      ...row(frame, t.trouble.code, spoken(lost.code)),
      ...row(frame, t.packages.service, lost.message),
    ],
    keys,
  }
}
