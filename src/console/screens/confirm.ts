/** Confirmations: what is about to happen, what it means, and no or yes. */
import type { DeploymentInfo, OfferInfo, Snapshot } from '../../control/protocol.ts'
import { BLANK, choice, type Frame, type Line, row, type Screen, say } from '../lines.ts'
import { running } from '../view.ts'
import { leftWords, when } from '../words.ts'
import { about, placeOfOffer } from './packages.ts'

/** The answer stands before its meaning, so that it is there on a low screen too. */
function ask(frame: Frame, yes: boolean, head: string, word: string, meaning: Line[]): Screen {
  const { keys, confirm } = frame.t
  return {
    head,
    lines: [...choice(frame, yes, [confirm.no, word]), BLANK, ...meaning],
    keys: [keys.choose, keys.take, keys.yes, keys.back],
  }
}

export function confirmInstall(frame: Frame, snapshot: Snapshot, offer: OfferInfo, yes: boolean): Screen {
  const { t } = frame
  const to = offer.release?.version ?? offer.file
  const from = versionOf(running(snapshot))
  const isOnStick = !snapshot.media.some(({ path, kind }) => path === offer.medium && kind === 'inbox')
  return ask(frame, yes, t.confirm.install(from, to), t.confirm.yesInstall(to), [
    ...(isOnStick ? say(frame, t.confirm.stick, { bold: true }) : []),
    ...say(frame, t.confirm.goesOn),
    ...say(frame, t.confirm.starts(to)),
    ...say(frame, t.confirm.keeps(from)),
    BLANK,
    ...about(frame, snapshot, offer),
    ...placeOfOffer(frame, snapshot, offer),
  ])
}

export function confirmDowngrade(
  frame: Frame,
  snapshot: Snapshot,
  offer: OfferInfo,
  reason: string,
  yes: boolean,
): Screen {
  const { t } = frame
  const to = offer.release?.version ?? offer.file
  const from = versionOf(running(snapshot))
  const made = when(offer.release?.timestamp, t)
  return ask(frame, yes, t.confirm.downgrade(from, to), t.confirm.yesDowngrade(to), [
    ...say(frame, t.confirm.downgradeMeaning(made, when(snapshot.device.newest, t)), { bold: true, tone: 'warn' }),
    ...say(frame, t.confirm.starts(to)),
    ...say(frame, t.confirm.keeps(from)),
    ...say(frame, t.confirm.reason(reason)),
    BLANK,
    ...about(frame, snapshot, offer),
    ...placeOfOffer(frame, snapshot, offer),
  ])
}

export function confirmRemove(frame: Frame, one: DeploymentInfo, yes: boolean): Screen {
  const { confirm } = frame.t
  const version = versionOf(one)
  return ask(frame, yes, confirm.remove(version), confirm.yesRemove(version), [
    ...say(frame, `${version}  ${one.commit.slice(0, 12)}`),
    ...say(frame, confirm.removeMeaning, { bold: true, tone: 'warn' }),
  ])
}

export function confirmReboot(frame: Frame, snapshot: Snapshot, yes: boolean): Screen {
  const { t } = frame
  const next = snapshot.deployments.find(d => d.pending) ?? running(snapshot)
  return ask(frame, yes, t.confirm.reboot, t.confirm.yesReboot, [
    ...row(frame, t.home.afterReboot, versionOf(next)),
    ...say(frame, t.confirm.rebootMeaning),
  ])
}

export function confirmCancel(frame: Frame, snapshot: Snapshot, yes: boolean): Screen {
  const { confirm } = frame.t
  if (snapshot.job?.kind === 'repair')
    return ask(frame, yes, confirm.cancelRepair, confirm.yesCancel, say(frame, confirm.cancelRepairMeaning))
  const head = snapshot.job?.kind === 'rollback' ? confirm.cancelRollback : confirm.cancel
  return ask(frame, yes, head, confirm.yesCancel, say(frame, confirm.cancelMeaning))
}

export function confirmRepair(frame: Frame, { offers }: Snapshot, yes: boolean): Screen {
  const { confirm } = frame.t
  const isWithoutPackage = !offers.some(({ release }) => release !== undefined)
  return ask(frame, yes, confirm.repair, confirm.yesRepair, [
    ...(isWithoutPackage ? say(frame, confirm.repairStick, { bold: true, tone: 'warn' }) : []),
    ...say(frame, confirm.repairMeaning),
  ])
}

export function confirmReturn(
  frame: Frame,
  snapshot: Snapshot,
  to: DeploymentInfo,
  { reason, force }: { reason: string; force?: true },
  yes: boolean,
): Screen {
  const { t } = frame
  const left = leftWords(to, t)
  const head = t.confirm.rollback(versionOf(running(snapshot)), to.version)
  const word = force ? t.confirm.yesForce(to.version) : t.confirm.yesRollback(to.version)
  return ask(frame, yes, head, word, [
    ...(force ? say(frame, t.confirm.force(to.version), { bold: true, tone: 'warn' }) : []),
    ...say(frame, t.confirm.startsAgain(to.version)),
    ...say(frame, t.confirm.dataStays),
    ...say(frame, t.confirm.reason(reason)),
    ...(left ? say(frame, t.confirm.wasLeft(left), { tone: 'warn' }) : []),
  ])
}

const versionOf = (one: DeploymentInfo | undefined): string => one?.version || one?.commit.slice(0, 12) || '?'
