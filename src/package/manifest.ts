/** The manifest: the signed page that says what a package is. It is parsed only after its signatures were found good. */
import * as v from 'valibot'
import { Failure } from '../base/failure.ts'
import { checkIntegers, type Json, parseJson, sortKeys } from './json.ts'
import { LIMITS } from './limits.ts'

export interface Manifest {
  format: 1
  /** the devices it is for */
  compatible: string[]
  version: string
  /** the stateroot */
  os: string
  ref: string
  /** 64 hex digits */
  commit: string
  /** the commit's: `YYYY-MM-DDTHH:MM:SSZ` */
  timestamp: string
  /** the security floor that this release meets */
  epoch: number
  index: { sha256: string; size: number }
  /** sums over the index */
  payload: { members: number; size: number; unpacked: number }
  /** in ascending order of `from` */
  deltas: { from: string; path: string }[]
  metadata: Record<string, Json>
  /** plain text for the operator */
  notes: string
}

const CONTROL = /[\p{Cc}\p{Cs}]/u // control characters and halves of surrogate pairs
const plain = (most: number) =>
  v.pipe(
    v.string(),
    v.minLength(1),
    v.maxLength(most),
    v.check(text => !CONTROL.test(text), 'control characters are not allowed'),
  )
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'))
const count = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(least), v.maxValue(most))

const Delta = v.pipe(
  v.strictObject({ from: sha256, path: v.string() }),
  v.check(delta => delta.path === deltaPath(delta.from), 'path must be deltas/<from>.superblock'),
)

const Schema = v.strictObject({
  format: v.literal(1),
  compatible: v.pipe(v.array(plain(128)), v.minLength(1), v.maxLength(64)),
  version: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._+~:-]{0,63}$/, 'is not a version')),
  os: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'is not an os name')),
  ref: v.pipe(
    v.string(),
    v.maxLength(LIMITS.ref),
    v.regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/, 'is not an OSTree ref'),
  ),
  commit: sha256,
  timestamp: v.pipe(v.string(), v.check(isTimestamp, 'must be a date and time as 2026-01-31T23:59:59Z')),
  epoch: count(0),
  index: v.strictObject({ sha256, size: count(1, LIMITS.index) }),
  payload: v.strictObject({ members: count(1), size: count(1), unpacked: count(0) }),
  deltas: v.pipe(
    v.array(Delta),
    v.maxLength(LIMITS.deltas),
    v.check(
      deltas => deltas.every((delta, at) => at === 0 || (deltas[at - 1]?.from ?? '') < delta.from),
      'must be in ascending order of from, each once',
    ),
  ),
  metadata: v.custom<Record<string, Json>>(
    value => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  ),
  notes: v.pipe(
    v.string(),
    v.maxBytes(LIMITS.notes),
    v.check(text => !CONTROL.test(text.replace(/[\n\t]/g, '')), 'control characters are not allowed'),
  ),
})

/** Where the delta from the commit `from` is kept. */
export function deltaPath(from: string): string {
  return `deltas/${from}.superblock`
}

function isTimestamp(text: string): boolean {
  if (!/^(?:19[7-9]|[2-9]\d\d)\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return false
  const time = new Date(text)
  return !Number.isNaN(time.getTime()) && time.toISOString() === text.replace('Z', '.000Z')
}

/**
 * @param bytes exactly the bytes whose signatures were checked
 * @throws Failure `unsupported-format` when it says to be of another format, else `bad-manifest`
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > LIMITS.manifest) throw bad(`it has more than ${LIMITS.manifest} bytes`)
  let value: Json
  try {
    value = parseJson(bytes, LIMITS.depth)
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error), error)
  }
  const format = typeof value === 'object' && value !== null && !Array.isArray(value) ? value.format : undefined
  if (Number.isInteger(format) && format !== 1)
    throw new Failure(
      'unsupported-format',
      `cannot use the package: it has format ${format} and this program knows format 1; update the device in smaller steps`,
    )
  try {
    checkIntegers(bytes, 'metadata')
  } catch (error) {
    throw bad((error as Error).message, error)
  }
  const result = v.safeParse(Schema, value)
  if (!result.success) {
    const [issue] = result.issues
    throw bad(`${v.getDotPath(issue) ?? 'the top level'}: ${issue.message}`)
  }
  const manifest = result.output
  if (manifest.deltas.some(delta => delta.from === manifest.commit))
    throw bad('deltas: one leads from the commit to itself')
  return manifest
}

/** What the commit object says of itself, as far as the manifest repeats it. */
export interface CommitFacts {
  /** seconds since 1970 */
  timestamp: number
  /** the string `version` of its metadata */
  version: string | undefined
  /** the refs that it was made for; empty where it does not say */
  boundTo: readonly string[]
}

/**
 * Whether the commit is the release that the manifest speaks of: people are shown the one, and get the other.
 * @returns what differs, to be put behind "cannot …: "; undefined where nothing does
 */
export function commitMismatch(
  commit: CommitFacts,
  manifest: Pick<Manifest, 'timestamp' | 'version' | 'ref'>,
): string | undefined {
  if (commit.timestamp !== Date.parse(manifest.timestamp) / 1000)
    return `its commit was not made on ${manifest.timestamp}, as its manifest says`
  if (commit.version !== manifest.version) return `its commit is not version ${manifest.version}, as its manifest says`
  if (commit.boundTo.length > 0 && !commit.boundTo.includes(manifest.ref))
    return `its commit was not made for ${manifest.ref}, as its manifest says`
  return undefined
}

const bad = (why: string, cause?: unknown) =>
  new Failure('bad-manifest', `cannot use manifest.json: ${why}; ask the maker of the package for a new one`, { cause })

/** The bytes to sign: a fixed order of keys, `metadata` sorted, two blanks of indentation, a line end. */
export function encodeManifest(m: Manifest): Buffer {
  const ordered: Manifest = {
    format: m.format,
    compatible: m.compatible,
    version: m.version,
    os: m.os,
    ref: m.ref,
    commit: m.commit,
    timestamp: m.timestamp,
    epoch: m.epoch,
    index: { sha256: m.index.sha256, size: m.index.size },
    payload: { members: m.payload.members, size: m.payload.size, unpacked: m.payload.unpacked },
    deltas: m.deltas.map(({ from, path }) => ({ from, path })),
    metadata: sortKeys(m.metadata) as Record<string, Json>,
    notes: m.notes,
  }
  return Buffer.from(`${JSON.stringify(ordered, null, 2)}\n`)
}
