/** Progress of a job: the stick in large words, steps, bar, bytes, rate, time left, and a heartbeat that tells slow from stuck. */
import type { Progress as Done, JobInfo, StepName } from '../../control/protocol.ts'
import { bar, duration, fraction, isStepping, jobName, numbers, stateWords } from '../line.ts'
import { BLANK, banner, type Frame, inner, type Line, line, type Screen, say } from '../lines.ts'
import { jobWords, stepWords } from '../words.ts'

/** How the heartbeat looks to this console, by its own steady clock: the device's may jump. */
export interface Pulse {
  /** heartbeats seen so far */
  beats: number
  /** seconds since the last one */
  quiet: number
}

const STEPS: readonly StepName[] = ['admit', 'stage', 'import', 'arm', 'deploy', 'settle']
/** Rows from which there is room for a box around the stick's words, and for the list of steps. */
const ROOMY = 22
const SPINNER = '|/-\\'
/** Seconds without a heartbeat: slow media pause for some, nothing healthy pauses for so many. */
const QUIET = 5
const STUCK = 60

export function progress(frame: Frame, job: JobInfo, pulse: Pulse): Screen {
  const { t } = frame
  const waits = job.code !== undefined && job.phase === 'installing'
  const paused = job.state === 'paused' || waits
  const sentence = say(frame, jobWords(job, t), { bold: paused, tone: paused ? 'warn' : undefined })
  const done = isStepping(job) ? job.progress : undefined
  return {
    head: `${jobName(job, t)}: ${waits ? t.state.paused : stateWords(job, t)}`,
    lines: [
      ...stickWords(frame, job),
      BLANK,
      ...(paused ? [...sentence, BLANK] : []),
      ...(done ? [...steps(frame, job, done), BLANK, ...bytesLines(frame, done)] : []),
      ...(job.state === 'running' ? [heartbeat(frame, pulse), BLANK] : []),
      ...(paused ? [] : sentence),
    ],
    keys: [
      ...(job.cancellable ? [t.keys.cancel] : []),
      ...(frame.kiosk ? [] : [t.keys.quit]),
      ...(frame.kiosk && !job.cancellable ? [t.keys.none] : []),
    ],
  }
}

/** Whether the stick must stay or may go, so that it can be read from across the room. */
export function stickWords(frame: Frame, job: JobInfo): Line[] {
  const { stick } = frame.t
  if (job.stick === 'none') return []
  const missing = job.state === 'paused' && job.code === 'media-gone'
  const words = missing ? stick.missingBanner : job.stick === 'keep' ? stick.keepBanner : stick.removeBanner
  const tone = job.stick === 'keep' ? 'warn' : 'good'
  return frame.rows < ROOMY ? say(frame, words, { bold: true, tone }) : banner(frame, words, tone)
}

function steps(frame: Frame, job: JobInfo, done: Done): Line[] {
  const { t, glyphs } = frame
  const at = STEPS.indexOf(done.step as StepName)
  if (at < 0 || frame.rows < ROOMY)
    return [line(frame, `${t.job.stepOf(done.at, done.of)}: ${stepWords(done.step, job, t)}`, { bold: true })]
  return STEPS.map((step, i) =>
    line(frame, `${(i < at ? glyphs.done : i === at ? glyphs.arrow : '').padEnd(2)} ${stepWords(step, job, t)}`, {
      bold: i === at,
    }),
  )
}

/** Two lines in any case, so that what is below does not jump when a step counts no bytes. */
function bytesLines(frame: Frame, done: Done): Line[] {
  const { glyphs, t } = frame
  const part = fraction(done)
  if (part === undefined) return [BLANK, BLANK]
  return [{ text: bar(part, Math.min(100, inner(frame)), glyphs.full, glyphs.empty) }, line(frame, numbers(done, t))]
}

function heartbeat(frame: Frame, { beats, quiet }: Pulse): Line {
  const { pulse } = frame.t
  const time = duration(quiet)
  const words = quiet < QUIET ? pulse.working : quiet < STUCK ? pulse.quiet(time) : pulse.stuck(time)
  return line(frame, `${SPINNER[beats % SPINNER.length]}  ${words}`, {
    tone: quiet < QUIET ? undefined : quiet < STUCK ? 'warn' : 'bad',
  })
}
