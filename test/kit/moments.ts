/** Every screen of the console in every state that looks different: what the goldens show and the size tests go through. */

import type { Known } from '../../src/console/due.ts'
import { deploymentName, offerName, START, type Ui, type View } from '../../src/console/view.ts'
import type { HistoryEntry, MissInfo, Snapshot } from '../../src/control/protocol.ts'
import { deployment, job, medium, offer, progress, refusedOffer, snapshot } from './snapshots.ts'

/** On a stick without a package: what was meant to be one. */
const nearly = (file: string, code: MissInfo['code']): MissInfo => ({
  ...{ path: `/run/superblock/media/STICK/${file}`, file, code },
  text: 'as the service says it',
})

export interface Moment {
  name: string
  snapshot: Snapshot
  ui: Ui
  known: Known
}

const older = deployment({
  index: 2,
  commit: '08'.repeat(32),
  version: '0.8',
  pinned: true,
  installedAt: '2025-06-01T09:00:00Z',
  lastGood: '2025-10-30T09:00:00Z',
})
const fellBack = deployment({
  index: 3,
  commit: '2a'.repeat(32),
  version: '2.0',
  installedAt: '2026-03-02T10:00:00Z',
  leftBecause: 'version 2.0 failed the health check 10-printer',
  leftCode: 'unhealthy',
  leftFacts: { version: '2.0', check: '10-printer' },
})
/** A device with a past, and a stick with packages of every kind. */
export const FULL = snapshot({
  deployments: [...snapshot().deployments, older, fellBack],
  media: [
    medium({ size: 16e9, free: 2e9 }),
    medium({
      path: '/dev/sdb1',
      name: 'sdb1',
      filesystem: 'apfs',
      state: 'trouble',
      code: 'unsupported-filesystem',
      text: 'its filesystem is apfs; use FAT32, exFAT or ext4',
      facts: { formats: 'FAT32 exFAT ext4' },
    }),
  ],
  offers: [
    refusedOffer(),
    offer(),
    refusedOffer({
      path: '/run/superblock/media/STICK/press-7.superblock',
      file: 'press-7.superblock',
      verdict: {
        ...{ fits: false, code: 'wrong-device', why: 'it is for press-7, this device is gadget-3000' },
        facts: { wants: 'press-7', is: 'gadget-3000' },
      },
    }),
    refusedOffer({
      path: '/run/superblock/media/STICK/._gadget-2.0.superblock',
      file: '._gadget-2.0.superblock',
      verdict: { fits: false, code: 'sidecar', why: 'macOS left this beside the real file; it is no package' },
    }),
  ],
})

const EMPTY = { code: 'no-package', text: 'there is no package on it; copy NAME.superblock into its top folder' }
/** Two sticks with the same package, and one on which it is still an archive. */
const COPIES = snapshot({
  media: [medium(), medium({ path: '/run/superblock/media/OLD', name: 'OLD' })],
  offers: [
    offer(),
    offer({
      ...{ path: '/run/superblock/media/OLD/gadget-2.0.superblock', medium: '/run/superblock/media/OLD' },
      ...{ preselected: false, preferred: false },
    }),
  ],
})
const NEARLY = snapshot({
  media: [
    medium({
      ...EMPTY,
      misses: [nearly('gadget-2.0.superblock.zip', 'packed'), nearly('a/b/c/gadget-2.0.superblock', 'too-deep')],
    }),
  ],
})
/** A package of a release that is older than one that was here. */
const OLDER = snapshot({
  media: [medium()],
  offers: [
    offer({
      preselected: false,
      release: { ...offer().release, version: '0.8', timestamp: '2025-06-01T08:00:00Z' } as never,
      verdict: {
        ...{ fits: false, code: 'older', why: 'it was made on 2025-06-01T08:00:00Z, this device has had a newer one' },
        facts: { made: '2025-06-01T08:00:00Z', newest: '2026-01-10T08:00:00Z' },
      },
    }),
  ],
})

const entry = (at: string, event: string, facts: object = {}): HistoryEntry => ({ at, event, ...facts, prev: '' })
const PAST: HistoryEntry[] = [
  entry('2025-11-01T09:00:00Z', 'installed', { job: 'job-0', version: '0.9', from: '0.8', commit: '09'.repeat(32) }),
  entry('2025-11-01T09:03:00Z', 'good', { job: 'job-0', version: '0.9', commit: '09'.repeat(32) }),
  entry('2026-03-02T10:00:00Z', 'installed', { job: 'job-1', version: '2.0', from: '1.0', commit: '2a'.repeat(32) }),
  entry('2026-03-02T10:04:00Z', 'fell-back', {
    ...{ job: 'job-1', version: '2.0', to: '1.0', commit: '2a'.repeat(32), code: 'unhealthy' },
    ...{
      text: 'version 2.0 failed the health check 10-printer',
      facts: { version: '2.0', check: '10-printer', said: 'no paper' },
    },
  }),
  entry('2026-03-05T07:00:00Z', 'rollback', { job: 'job-2', version: '0.9', from: '1.0', reason: 'the paper jams' }),
]

const checks = [
  { name: '10-printer', ok: true, required: true, seconds: 1.2, output: '' },
  { name: '20-network', ok: true, required: true, seconds: 0.4, output: '' },
]
const badChecks = [
  {
    name: '10-printer',
    ok: false,
    required: true,
    seconds: 4,
    output: 'no answer from head 3\nprinter: exit status 1',
  },
  { name: '20-network', ok: true, required: true, seconds: 0.4, output: '' },
]
const to = FULL.deployments[1] ?? older
const { progress: _, ...still } = job()

const refused = job({
  ...{ kind: 'rollback', state: 'failed', stick: 'none', to: { version: to.version, commit: to.commit } },
  ...{ code: 'hook-failed', facts: { hook: 'pre-rollback.d/10-tables', said: 'the new tables are in use' } },
  ...{
    reason: 'the paper jams',
    text: 'cannot go back: its hook pre-rollback.d/10-tables refuses: the new tables are in use',
  },
})

const REMOVABLE = { ...FULL, deployments: [...snapshot().deployments, { ...older, removable: true }] }

const moment = (name: string, now: Snapshot, view: View = START.view, over: Partial<Ui & Known> = {}): Moment => {
  const { pulse = { beats: 1, quiet: 0 }, past, seen = [], ...ui } = over
  return { name, snapshot: now, ui: { ...START, view, ...ui }, known: { pulse, past, seen } }
}
const during = (over: Parameters<typeof job>[0], rest: Partial<Snapshot> = {}) =>
  snapshot({ media: [medium()], ...rest, job: job(over) })

export const MOMENTS: readonly Moment[] = [
  moment('home-empty', snapshot({ deployments: [deployment({ booted: true })], health: null })),
  moment('home', snapshot({ ...FULL, offers: [offer()], media: [medium()] })),
  moment('home-full', {
    ...FULL,
    problems: [{ code: 'reboot-failed', text: 'cannot run systemctl: exit status 1', next: 'Switch it off and on.' }],
  }),
  moment('home-reading', snapshot({ media: [medium({ state: 'reading' })] })),
  moment('home-nothing-fits', snapshot({ media: [medium()], offers: [refusedOffer()] })),
  moment('home-no-package', snapshot({ media: [medium(EMPTY)] })),
  moment('home-nearly', NEARLY),
  moment(
    'home-pending',
    snapshot({
      deployments: [deployment({ pending: true, version: '2.0', commit: 'b2'.repeat(32) }), ...FULL.deployments],
      job: job({ state: 'reboot' }),
    }),
    START.view,
    { closed: 'job-1 reboot' },
  ),
  moment('packages', FULL, { at: 'packages', chosen: '' }),
  moment('packages-refused', FULL, { at: 'packages', chosen: '/run/superblock/media/STICK/press-7.superblock' }),
  moment(
    'packages-left-before',
    snapshot({
      media: [medium()],
      offers: [offer({ preselected: false, release: { ...offer().release, commit: fellBack.commit } as never })],
      deployments: [...snapshot().deployments, fellBack],
    }),
    { at: 'packages', chosen: '' },
  ),
  moment('packages-copies', COPIES, { at: 'packages', chosen: COPIES.offers[1]?.path ?? '' }),
  moment('packages-nearly', NEARLY, {
    at: 'packages',
    chosen: '/run/superblock/media/STICK/a/b/c/gadget-2.0.superblock',
  }),
  moment('packages-older', OLDER, { at: 'packages', chosen: '' }),
  moment('older-why', OLDER, { at: 'why', offer: offerName(offer()), reason: 'support asked for it' }),
  moment('older-confirm', OLDER, {
    ...{ at: 'downgrade', offer: offerName(offer()), reason: 'support asked for it', yes: false },
  }),
  moment('packages-none', snapshot(), { at: 'packages', chosen: '' }),
  moment('confirm-install', FULL, { at: 'install', offer: offerName(offer()), yes: false }),
  moment('confirm-reboot', FULL, { at: 'reboot', yes: true }),
  moment('confirm-cancel', during({}), { at: 'cancel', yes: false }),
  moment('progress-admit', during({ progress: progress({ step: 'admit', at: 1, bytesTotal: 0, bytesDone: 0 }) })),
  moment('progress', during({})),
  moment('progress-slow', during({}), START.view, { pulse: { beats: 7, quiet: 21 } }),
  moment('progress-stuck', during({}), START.view, { pulse: { beats: 7, quiet: 95 } }),
  moment(
    'progress-deploy',
    during({ stick: 'remove', cancellable: false, progress: progress({ step: 'deploy', at: 5, bytesTotal: 0 }) }),
  ),
  moment('progress-paused', {
    ...snapshot(),
    job: { ...still, state: 'paused', code: 'media-gone', text: 'The stick was removed.' },
  }),
  moment('progress-silent', during({ code: 'not-answering', text: 'The stick is not answering.' })),
  moment(
    'progress-undoing',
    during({
      phase: 'undoing',
      code: 'no-space',
      facts: { where: '/sysroot', need: 3e9, free: 1.2e9 },
      stick: 'remove',
      cancellable: false,
    }),
  ),
  moment('progress-rollback', {
    ...snapshot(),
    job: job({
      ...{ kind: 'rollback', phase: 'rolling-back', stick: 'none', cancellable: false },
      ...{ to: { version: '0.9', commit: '' }, progress: progress({ step: 'rollback', at: 1, of: 1, bytesTotal: 0 }) },
    }),
  }),
  moment('progress-repair', {
    ...snapshot(),
    job: job({
      ...{ kind: 'repair', phase: 'repairing' },
      progress: progress({ step: 'check', at: 1, of: 2, bytesTotal: 400_000_000, bytesDone: 100_000_000 }),
    }),
  }),
  moment('repair-confirm', snapshot(), { at: 'repair', yes: false }),
  moment('repair-cancel', during({ kind: 'repair', phase: 'repairing' }), { at: 'cancel', yes: false }),
  moment(
    'repair-done',
    snapshot({
      job: job({
        kind: 'repair',
        state: 'done',
        stick: 'remove',
        repaired: { mended: 3, left: 0 },
        cancellable: false,
      }),
    }),
    START.view,
    { watched: 'job-1' },
  ),
  moment(
    'repair-failed',
    snapshot({
      job: job({
        ...{ kind: 'repair', state: 'failed', stick: 'none', repaired: { mended: 0, left: 2 }, cancellable: false },
        ...{ code: 'store-damaged', facts: { seen: '/usr/bin/press', releases: '1.0', count: 2 } },
      }),
    }),
  ),
  moment('ready', during({ state: 'reboot', stick: 'remove' })),
  moment(
    'ready-not-cancelled',
    during({
      ...{ state: 'reboot', stick: 'remove' },
      notCancelled: { code: 'store-locked', text: 'another program uses the store' },
    }),
  ),
  moment('ready-countdown', during({ state: 'reboot', stick: 'remove', rebootIn: 11.2 })),
  moment(
    'ready-going-back',
    during({
      ...{ state: 'reboot', phase: 'returning', stick: 'remove', rebootIn: 9, cancellable: false },
      ...{ code: 'unhealthy', facts: { version: '2.0', check: '10-printer', said: 'no paper' } },
    }),
  ),
  moment('trial', {
    ...snapshot({ health: { verdict: 'checking', at: '2026-03-02T10:03:00Z', version: '2.0', current: true, checks } }),
    job: { ...still, state: 'trying', phase: 'trying', stick: 'remove', cancellable: false },
  }),
  moment(
    'trial-done',
    {
      ...snapshot({ health: { verdict: 'good', at: '2026-03-02T10:03:00Z', version: '2.0', current: true, checks } }),
      job: { ...still, state: 'done', phase: 'done', stick: 'remove', cancellable: false },
    },
    START.view,
    { watched: 'job-1' },
  ),
  moment(
    'cancelled',
    snapshot({ job: { ...still, state: 'cancelled', phase: 'cancelled', code: 'cancelled', stick: 'remove' } }),
    START.view,
    { watched: 'job-1' },
  ),
  moment('rollback', FULL, { at: 'rollback', chosen: '' }),
  moment(
    'cancelled-changed',
    snapshot({
      job: {
        ...{ ...still, state: 'cancelled', phase: 'cancelled', code: 'cancelled', stick: 'remove' },
        changed: { removed: ['0.9'], remains: '' },
      },
    }),
    START.view,
    { watched: 'job-1' },
  ),
  moment(
    'rollback-damaged',
    snapshot({
      deployments: [
        deployment({ booted: true }),
        deployment({ index: 1, commit: '09'.repeat(32), version: '0.9', damaged: 'its commit is damaged' }),
      ],
    }),
    { at: 'rollback', chosen: '' },
  ),
  moment('rollback-removable', REMOVABLE, { at: 'rollback', chosen: deploymentName(older) }),
  moment('remove-confirm', REMOVABLE, { at: 'remove', to: deploymentName(older), yes: false }),
  moment('rollback-none', snapshot({ deployments: [deployment({ booted: true })] }), { at: 'rollback', chosen: '' }),
  moment('rollback-reason', FULL, { at: 'reason', to: deploymentName(to), reason: 'the paper jams' }),
  moment('rollback-confirm', FULL, { at: 'return', to: deploymentName(to), reason: 'the paper jams', yes: false }),
  moment('history', FULL, { at: 'history', place: 1 }, { past: { entries: PAST, chain: { ok: true, lines: 5 } } }),
  moment(
    'history-broken',
    FULL,
    { at: 'history', place: 0 },
    { past: { entries: PAST, chain: { ok: false, lines: 5, brokenAt: 3 } } },
  ),
  moment(
    'log',
    FULL,
    { at: 'log', place: 0 },
    {
      seen: [
        { at: '2026-03-02T09:59:00Z', text: 'Installing 2.0: step 1 of 6, checking the package' },
        { at: '2026-03-02T09:59:01Z', text: 'Leave the stick in.' },
      ],
    },
  ),
  moment(
    'trouble-failed',
    during({
      ...{ state: 'failed', code: 'no-space', facts: { where: '/sysroot', need: 3e9, free: 1.2e9 }, stick: 'remove' },
    }),
  ),
  moment(
    'trouble-failed-changed',
    during({
      ...{ state: 'failed', code: 'media-error', stick: 'remove' },
      changed: { removed: ['0.9'], remains: '2.0' },
    }),
  ),
  moment(
    'trouble-other-copy',
    during({
      ...{ state: 'failed', phase: 'failed', code: 'tampered', stick: 'remove' },
      facts: { member: 'objects/00/1.filez', other: '/run/superblock/media/NEW/gadget-2.0.superblock' },
    }),
  ),
  moment(
    'trouble-fell-back',
    during({
      ...{
        state: 'fell-back',
        code: 'unhealthy',
        facts: { version: '2.0', check: '10-printer', said: 'no paper' },
        stick: 'remove',
      },
    }),
  ),
  moment(
    'trouble-still-bad',
    during(
      {
        state: 'failed',
        code: 'unhealthy',
        facts: { version: '2.0', check: '10-printer', said: 'no paper' },
        stick: 'remove',
        stuck: true,
      },
      {
        deployments: [deployment({ booted: true, version: '2.0', commit: 'b2'.repeat(32) })],
        health: { verdict: 'bad', at: '2026-03-02T10:03:00Z', version: '2.0', current: true, checks: badChecks },
      },
    ),
  ),
  moment(
    'trouble-both-bad',
    during(
      {
        ...{ state: 'fell-back', code: 'unhealthy', stick: 'remove' },
        facts: { version: '2.0', check: '10-printer', said: 'no paper' },
      },
      {
        ...{ deployments: [deployment({ booted: true }), fellBack] },
        health: { verdict: 'bad', at: '2026-03-02T10:03:00Z', version: '1.0', current: true, checks: badChecks },
      },
    ),
  ),
  moment('trouble-hook-refused', { ...FULL, job: refused }),
  moment(
    'rollback-force',
    { ...FULL, job: refused },
    {
      ...{ at: 'return', to: deploymentName(to), reason: 'the paper jams', yes: false, force: true },
    },
    { closed: 'job-1 failed' },
  ),
  moment(
    'trouble-unknown-code',
    during({
      state: 'failed',
      code: 'flux',
      stick: 'remove',
      text: 'The flux of the capacitor is low. Nothing was changed.',
    }),
  ),
  moment('problems-none', snapshot(), { at: 'trouble' }),
  moment(
    'problems',
    {
      ...FULL,
      problems: [{ code: 'reboot-failed', text: 'cannot run systemctl: exit status 1', next: 'Switch it off and on.' }],
    },
    { at: 'trouble' },
  ),
]
