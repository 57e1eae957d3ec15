/** The shape of what is journalled, checked when it is read back: a disk can give back what nobody wrote. */
import * as v from 'valibot'
import { STEPS } from './state.ts'

const text = v.string()
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const facts = v.optional(v.record(text, v.union([text, v.number()])))
const Cause = v.object({ code: text, text, facts })
/** What becomes part of a path is nothing else than it can be, wherever the journal comes from. */
const checksum = v.pipe(text, v.regex(/^([0-9a-f]{64})?$/))
const Release = v.object({ version: text, commit: checksum })
const Deployment = v.object({ version: text, commit: checksum, serial: count })
const ref = v.pipe(text, v.regex(/^([A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$/))
const os = v.pipe(text, v.regex(/^([A-Za-z0-9][A-Za-z0-9._-]*)?$/))
const Install = v.object({
  kind: v.literal('install'),
  id: text,
  offer: checksum,
  medium: text,
  path: text,
  onStick: v.optional(v.boolean(), true),
  allowDowngrade: v.boolean(),
  disownNewer: v.optional(v.boolean()),
  reason: v.optional(text),
  startedAt: text,
  from: Deployment,
  to: v.object({ version: text, commit: checksum, ref, os, epoch: count, timestamp: text }),
  earlierRef: checksum,
  delta: v.optional(v.pipe(text, v.regex(/^deltas\/[0-9a-f]{64}\.superblock$/))),
  unpacked: count,
  etc: v.optional(checksum),
  removed: v.optional(v.array(Release)),
  counters: v.object({ bytesRead: count, membersRead: count, membersSkipped: count, bytesWritten: count }),
})
const Rollback = v.object({
  kind: v.literal('rollback'),
  id: text,
  startedAt: text,
  from: Deployment,
  to: Deployment,
  reason: text,
  force: v.optional(v.boolean()),
  untried: v.optional(v.boolean()),
})
const Repair = v.object({
  kind: v.literal('repair'),
  id: text,
  startedAt: text,
  from: Deployment,
  to: Deployment,
  path: text,
  medium: text,
  onStick: v.boolean(),
  mended: v.optional(count),
  left: v.optional(count),
})
const Change = v.variant('kind', [Install, Rollback])
const Job = v.variant('kind', [Install, Rollback, Repair])
const step = v.picklist(STEPS)

const State = v.variant('at', [
  v.object({ at: v.literal('idle') }),
  v.object({ at: v.literal('installing'), job: Install, step, paused: v.optional(Cause), waiting: v.optional(Cause) }),
  v.object({ at: v.literal('rolling-back'), job: Rollback }),
  v.object({ at: v.literal('repairing'), job: Repair }),
  v.object({ at: v.literal('undoing'), job: Change, step, cause: Cause, remains: v.optional(v.boolean()) }),
  v.object({ at: v.literal('reboot'), job: Change, bootId: text, cause: v.optional(Cause) }),
  v.object({ at: v.literal('trying'), job: Change }),
  v.object({ at: v.literal('falling-back'), job: Install, cause: Cause }),
  v.object({ at: v.literal('returning'), job: Install, bootId: text, cause: Cause }),
  v.object({ at: v.literal('done'), job: Job }),
  v.object({ at: v.literal('fell-back'), job: Change, cause: Cause }),
  v.object({ at: v.literal('cancelled'), job: Job, cause: Cause, remains: v.optional(v.boolean()) }),
  v.object({
    at: v.literal('failed'),
    job: Job,
    cause: Cause,
    stuck: v.optional(v.boolean()),
    remains: v.optional(v.boolean()),
  }),
])

const Health = v.object({
  verdict: v.picklist(['good', 'bad', 'checking']),
  at: text,
  version: text,
  checks: v.array(
    v.object({
      name: text,
      ok: v.boolean(),
      required: v.optional(v.boolean(), true),
      seconds: v.number(),
      output: text,
    }),
  ),
  bootId: text,
})

export const RecordSchema = v.object({
  format: v.literal(1),
  state: State,
  newest: v.pipe(
    text,
    v.check(time => time === '' || !Number.isNaN(Date.parse(time))),
  ),
  epochFloor: count,
  left: v.record(text, text),
  disowned: v.optional(v.array(checksum), []),
  health: v.nullable(Health),
})
