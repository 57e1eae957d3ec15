/** What the service says by code and values, in the chosen language; a code that is not known keeps the service's own sentence. */
import type { Facts, Failure } from '../base/failure.ts'
import { bytes, safe } from '../base/text.ts'
import type {
  DeploymentInfo,
  HistoryEntry,
  JobInfo,
  MediumInfo,
  MissInfo,
  OfferInfo,
  Problem,
  Verdict,
} from '../control/protocol.ts'
import type { Fact } from './texts/codes.ts'
import type { Texts } from './texts.ts'

/** `2026-11-12 10:22`, or as the language writes it, in the device's own time zone; what is no date stays as it is. */
export function when(time: string | undefined, t?: Texts): string {
  if (!time) return '-'
  const date = new Date(time)
  if (Number.isNaN(date.getTime())) return safe(time, 40)
  if (t) return date.toLocaleString(t.locale, { dateStyle: 'medium', timeStyle: 'short' })
  const two = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** The values that are sizes, times, and alternatives with blanks between them; all others are names and counts. */
const SIZES: readonly string[] = ['need', 'free']
const CHOICES: readonly string[] = ['formats']
const TIMES: readonly string[] = ['made', 'newest']

/** The sentence with its values, or undefined where a value is missing: an older service does not send it. */
function filled(say: ((fact: Fact) => string) | undefined, facts: Facts, t: Texts): string | undefined {
  let missing = say === undefined
  const text = say?.(name => {
    const value = facts[name]
    if (value === undefined) missing = true
    if (SIZES.includes(name)) return bytes(Number(value), t.locale)
    if (CHOICES.includes(name) && value) return anyOf(String(value).split(' '), t)
    return TIMES.includes(name) ? when(String(value), t) : String(value)
  })
  return missing ? undefined : text
}

const anyOf = (names: readonly string[], t: Texts) =>
  new Intl.ListFormat(t.locale, { type: 'disjunction' }).format(names)

const own = <T>(table: { readonly [key: string]: T }, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined

/** What a code means; `otherwise` for one that is not known. */
export const whatWords = (code: string, facts: Facts | undefined, t: Texts, otherwise: string): string =>
  filled(own(t.what, code), facts ?? {}, t) ?? otherwise

/** What to do about a code. */
export const nextWords = (code: string, t: Texts): string => own(t.next, code) ?? t.next.internal

/** A verdict in two or three words; of several copies that fit, which would be taken. */
export function offerShort({ verdict, preselected, preferred }: OfferInfo, t: Texts): string {
  if (!verdict.fits) return own<string>(t.short, verdict.code) ?? verdict.code
  return preselected ? t.packages.best : preferred ? t.packages.fits : t.packages.copy
}

export const missShort = ({ code }: MissInfo, t: Texts): string => own<string>(t.miss, code) ?? code

export const verdictWords = (verdict: Extract<Verdict, { fits: false }>, t: Texts): string =>
  whatWords(verdict.code, verdict.facts, t, verdict.why)

export const mediumWords = (medium: MediumInfo, t: Texts): string =>
  filled(own(t.medium, medium.code ?? ''), { filesystem: medium.filesystem, ...medium.facts }, t) ??
  medium.text ??
  own<string>(t.mediumState, medium.state) ??
  medium.state

export const problemWords = (problem: Problem, t: Texts): { text: string; next: string } => ({
  text: whatWords(problem.code, problem.facts, t, problem.text),
  next: own(t.next, problem.code) ?? problem.next,
})

export const leftWords = (one: DeploymentInfo, t: Texts): string | undefined =>
  one.leftBecause === undefined ? undefined : whatWords(one.leftCode ?? '', one.leftFacts, t, one.leftBecause)

/** What a request or the connection ended with. */
export const failureWords = (failure: Failure, t: Texts): string =>
  whatWords(failure.code, failure.facts, t, failure.message)

/** The copy of the package that a job which found its own damaged has seen, or undefined. */
export const otherCopy = ({ code, facts }: JobInfo): string | undefined =>
  code === 'tampered' && facts?.other !== undefined ? String(facts.other) : undefined

export const stepWords = (step: string, { stick }: JobInfo, t: Texts): string =>
  step === 'stage' && stick === 'none' ? t.job.copying : (own<string>(t.step, step) ?? step)

export const healthWord = (verdict: string | undefined, t: Texts): string =>
  own<string>(t.healthWord, verdict ?? 'none') ?? String(verdict)

/** What is going on with a job, and what that means: without a word about the stick, which stands elsewhere. */
export function jobWords(job: JobInfo, t: Texts): string {
  const { phase } = t
  const to = job.to.version || job.to.commit.slice(0, 12)
  const from = job.from.version || job.from.commit.slice(0, 12)
  const other = otherCopy(job)
  const what = job.code === undefined ? '' : whatWords(job.code, job.facts, t, '')
  const why = other === undefined ? what : `${what} ${t.phase.otherCopy(other)}`
  // A cause that is not known is told whole by the service.
  if (job.code !== undefined && why === '') return job.text
  switch (job.phase) {
    case 'installing':
      // It waits; so it does, without being called paused, for a stick that is in but does not answer.
      if (job.code !== undefined) return `${why} ${nextWords(job.code, t)}`
      if (job.progress?.step === 'admit') return phase.admit
      if (job.progress?.step === 'stage') return job.stick === 'none' ? phase.copy(to) : phase.stage(to)
      return phase.install(to)
    case 'rolling-back':
      return phase.rollingBack(to)
    case 'undoing':
      return phase.undoing(why)
    case 'repairing':
      return phase.repairing
    case 'reboot':
      return [...notCancelled(job, t), job.kind === 'install' ? phase.reboot(to) : phase.rebootBack(to)].join(' ')
    case 'trying':
      return phase.trying(to)
    case 'falling-back':
      return phase.fallingBack(why, from)
    case 'returning':
      return phase.returning(why, from)
    case 'done':
      if (job.kind === 'repair') return job.repaired?.mended ? phase.repaired(job.repaired.mended) : phase.sound
      return job.kind === 'install' ? phase.done(to) : phase.doneBack(to)
    case 'fell-back':
      return phase.fellBack(why, from)
    case 'failed':
      if (job.kind !== 'install' || job.code === 'overruled') return why
      if (job.stuck) return phase.stuckOnBad(why)
      return job.changed ? [phase.failedChanged(why, from), ...changes(job, t)].join(' ') : phase.failed(why, from)
    case 'cancelled':
      if (job.kind === 'repair') return phase.repairCancelled
      return job.changed ? [phase.cancelledChanged, ...changes(job, t)].join(' ') : phase.cancelled
    default:
      return job.text
  }
}

/** What is not as it was before the job, though that failed or was called off. */
export const changes = ({ changed }: JobInfo, { phase }: Texts): string[] => [
  ...(changed && changed.removed.length > 0 ? [phase.removed(changed.removed.join(', '))] : []),
  ...(changed?.remains ? [phase.remains(changed.remains)] : []),
]

/** Somebody wanted it called off, and this kept it from that. */
const notCancelled = ({ notCancelled: cause }: JobInfo, t: Texts): string[] =>
  cause ? [t.phase.notCancelled(whatWords(cause.code, cause.facts, t, cause.text))] : []

/** One entry of the history in a line, without its time. */
export function eventWords(entry: HistoryEntry, t: Texts): string {
  const of = (key: string) => (typeof entry[key] === 'string' ? (entry[key] as string) : '?')
  const say = own<(version: string, from: string) => string>(t.event, entry.event)
  return say ? say(of('version'), of('from')) : entry.event
}

/** Why an entry came about: what a person wrote, or what the device found; empty where it needs no reason. */
export function entryReason(entry: HistoryEntry, t: Texts): string {
  if (typeof entry.reason === 'string') return entry.reason
  if (typeof entry.code !== 'string') return ''
  const text = typeof entry.text === 'string' ? entry.text : entry.code
  return whatWords(entry.code, (entry.facts ?? {}) as Facts, t, text)
}
