/** Trouble: what happened, what is safe, what to do next, and the code to read out over a telephone. */
import type { JobInfo, Snapshot } from '../../control/protocol.ts'
import { jobName, stateWords } from '../line.ts'
import { BLANK, type Frame, type Line, row, type Screen, say } from '../lines.ts'
import { spoken } from '../numbers.ts'
import { isFree, refusedReturn, running } from '../view.ts'
import { changes, nextWords, otherCopy, problemWords, whatWords, when } from '../words.ts'
import { checkLines } from './trial.ts'

/** A job that failed or fell back. */
export function outcome(frame: Frame, snapshot: Snapshot, job: JobInfo): Screen {
  const { t } = frame
  const version = running(snapshot)?.version ?? '?'
  const bad = snapshot.health?.verdict === 'bad' && snapshot.health.version === version
  const stuck = job.stuck === true
  const refused = refusedReturn(snapshot) !== undefined
  const other = otherCopy(job)
  const next = other === undefined ? nextWords(job.code ?? '', t) : t.trouble.takeOther(other)
  const happened = [
    whatWords(job.code ?? '', job.facts, t, job.text),
    ...(job.state === 'fell-back' ? [t.trouble.wentBack] : []),
  ].join(' ')
  const safe = [
    ...(job.state === 'failed' && job.kind === 'install' && !stuck && !job.changed ? [t.trouble.unchanged] : []),
    ...changes(job, t),
    bad ? t.trouble.runsBad(version) : t.trouble.runs(version),
    ...(job.stick === 'remove' ? [t.trouble.stickFree] : []),
  ].join(' ')
  return {
    head: `${jobName(job, t)}: ${stateWords(job, t)}`,
    tone: 'bad',
    lines: [
      ...row(frame, t.trouble.happened, stuck ? t.phase.stuckOnBad(happened) : happened, { bold: true }),
      ...row(frame, t.trouble.safe, safe),
      ...row(frame, t.trouble.next, stuck || bad ? t.trouble.callNow : refused ? t.trouble.orForce : next),
      BLANK,
      ...codeLines(frame, job.code ?? 'internal'),
      ...row(frame, '', t.trouble.since(when(job.startedAt, t))),
      ...(bad ? [BLANK, ...checkLines(frame, snapshot)] : []),
      BLANK,
      ...row(frame, t.packages.service, job.text),
    ],
    keys: [t.keys.close, ...(refused ? [t.keys.force] : []), ...(frame.kiosk ? [] : [t.keys.quit])],
  }
}

/** What is wrong with the device. */
export function problems(frame: Frame, snapshot: Snapshot): Screen {
  const { t } = frame
  const isFine = snapshot.problems.length === 0
  const lines = snapshot.problems.flatMap(problem => {
    const { text, next } = problemWords(problem, t)
    return [
      ...row(frame, t.trouble.happened, text, { bold: true, tone: 'bad' }),
      ...row(frame, t.trouble.next, next),
      ...codeLines(frame, problem.code),
      BLANK,
    ]
  })
  return {
    head: isFine ? t.trouble.noProblems : t.trouble.problems,
    lines: [...lines, ...(isFree(snapshot) ? say(frame, t.trouble.check) : [])],
    keys: [...(isFree(snapshot) ? [t.keys.check] : []), t.keys.close, ...(frame.kiosk ? [] : [t.keys.quit])],
  }
}

const codeLines = (frame: Frame, code: string): Line[] => [
  ...row(frame, frame.t.trouble.code, spoken(code), { bold: true }),
  ...row(frame, '', frame.t.trouble.support),
]
