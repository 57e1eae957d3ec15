/** One value that says everything about the device that a person is shown. The service makes it, clients only read it. */
import type { Facts } from '../base/failure.ts'
import type { Medium } from '../media/medium.ts'
import type { Verdict } from '../trust.ts'

export type { Medium as MediumInfo, MissInfo } from '../media/medium.ts'

export interface SignerInfo {
  /** primary key, upper-case hex */
  fingerprint: string
  userId: string
}

export interface DeploymentInfo {
  index: number
  os: string
  commit: string
  serial: number
  version: string
  ref: string
  booted: boolean
  pending: boolean
  rollback: boolean
  pinned: boolean
  /** an operator may remove it */
  removable?: boolean
  /** why it cannot be used */
  damaged?: string
  /** RFC 3339, of the commit; '' where that cannot be read */
  timestamp: string
  /** RFC 3339, from the history; absent where it was not installed by us */
  installedAt?: string
  /** RFC 3339: when its health was last found good */
  lastGood?: string
  /** why an operator or a health check left it; where it was the device itself, the code and values of that sentence */
  leftBecause?: string
  leftCode?: string
  leftFacts?: Facts
}

export interface OfferInfo {
  /** SHA-256 of the manifest: what `install` takes. Of a file that could not be read so far, the SHA-256 of its path. */
  id: string
  path: string
  medium: string
  file: string
  /** bytes of the file */
  size: number
  verdict: Verdict
  /** the one that fits best */
  preselected: boolean
  /** of the copies of this package the one that its id alone means */
  preferred: boolean
  /** present once the signatures were good enough for the manifest to be read; `releases` says more */
  release?: ReleaseFacts
  signers: SignerInfo[]
  /** present when it fits */
  plan?: Plan
}

export interface ReleaseFacts {
  version: string
  os: string
  ref: string
  commit: string
  timestamp: string
  epoch: number
}

/** A release with what it says of itself, as its package has it. */
export interface ReleaseInfo extends ReleaseFacts {
  notes: string
  metadata: unknown
  /** notes and metadata were left out: those of all releases together are too long */
  cut?: true
}

/** What installing will cost on this device as it is now; bytes. */
export interface Plan {
  way: 'objects' | 'delta'
  members: number
  bytesToRead: number
  bytesToWrite: number
  spaceOnSysroot: number
  spaceOnBoot: number
  /** releases that are removed first, since there is no room else */
  removes?: ReleaseName[]
}

export type StepName = 'admit' | 'stage' | 'import' | 'arm' | 'deploy' | 'settle'

/** May the stick be pulled? */
export type Stick = 'none' | 'keep' | 'remove'

export interface Progress {
  step: StepName | 'rollback' | 'check' | 'repair'
  /** 1-based place of the step, and how many there are */
  at: number
  of: number
  bytesDone: number
  bytesTotal: number
  /** bytes a second over the last seconds; 0 where the step does not count bytes */
  rate: number
  /** seconds; absent while unknown */
  eta?: number
  /** RFC 3339: when the work last moved. An old one means stuck, not slow. */
  heartbeat: string
}

export interface ReleaseName {
  version: string
  commit: string
}

export type Phase =
  | 'installing'
  | 'rolling-back'
  | 'repairing'
  | 'undoing'
  | 'reboot'
  | 'trying'
  | 'falling-back'
  | 'returning'
  | 'done'
  | 'fell-back'
  | 'failed'
  | 'cancelled'

export interface JobInfo {
  kind: 'install' | 'rollback' | 'repair'
  id: string
  state: 'running' | 'paused' | 'reboot' | 'trying' | 'done' | 'fell-back' | 'failed' | 'cancelled'
  /** what exactly goes on: the state as docs/states.md names it */
  phase: Phase
  from: ReleaseName
  to: ReleaseName
  startedAt: string
  /** the offer of an install */
  offer?: string
  medium?: string
  reason?: string
  progress?: Progress
  cancellable: boolean
  stick: Stick
  /** failed, and what runs now is not what should run and could not be left: support is needed */
  stuck?: boolean
  /** of a repair that is over: how many damaged things were mended, and how many are left */
  repaired?: { mended: number; left: number }
  /** failed or cancelled, and not everything is as before: versions that were removed to make room, and the one that is still there, or '' */
  changed?: { removed: string[]; remains: string } | undefined
  /** it waits for the reboot since it could not be called off, for this reason */
  notCancelled?: { code: string; text: string; facts?: Facts | undefined }
  /** what is going on, what to do next: a sentence for the technician */
  text: string
  /** present when failed, paused or fallen back; with the values that `text` names */
  code?: string
  facts?: Facts
  /** seconds to an automatic reboot */
  rebootIn?: number
  counters: Counters
}

/** What an install cost so far, summed over restarts of the service. */
export interface Counters {
  bytesRead: number
  membersRead: number
  /** members of the package that were on the device already */
  membersSkipped: number
  bytesWritten: number
}

export interface CheckResult {
  /** of a program, or `disk:`, `unit:` and what was looked at, or a hook with its folder */
  name: string
  ok: boolean
  /** one that fails is only shown where this is false */
  required: boolean
  seconds: number
  /** its last lines */
  output: string
}

export interface HealthInfo {
  verdict: 'good' | 'bad' | 'checking'
  at: string
  version: string
  /** of this boot; otherwise of an earlier one, since its own has not begun */
  current: boolean
  checks: CheckResult[]
}

/** Something that is wrong with the device, and what to do about it. */
export interface Problem {
  code: string
  text: string
  next: string
  /** the values that `text` names */
  facts?: Facts
}

export interface Snapshot {
  /** of the protocol: see control/protocol.ts */
  api: number
  /** of the service */
  version: string
  device: {
    compatible: string
    name: string
    os: string
    policy: 'ask' | 'auto'
    epochFloor: number
    /** timestamp of the newest release installed so far */
    newest: string
    signaturesRequired: number
  }
  deployments: DeploymentInfo[]
  media: Medium[]
  offers: OfferInfo[]
  /** the releases of the offers, by the offers' ids */
  releases: { [id: string]: ReleaseInfo }
  job: JobInfo | null
  health: HealthInfo | null
  problems: Problem[]
}

export interface HistoryEntry {
  /** RFC 3339; the device's clock, which may be wrong */
  at: string
  event: string
  [key: string]: unknown
  /** SHA-256 of the line before this one */
  prev: string
}

export interface InstallRequest {
  /** an offer's id, or at least 8 characters of one */
  id?: string
  /** or an absolute path on the device; with an id, the file there must be that package */
  path?: string
  allowDowngrade?: boolean
  /** with allowDowngrade: a newer release that was here is dated wrong, and is not what later ones are compared with any more */
  disownNewer?: boolean
  /** why a downgrade is allowed: it goes into the history */
  reason?: string
}

export interface RepairRequest {
  /** of the package that has what is damaged: as in InstallRequest; without either, every trusted package that is found */
  id?: string
  path?: string
}

export interface RollbackRequest {
  /** as in `deployments`; without it the one that a rollback would return to */
  index?: number
  reason: string
  /** also when a hook of what runs refuses */
  force?: boolean
}

/** One thing that `superblock doctor` looked at. */
export interface Examination {
  name: string
  ok: boolean
  text: string
  /** what to do; present where it is not ok */
  next?: string
}
