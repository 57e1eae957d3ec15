/** Rollback: every release on the device with its record, and which of them it could return to. */
import type { DeploymentInfo, Snapshot } from '../../control/protocol.ts'
import { BLANK, entry, type Frame, type Line, line, type Screen, say } from '../lines.ts'
import { chosenDeployment, returnable } from '../view.ts'
import { leftWords, when } from '../words.ts'

export function rollback(frame: Frame, snapshot: Snapshot, name: string): Screen {
  const { t } = frame
  const list = returnable(snapshot)
  const chosen = chosenDeployment(snapshot, name)
  const others = snapshot.deployments.filter(d => !list.includes(d))
  if (!chosen)
    return {
      head: t.rollback.none,
      lines: [...say(frame, t.rollback.only), BLANK, ...others.flatMap(one => release(frame, one, false))],
      keys: [t.keys.back],
    }
  return {
    head: t.rollback.head,
    lines: others.flatMap(one => release(frame, one, false)),
    list: { entries: list.map(one => release(frame, one, one === chosen)), chosen: list.indexOf(chosen) },
    after: [BLANK, ...say(frame, t.rollback.meaning)],
    keys: [
      ...(list.length > 1 ? [t.keys.choose] : []),
      t.keys.next,
      ...(chosen.removable ? [t.keys.remove] : []),
      t.keys.back,
    ],
  }
}

function release(frame: Frame, one: DeploymentInfo, chosen: boolean): Line[] {
  const { t } = frame
  const marks = [
    ...(one.booted ? [t.rollback.running] : []),
    ...(one.pending ? [t.rollback.pending] : []),
    ...(one.rollback ? [t.rollback.suggested] : []),
    ...(one.pinned ? [t.rollback.pinned] : []),
  ]
  const record = [
    ...(one.installedAt ? [t.rollback.installedAt(when(one.installedAt, t))] : []),
    one.lastGood ? t.rollback.lastGood(when(one.lastGood, t)) : t.rollback.neverGood,
  ]
  const left = leftWords(one, t)
  return [
    entry(frame, `${one.version}  ${one.commit.slice(0, 12)}  ${marks.join(', ')}`, chosen),
    line(frame, `     ${record.join(', ')}`),
    ...(one.damaged === undefined ? [] : [line(frame, `     ${t.rollback.damaged}`, { tone: 'bad' })]),
    ...(left ? [line(frame, `     ${t.rollback.leftBecause(left)}`, { tone: 'warn' })] : []),
  ]
}
