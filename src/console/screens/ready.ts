/** The reboot that finishes a job: now, later, or by itself. */
import type { JobInfo } from '../../control/protocol.ts'
import { isGoingBack } from '../line.ts'
import { BLANK, type Frame, type Screen, say } from '../lines.ts'
import { jobWords } from '../words.ts'
import { stickWords } from './progress.ts'

export function ready(frame: Frame, job: JobInfo): Screen {
  const { t } = frame
  const back = isGoingBack(job)
  const byItself = job.rebootIn !== undefined
  return {
    head: back ? t.ready.backHead : t.ready.head,
    tone: back ? 'bad' : 'good',
    lines: [
      ...stickWords(frame, job),
      BLANK,
      ...(job.rebootIn === undefined
        ? say(frame, t.ready.choose, { bold: true })
        : say(frame, t.ready.byItself(Math.ceil(job.rebootIn)), { bold: true, tone: 'warn' })),
      BLANK,
      ...say(frame, jobWords(job, t)),
      ...(job.kind === 'install' && !back ? say(frame, t.ready.meaning(job.to.version)) : []),
    ],
    keys: [
      t.keys.rebootNow,
      ...(byItself ? [] : [t.keys.later]),
      ...(job.cancellable ? [t.keys.cancel] : []),
      ...(frame.kiosk ? [] : [t.keys.quit]),
    ],
  }
}
