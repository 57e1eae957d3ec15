/** A job in one line and a change in one sentence: what terminals that are no screen are shown, by CLI and console alike. */
import { bytes, safe } from '../base/text.ts'
import type { JobInfo, Progress } from '../control/protocol.ts'
import type { Texts } from './texts.ts'

/** `1:05` or `2:01:05`; whole seconds. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const two = (n: number) => String(n).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

/** `2026-11-12 10:22` in the device's own time zone; what is not a date is shown as it is. */
export function when(time: string | undefined): string {
  if (!time) return '-'
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return safe(time, 40)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`
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
  const version = safe(job.to.version || job.to.commit.slice(0, 12))
  return job.kind === 'install' ? t.installing(version) : t.rollingBack(version)
}

/** `45 %  12 MB of 30 MB  5.1 MB/s  0:04 left`: only what is known. */
export function numbers(progress: Progress, t: Texts): string {
  const part = fraction(progress)
  if (part === undefined) return ''
  const words = [`${Math.floor(part * 100)} %`, t.ofBytes(bytes(progress.bytesDone), bytes(progress.bytesTotal))]
  if (progress.rate > 0) words.push(t.perSecond(bytes(progress.rate)))
  if (progress.eta !== undefined) words.push(t.left(duration(progress.eta)))
  return words.join('  ')
}

/** A reboot with a code takes the device back from a release that was not healthy. */
export const isGoingBack = (job: JobInfo): boolean => job.state === 'reboot' && job.code !== undefined

export const stateWords = (job: JobInfo, t: Texts): string =>
  isGoingBack(job) ? t.goingBack : (t.state[job.state] ?? safe(job.state))

/** `Installing 2.0: step 2 of 6, copying from the stick  45 %  …` */
export function jobLine(job: JobInfo, t: Texts): string {
  const { progress } = job
  const name = jobName(job, t)
  if (job.state !== 'running' || !progress) return `${name}: ${stateWords(job, t)}`
  const step = `${t.stepOf(progress.at, progress.of)}, ${t.step[progress.step] ?? safe(progress.step)}`
  return `${name}: ${step}  ${numbers(progress, t)}`.trimEnd()
}

/** The sentence about the stick, where there is one to say. */
export const stickSentence = (job: JobInfo, t: Texts): string | undefined =>
  job.stick === 'keep' ? t.stickKeep : job.stick === 'remove' ? t.stickRemove : undefined

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
    const mark = job.state === 'running' ? `${job.progress?.step} ${tenth}` : job.state
    if (mark !== said.mark) lines.push(jobLine(job, t))
    const stick = stickSentence(job, t)
    if (stick && job.stick !== said.stick) lines.push(stick)
    if (job.text && job.text !== said.text && job.state !== 'running')
      lines.push(safe(job.text, 400) + (job.code ? ` (${safe(job.code)})` : ''))
    said = { id: job.id, state: job.state, stick: job.stick, text: job.text, mark }
    return lines
  }
}
