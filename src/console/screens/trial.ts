/** Trial: after the reboot the checks as they come, and at the end the verdict. */
import type { CheckResult, JobInfo, Snapshot } from '../../control/protocol.ts'
import { BLANK, banner, type Frame, type Line, line, type Screen, say } from '../lines.ts'
import { jobWords } from '../words.ts'

/** Lines of what a check wrote. */
const OUTPUT = 2

export function trial(frame: Frame, snapshot: Snapshot, job: JobInfo): Screen {
  const { t } = frame
  const removable = job.stick === 'remove' ? [...banner(frame, t.stick.removeBanner, 'good'), BLANK] : []
  const checks = snapshot.health?.checks ?? []
  if (job.state === 'trying')
    return {
      head: t.trial.head(job.to.version),
      lines: [
        ...removable,
        ...say(frame, t.trial.checking, { bold: true, tone: 'warn' }),
        BLANK,
        ...(checks.length === 0 ? say(frame, t.trial.noChecks) : checkLines(frame, snapshot)),
      ],
      keys: [frame.kiosk ? t.keys.none : t.keys.quit],
    }
  const cancelled = job.state === 'cancelled'
  return {
    head: cancelled ? t.trial.cancelledHead : t.trial.doneHead,
    tone: cancelled ? undefined : 'good',
    lines: [
      ...removable,
      ...say(frame, jobWords(job, t), { bold: true }),
      ...(cancelled || job.kind === 'repair'
        ? []
        : say(frame, t.trial.passed(checks.filter(check => check.ok).length))),
      ...say(frame, t.trial.nothingToDo),
      BLANK,
      ...(cancelled || job.kind === 'repair' ? [] : checkLines(frame, snapshot)),
    ],
    keys: [t.keys.close, ...(frame.kiosk ? [] : [t.keys.quit])],
  }
}

/** Failed ones first: there may be more checks than room. */
export function checkLines(frame: Frame, { health }: Snapshot): Line[] {
  const { t, glyphs } = frame
  const rank = ({ ok, required }: CheckResult) => (ok ? 2 : required ? 0 : 1)
  const checks = [...(health?.checks ?? [])].sort((a, b) => rank(a) - rank(b))
  return checks.flatMap(({ name, ok, required, seconds, output }) => [
    line(frame, `${(ok ? glyphs.done : '!').padEnd(2)} ${name}  ${t.trial.took(seconds.toLocaleString(t.locale))}`, {
      tone: ok ? 'good' : required ? 'bad' : 'warn',
      bold: !ok,
    }),
    ...(ok
      ? []
      : output
          .split('\n')
          .slice(-OUTPUT)
          .map(text => line(frame, `   ${text}`))),
  ])
}
