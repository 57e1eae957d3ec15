/** The job's states, each carrying what it needs, and what is true of them when the service starts again. */
import type { Facts } from '../base/failure.ts'
import type { Counters, JobInfo, ReleaseName, StepName } from './snapshot.ts'

export const STEPS: readonly StepName[] = ['admit', 'stage', 'import', 'arm', 'deploy', 'settle']

/** A deployment by what ostree calls it: indices change, this does not. */
export interface DeploymentName extends ReleaseName {
  serial: number
}

export interface InstallJob {
  kind: 'install'
  id: string
  /** SHA-256 of the manifest that was shown; empty until admitted when a file was named instead of an offer */
  offer: string
  medium: string
  path: string
  /** of a package from the inbox no stick is needed, and none may go */
  onStick: boolean
  allowDowngrade: boolean
  /** a newer release that was here is dated wrong: once this one is found good, later ones are compared with it */
  disownNewer?: boolean | undefined
  /** why an operator allowed it */
  reason?: string | undefined
  startedAt: string
  from: DeploymentName
  to: ReleaseName & { ref: string; os: string; epoch: number; timestamp: string }
  /** commit the ref pointed to before; empty means that it did not exist */
  earlierRef: string
  /** how the commit gets into the repo, and from which staged file a delta comes; set when admitted */
  delta?: string
  /** bytes that importing will write; set when admitted */
  unpacked: number
  /** what /etc was when the new deployment took it over: see ostree/etc.ts; set before it is deployed */
  etc?: string | undefined
  /** releases that were removed to make room for this one */
  removed?: ReleaseName[] | undefined
  counters: Counters
}

export interface RollbackJob {
  kind: 'rollback'
  id: string
  startedAt: string
  from: DeploymentName
  to: DeploymentName
  reason: string
  /** also when a hook refuses */
  force?: boolean | undefined
  /** away from a release that was not found good yet; its trial ends with this, so that it cannot be called off */
  untried?: boolean | undefined
}

/** The store is read, and what is damaged is brought back. */
export interface RepairJob {
  kind: 'repair'
  id: string
  startedAt: string
  /** the release that runs, which is the same before and after */
  from: DeploymentName
  to: DeploymentName
  /** the package to take it from; '' for all that are found */
  path: string
  medium: string
  onStick: boolean
  mended?: number | undefined
  left?: number | undefined
}

/** A job that leads to another release. */
export type ChangeJob = InstallJob | RollbackJob
export type Job = ChangeJob | RepairJob

/** Why a job stands or ended: the code and the sentence that a technician reads, and the values that it names. */
export interface Cause {
  code: string
  text: string
  facts?: Facts | undefined
}

/** Taking back what was done, from this step downwards; `remains`: what was deployed could not be removed, and does not start. */
export interface Undoing {
  at: 'undoing'
  job: ChangeJob
  step: StepName
  cause: Cause
  remains?: boolean | undefined
}

export type State =
  | { at: 'idle' }
  /** `paused`: until the stick is back · `waiting`: for another program, and tried again by itself */
  | { at: 'installing'; job: InstallJob; step: StepName; paused?: Cause; waiting?: Cause | undefined }
  | { at: 'rolling-back'; job: RollbackJob }
  | { at: 'repairing'; job: RepairJob }
  | Undoing
  /** the new default waits for the reboot out of the boot with this id; `cause`: it could not be called off */
  | { at: 'reboot'; job: ChangeJob; bootId: string; cause?: Cause | undefined }
  /** booted into the new one, its health not yet known */
  | { at: 'trying'; job: ChangeJob }
  /** it did not start or its health was bad: the previous one becomes the default again */
  | { at: 'falling-back'; job: InstallJob; cause: Cause }
  /** the previous one is the default again and waits for the reboot */
  | { at: 'returning'; job: InstallJob; bootId: string; cause: Cause }
  | { at: 'done'; job: Job }
  | { at: 'fell-back'; job: ChangeJob; cause: Cause }
  /** `remains`: the new release is on the device all the same, though it does not start */
  | { at: 'cancelled'; job: Job; cause: Cause; remains?: boolean | undefined }
  /** `stuck`: a release was started, and what runs now is not what should run and could not be left */
  | { at: 'failed'; job: Job; cause: Cause; stuck?: boolean | undefined; remains?: boolean | undefined }

interface Booting {
  commit: string
  serial: number
}

/** What the service finds when it starts, against which the journal is held. */
export interface Machine {
  bootId: string
  booted: Booting
  /** what the next boot would take */
  next: Booting
  /** how starts on trial ended, in words; '' where nothing is known */
  account: string
}

/**
 * The state that is true now, given what was journalled and what the machine is: the machine is believed.
 * Interrupted work keeps its state, since all of it can be repeated.
 */
export function reconcile(state: State, machine: Machine): State {
  switch (state.at) {
    case 'installing': {
      // The power failed after the boot order was changed and before that was journalled: what is left is to settle.
      const isDeployed = state.step === 'deploy' || state.step === 'settle'
      return isDeployed && isTarget(state.job, machine.booted) ? { ...state, step: 'settle' } : state
    }
    case 'undoing': {
      // The power failed before the new one was taken away, and now it runs: too late for a rollback to be called off.
      const { job, cause } = state
      if (!isTarget(job, machine.booted)) return state
      return job.kind === 'install' ? { at: 'falling-back', job, cause } : { at: 'trying', job }
    }
    case 'reboot': {
      const { job, bootId } = state
      if (isTarget(job, machine.booted)) return { at: 'trying', job }
      if (bootId !== machine.bootId) return notStarted(job, machine.account)
      // Same boot, but somebody made another deployment the default by hand.
      if (!isTarget(job, machine.next)) return { at: 'failed', job, cause: OVERRULED }
      return state
    }
    case 'trying':
      return isTarget(state.job, machine.booted) ? state : notStarted(state.job, machine.account)
    case 'returning': {
      const { job, cause } = state
      if (!isTarget(job, machine.booted)) return { at: 'fell-back', job, cause }
      if (state.bootId === machine.bootId) return state
      // Its default was set back, and yet it came up again: rebooting once more would go round for ever.
      return {
        at: 'failed',
        job,
        cause: { ...cause, text: `${cause.text}. Going back did not work either` },
        stuck: true,
      }
    }
    default:
      return state
  }
}

const OVERRULED: Cause = { code: 'overruled', text: 'somebody else chose another deployment for the next start' }

/** @param account see Machine */
export function notStarted(job: ChangeJob, account: string): State {
  const facts = { version: job.to.version }
  const text = `version ${job.to.version} did not start${account && ` (${account})`}`
  const cause = { code: 'boot-failed', text, facts }
  return job.kind === 'install' ? { at: 'falling-back', job, cause } : { at: 'failed', job, cause, stuck: true }
}

export function isTarget(job: ChangeJob, deployment: Booting): boolean {
  return job.to.commit === deployment.commit && (job.kind === 'install' || job.to.serial === deployment.serial)
}

/** May a new job begin? A finished one gives way, a running or waiting one does not. */
export const isOver = (state: State): boolean => ['idle', 'done', 'fell-back', 'failed', 'cancelled'].includes(state.at)

/** Is something being changed right now, so that a reboot has to wait? */
export const isWorking = (state: State): boolean =>
  state.at === 'installing'
    ? !state.paused
    : ['undoing', 'rolling-back', 'falling-back', 'repairing'].includes(state.at)

/** Can the job be called off with everything it did undone? */
export function isCancellable(state: State): boolean {
  if (state.at === 'repairing') return true
  if (state.at === 'installing') return state.step === 'admit' || state.step === 'stage' || state.waiting !== undefined
  return state.at === 'reboot' && !(state.job.kind === 'rollback' && state.job.untried)
}

/**
 * Are commands at work that are best not met by the end of the whole system? They take seconds, unlike an import, which
 * any end interrupts without harm.
 */
export function changesBootOrder(state: State): boolean {
  if (state.at === 'installing') return state.step === 'deploy' || state.step === 'settle'
  return state.at === 'rolling-back' || state.at === 'undoing' || state.at === 'falling-back'
}

/** The job's state as a client is told it. */
export function shown(state: Exclude<State, { at: 'idle' }>): JobInfo['state'] {
  switch (state.at) {
    case 'installing':
      return state.paused ? 'paused' : 'running'
    case 'rolling-back':
    case 'undoing':
    case 'falling-back':
    case 'repairing':
      return 'running'
    case 'returning':
      return 'reboot'
    default:
      return state.at
  }
}
