/** Home: what to do next, the device, what is inserted, and how the last job ended. */
import type { DeploymentInfo, Snapshot } from '../../control/protocol.ts'
import { isOver, jobName, stateWords } from '../line.ts'
import { BLANK, type Frame, type Line, row, type Screen, say } from '../lines.ts'
import type { Texts } from '../texts.ts'
import { chosenOffer, listed, misses, running } from '../view.ts'
import { healthWord, mediumWords, problemWords, when } from '../words.ts'

/** More sticks than this are counted, not listed. */
const MEDIA = 3

export function home(frame: Frame, snapshot: Snapshot): Screen {
  const { t } = frame
  const { deployments, offers, health, problems, job } = snapshot
  const media = visibleMedia(snapshot)
  const named = (d: DeploymentInfo) => `${d.version}  ${d.commit.slice(0, 8)}`
  const runs = running(snapshot)
  const pending = deployments.find(d => d.pending)
  const back = deployments.find(d => d.rollback)
  const others = deployments.some(d => !d.booted)
  const fitting = offers.filter(offer => offer.verdict.fits).length
  const checked = health
    ? `  ${health.version === runs?.version ? '' : `${health.version}  `}${when(health.at, t)}`
    : ''
  const lines: Line[] = [
    ...row(frame, t.home.runs, runs ? named(runs) : t.home.noRelease),
    ...(pending ? row(frame, t.home.afterReboot, named(pending), { tone: 'warn' }) : []),
    ...(back || !pending
      ? row(frame, t.home.rollbackTo, back ? named(back) : others ? t.home.noneGood : t.home.nothing)
      : []),
    ...row(frame, t.home.health, `${healthWord(health?.verdict, t)}${checked}`, {
      tone: health?.verdict === 'good' ? 'good' : health?.verdict === 'bad' ? 'bad' : undefined,
    }),
    ...(job && isOver(job) ? row(frame, t.home.last, `${jobName(job, t)}: ${stateWords(job, t)}`) : []),
    ...problems
      .slice(0, 2)
      .flatMap(problem => row(frame, t.home.problem, problemWords(problem, t).text, { tone: 'bad', bold: true })),
    BLANK,
    ...(media.length === 0 ? row(frame, t.home.stick, t.home.noStick) : []),
    ...media
      .slice(0, MEDIA)
      .flatMap(medium =>
        row(
          frame,
          t.home.stick,
          `${medium.name}${medium.filesystem ? ` (${medium.filesystem})` : ''}: ${mediumWords(medium, t)}`,
          { tone: medium.state === 'trouble' ? 'bad' : undefined },
        ),
      ),
    ...(media.length > MEDIA ? row(frame, '', t.more(media.length - MEDIA)) : []),
    ...(offers.length > 0 ? row(frame, '', t.home.found(offers.length, fitting)) : []),
    ...(media.length > 0 ? row(frame, '', t.stick.free) : []),
    ...(snapshot.device.policy === 'auto' ? [BLANK, ...say(frame, t.home.automatic)] : []),
  ]
  return {
    ...headline(t, snapshot),
    lines,
    keys: [
      ...(listed(snapshot).length > 0 ? [t.keys.look] : []),
      t.keys.packages,
      t.keys.rollback,
      t.keys.history,
      t.keys.reboot,
      t.keys.trouble,
      ...(frame.kiosk ? [] : [t.keys.quit]),
    ],
  }
}

/** The inbox is always there: it is worth a line only when something is wrong with it. */
const visibleMedia = ({ media }: Snapshot) => media.filter(one => one.kind === 'stick' || one.state === 'trouble')

/** The one sentence that says what to do next. */
function headline(t: Texts, snapshot: Snapshot): Pick<Screen, 'head' | 'tone'> {
  const { offers, deployments } = snapshot
  const media = visibleMedia(snapshot)
  const best = chosenOffer(snapshot, '')
  const pending = deployments.find(d => d.pending)
  const version = best?.release?.version ?? best?.file ?? ''
  if (best?.preselected) return { head: t.home.fits(version), tone: 'good' }
  if (pending) return { head: t.home.pending(pending.version), tone: 'warn' }
  if (media.some(one => one.state === 'reading')) return { head: t.home.reading }
  if (best?.verdict.fits) return { head: t.home.noStepForward(version), tone: 'warn' }
  if (offers.length > 0) {
    const isHere = offers.every(({ verdict }) => !verdict.fits && verdict.code === 'already-installed')
    return isHere ? { head: t.home.allInstalled, tone: 'good' } : { head: t.home.noneFits, tone: 'warn' }
  }
  if (misses(snapshot).length > 0) return { head: t.home.nearMiss, tone: 'warn' }
  if (media.some(one => one.state === 'trouble')) return { head: t.home.unusable, tone: 'warn' }
  return media.length > 0 ? { head: t.home.noPackage, tone: 'warn' } : { head: t.home.insert }
}
