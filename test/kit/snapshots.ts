/** Snapshots as a service would send them, for clients that are tested without one. */
import type {
  DeploymentInfo,
  JobInfo,
  MediumInfo,
  OfferInfo,
  Phase,
  Progress,
  Snapshot,
} from '../../src/control/protocol.ts'

export const deployment = (over: Partial<DeploymentInfo> = {}): DeploymentInfo => ({
  index: 0,
  os: 'gadget',
  commit: 'a1'.repeat(32),
  serial: 0,
  version: '1.0',
  ref: 'gadget/stable',
  booted: false,
  pending: false,
  rollback: false,
  pinned: false,
  timestamp: '2026-01-10T08:00:00Z',
  ...over,
})

export const medium = (over: Partial<MediumInfo> = {}): MediumInfo => ({
  path: '/run/superblock/media/STICK',
  name: 'STICK',
  kind: 'stick',
  filesystem: 'vfat',
  state: 'ready',
  ...over,
})

export const offer = (over: Partial<OfferInfo> = {}): OfferInfo => ({
  id: '3fa9c2d17b60'.padEnd(64, '0'),
  path: '/run/superblock/media/STICK/gadget-2.0.superblock',
  medium: '/run/superblock/media/STICK',
  file: 'gadget-2.0.superblock',
  size: 81_000_000,
  verdict: { fits: true },
  preselected: true,
  preferred: true,
  release: {
    version: '2.0',
    os: 'gadget',
    ref: 'gadget/stable',
    commit: 'b2'.repeat(32),
    timestamp: '2026-03-01T08:00:00Z',
    epoch: 1,
  },
  signers: [{ fingerprint: 'F'.repeat(40), userId: 'Gadget Releases <release@gadget.example>' }],
  plan: {
    way: 'objects',
    members: 120,
    bytesToRead: 4_200_000,
    bytesToWrite: 8_400_000,
    spaceOnSysroot: 9_000_000,
    spaceOnBoot: 0,
  },
  ...over,
})

/** One that does not fit, as most on a technician's stick do not. */
export const refusedOffer = (over: Partial<OfferInfo> = {}): OfferInfo => {
  const { release: _, plan: __, ...rest } = offer()
  return {
    ...rest,
    id: 'dd'.repeat(32),
    path: '/run/superblock/media/STICK/other.superblock',
    file: 'other.superblock',
    preselected: false,
    verdict: { fits: false, code: 'unknown-signer', why: 'it was signed with a key that is not trusted here' },
    signers: [],
    ...over,
  }
}

export const progress = (over: Partial<Progress> = {}): Progress => ({
  step: 'stage',
  at: 2,
  of: 6,
  bytesDone: 1_000_000,
  bytesTotal: 4_000_000,
  rate: 500_000,
  eta: 6,
  heartbeat: '2026-03-02T10:00:00.000Z',
  ...over,
})

/** What a state most often means in detail. */
const phaseOf = (state: JobInfo['state']): Phase => (state === 'running' || state === 'paused' ? 'installing' : state)

export const job = (over: Partial<JobInfo> = {}): JobInfo => ({
  kind: 'install',
  id: 'job-1',
  state: 'running',
  phase: phaseOf(over.state ?? 'running'),
  from: { version: '1.0', commit: 'a1'.repeat(32) },
  to: { version: '2.0', commit: 'b2'.repeat(32) },
  startedAt: '2026-03-02T09:59:00Z',
  progress: progress(),
  cancellable: true,
  stick: 'keep',
  text: 'Copying what the device lacks.',
  counters: { bytesRead: 0, membersRead: 0, membersSkipped: 0, bytesWritten: 0 },
  ...over,
})

/** What the packages of these offers say of their releases. */
export const releasesOf = (offers: readonly OfferInfo[]): Snapshot['releases'] =>
  Object.fromEntries(
    offers.flatMap(({ id, release }) =>
      release ? [[id, { ...release, notes: 'Faster printing.', metadata: { name: 'Gadget' } }]] : [],
    ),
  )

/** Release 1.0 runs, 0.9 is there to return to; nothing is inserted, nothing goes on. */
export const snapshot = (over: Partial<Snapshot> = {}): Snapshot => ({
  api: 1,
  version: '0.1.0',
  device: {
    compatible: 'gadget-3000',
    name: 'Press line 4',
    os: 'gadget',
    policy: 'ask',
    epochFloor: 0,
    newest: '2026-01-10T08:00:00Z',
    signaturesRequired: 1,
  },
  deployments: [
    deployment({ booted: true, lastGood: '2026-02-01T09:00:00Z' }),
    deployment({
      index: 1,
      commit: '09'.repeat(32),
      version: '0.9',
      rollback: true,
      installedAt: '2025-11-01T09:00:00Z',
      leftBecause: 'update to 1.0',
    }),
  ],
  media: [],
  offers: [],
  releases: releasesOf(over.offers ?? []),
  job: null,
  health: { verdict: 'good', at: '2026-02-01T09:00:00Z', version: '1.0', current: true, checks: [] },
  problems: [],
  ...over,
})
