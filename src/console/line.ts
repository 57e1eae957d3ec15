/** A job in one line and a change in one sentence: what terminals that are no screen are shown, by CLI and console alike. */
import { bytes, safe } from '../base/text.ts'
import type { JobInfo, Progress } from '../control/protocol.ts'
import type { Texts } from './texts.ts'
import { jobWords, stepWords } from './words.ts'

/** `1:05` or `2:01:05`; whole seconds. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const two = (n: number) => String(n).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

/** Done part of the step, 0 to 1; undefined where it does not count bytes. */
export const fraction = (progress: Progress): number | undefined =>
  progress.bytesTotal > 0 ? Math.min(1, Math.max(0, progress.bytesDone / progress.bytesTotal)) : undefined

/** `[####----]`-like, exactly `width` columns wide. */
export function bar(part: number, width: number, full: string, empty: string): string {
  const filled = Math.round(Math.min(1, Math.max(0, part)) * width)
  return full.repeat(filled) + empty.repeat(Math.max(0, width - filled))
}

export const jobName = (job: JobInfo, t: Texts): string => {
  if (job.kind === 'repair') return t.job.repairing
  const version = safe(job.to.version || job.to.commit.slice(0, 12)) || t.job.unknown
  return job.kind === 'install' ? t.job.installing(version) : t.job.rollingBack(version)
}

/** `45 %  12 MB of 30 MB  5.1 MB/s  0:04 left`: only what is known. */
export function numbers(progress: Progress, t: Texts): string {
  const part = fraction(progress)
  if (part === undefined) return ''
  const size = (count: number) => bytes(count, t.locale)
  const words = [`${Math.floor(part * 100)} %`, t.job.ofBytes(size(progress.bytesDone), size(progress.bytesTotal))]
  if (progress.rate > 0) words.push(t.job.perSecond(size(progress.rate)))
  if (progress.eta !== undefined) words.push(t.job.left(duration(progress.eta)))
  return words.join('  ')
}

/** Whether the job goes through steps; what is being taken back goes through none. */
export const isStepping = (job: JobInfo): boolean =>
  job.state === 'running' &&
  job.progress !== undefined &&
  ['installing', 'rolling-back', 'repairing'].includes(job.phase)

/** A reboot with a code takes the device back from a release that was not healthy. */
export const isGoingBack = (job: JobInfo): boolean => job.state === 'reboot' && job.code !== undefined

export function stateWords(job: JobInfo, t: Texts): string {
  if (isGoingBack(job)) return t.job.goingBack
  if (job.phase === 'undoing') return t.job.undoing
  return job.phase === 'falling-back' ? t.job.fallingBack : (t.state[job.state] ?? safe(job.state))
}

/** `Installing 2.0: step 2 of 6, copying from the stick  45 %  …` */
export function jobLine(job: JobInfo, t: Texts): string {
  const { progress } = job
  const name = jobName(job, t)
  if (!isStepping(job) || !progress) return `${name}: ${stateWords(job, t)}`
  const step = `${t.job.stepOf(progress.at, progress.of)}, ${safe(stepWords(progress.step, job, t))}`
  return `${name}: ${step}  ${numbers(progress, t)}`.trimEnd()
}

/** The sentence about the stick, where there is one to say. */
export const stickSentence = (job: JobInfo, t: Texts): string | undefined =>
  job.stick === 'keep' ? t.stick.keep : job.stick === 'remove' ? t.stick.remove : undefined

const ENDED: readonly JobInfo['state'][] = ['done', 'fell-back', 'failed', 'cancelled']

/** Whether nothing more will happen to the job. */
export const isOver = (job: JobInfo): boolean => ENDED.includes(job.state)

/**
 * A teller of what is new: called with each snapshot's job it returns the lines that were not said yet. Steps are told
 * as they begin and every tenth of their bytes; the stick and the state when they change.
 */
export function narrator(t: Texts): (job: JobInfo | null) => string[] {
  let said = { id: '', state: '', stick: '', text: '', mark: '' }
  return job => {
    if (!job) return []
    if (job.id !== said.id) said = { id: job.id, state: '', stick: '', text: '', mark: '' }
    const lines: string[] = []
    const tenth = job.progress ? Math.floor((fraction(job.progress) ?? 0) * 10) : 0
    const mark = isStepping(job) ? `${job.progress?.step} ${tenth}` : job.phase
    if (mark !== said.mark) lines.push(jobLine(job, t))
    const stick = stickSentence(job, t)
    if (stick && job.stick !== said.stick) lines.push(stick)
    const text = jobWords(job, t)
    if (text && text !== said.text && !isStepping(job))
      lines.push(safe(text, 400) + (job.code ? ` (${safe(job.code)})` : ''))
    said = { id: job.id, state: job.state, stick: job.stick, text, mark }
    return lines
  }
}
