/** What a technician reads about the job: what is going on, whether the stick may go, and what to do next. */
import type { JobInfo, Stick } from './snapshot.ts'
import { type Cause, isCancellable, type Job, type RepairJob, type State, shown } from './state.ts'

type Active = Exclude<State, { at: 'idle' }>

/** Until everything is staged the stick must stay; afterwards it may go. */
export function stickOf(state: Active): Stick {
  if (state.job.kind === 'rollback' || !state.job.onStick) return 'none'
  if (state.job.kind === 'repair') return state.at === 'repairing' ? 'keep' : 'remove'
  if (state.at === 'installing') return state.step === 'admit' || state.step === 'stage' ? 'keep' : 'remove'
  return 'remove'
}

/** Does the job wait for a stick that is in, but does not answer? */
const waitsForStick = (state: Active, isSilent: boolean) =>
  isSilent && state.at === 'installing' && !state.paused && stickOf(state) === 'keep'

const SILENT: Cause = {
  code: 'not-answering',
  text: 'The stick is not answering. Wait, or take it out and put it back, or another with the same package; the installation continues by itself.',
}

export function sentence(state: Active): string {
  const stick = stickOf(state)
  const stays = stick === 'none' ? '' : ' Leave the stick in.'
  const mayGo = stick === 'none' ? '' : ' The stick may be removed now.'
  const to = `version ${state.job.to.version || 'unknown'}`
  const from = `version ${state.job.from.version || 'unknown'}`
  switch (state.at) {
    case 'installing':
      if (state.paused) return state.paused.text
      if (state.waiting)
        return `${state.waiting.text}${state.step === 'admit' || state.step === 'stage' ? stays : mayGo}`
      if (state.step === 'admit') return `Checking the package.${stays}`
      if (state.step === 'stage')
        return `Copying ${to} ${stick === 'none' ? 'to the device' : 'from the stick'}.${stays}`
      return `Installing ${to}.${mayGo} Do not switch off; if the power fails it continues by itself.`
    case 'rolling-back':
      return `Going back to ${to}.`
    case 'undoing':
      return `Stopped: ${state.cause.text}. Taking back what was done.`
    case 'reboot': {
      const before = state.cause ? `This could not be called off: ${state.cause.text}. ` : ''
      return state.job.kind === 'install'
        ? `${before}${upper(to)} is installed and starts with the next reboot.${mayGo}`
        : `${before}${upper(to)} starts with the next reboot.`
    }
    case 'trying':
      return `${upper(to)} is running; its health is being checked. Do not switch off.`
    case 'falling-back':
      return `${upper(state.cause.text)}. Going back to ${from}.`
    case 'returning':
      return `${upper(state.cause.text)}. The device goes back to ${from} with the next reboot.`
    case 'repairing':
      return `Reading everything that is stored, and mending what is damaged.${stays}`
    case 'done':
      if (state.job.kind === 'repair') return repaired(state.job)
      return state.job.kind === 'install' ? `${upper(to)} is installed and works.` : `Back on ${to}.`
    case 'fell-back':
      return `${upper(state.cause.text)}. The device is back on ${from}.`
    case 'failed':
      if (state.stuck) return `${upper(state.cause.text)}. Call support, and install nothing before.`
      if (state.job.kind !== 'install') return `${upper(state.cause.text)}.`
      return changes(state)
        ? `${upper(state.cause.text)}. The device runs ${from}.${changes(state)}`
        : `${upper(state.cause.text)}. Nothing was changed: the device runs ${from}.`
    case 'cancelled':
      if (state.job.kind === 'repair') return 'Cancelled. What was mended stays mended.'
      return `Cancelled.${changes(state) || ' Nothing was changed.'}`
  }
}

const repaired = ({ mended = 0 }: RepairJob) =>
  mended === 0 ? 'Everything that is stored was read, and is sound.' : `${mended} damaged things were mended.`

/** What only jobs of a kind have. */
function about(job: Job): Partial<JobInfo> {
  switch (job.kind) {
    case 'install':
      return { offer: job.offer, medium: job.medium }
    case 'rollback':
      return { reason: job.reason }
    case 'repair':
      return {
        medium: job.medium,
        ...(job.mended === undefined ? {} : { repaired: { mended: job.mended, left: job.left ?? 0 } }),
      }
  }
}

/** Why it ended, goes back or waits. */
function causeOf(state: Active): Cause | undefined {
  if (state.at === 'installing') return state.paused ?? state.waiting
  return state.at !== 'reboot' && 'cause' in state ? state.cause : undefined
}

/** What is not as it was before the job, though it failed or was called off. */
export function changedBy(state: Active): JobInfo['changed'] {
  if ((state.at !== 'failed' && state.at !== 'cancelled') || state.job.kind !== 'install') return undefined
  const removed = (state.job.removed ?? []).map(({ version }) => version)
  const remains = state.remains ? state.job.to.version : ''
  return removed.length > 0 || remains !== '' ? { removed, remains } : undefined
}

function changes(state: Active): string {
  const { removed = [], remains = '' } = changedBy(state) ?? {}
  const gone = removed.length > 0 ? ` To make room, version ${removed.join(' and ')} was removed.` : ''
  return remains === '' ? gone : `${gone} Version ${remains} is still on the device, but does not start.`
}

/** @param isSilent the stick with the package does not answer */
export function describeJob(
  state: Active,
  progress: JobInfo['progress'],
  rebootIn: number | undefined,
  isSilent: boolean,
): JobInfo {
  const { job } = state
  const waiting = waitsForStick(state, isSilent) ? SILENT : undefined
  const cause = causeOf(state) ?? waiting
  const kept = state.at === 'reboot' ? state.cause : undefined
  return {
    kind: job.kind,
    id: job.id,
    state: shown(state),
    phase: state.at,
    from: { version: job.from.version, commit: job.from.commit },
    to: { version: job.to.version, commit: job.to.commit },
    startedAt: job.startedAt,
    ...about(job),
    ...(progress && shown(state) === 'running' ? { progress } : {}),
    cancellable: isCancellable(state),
    stick: stickOf(state),
    ...(state.at === 'failed' && state.stuck ? { stuck: true } : {}),
    ...(changedBy(state) ? { changed: changedBy(state) } : {}),
    ...(kept ? { notCancelled: kept } : {}),
    text: waiting?.text ?? sentence(state),
    ...(cause ? { code: cause.code } : {}),
    ...(cause?.facts ? { facts: cause.facts } : {}),
    ...(rebootIn === undefined ? {} : { rebootIn }),
    counters:
      job.kind === 'install' ? job.counters : { bytesRead: 0, membersRead: 0, membersSkipped: 0, bytesWritten: 0 },
  }
}

const upper = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
