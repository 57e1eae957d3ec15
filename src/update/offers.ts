/** Every package file on every medium, with its verdict: looked at once when it appears, judged again when the device changes. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { asFailure, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import type { Source } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { isRefusalCode, refuse, type Verdict } from '../trust.ts'
import type { Admitted, Examined } from './admit.ts'
import type { OfferInfo } from './snapshot.ts'

export interface Offer extends Examined {
  path: string
  medium: string
  size: number
  verdict: Verdict
  plan?: Admitted['plan']
}

export interface Offers {
  found(medium: { path: string }, file: { path: string; size: number }): void
  gone(path: string): void
  /** The medium went, and all its files with it. */
  left(medium: { path: string }): void
  /** The device is another than before: look at every file again, or at those that were refused with one of `codes`. */
  again(codes?: readonly string[]): void
  list(): OfferInfo[]
  /** By id, or at least 8 characters of it; of several copies one that fits. @throws Failure `not-found`, `ambiguous` */
  find(id: string): Offer
  /**
   * As find; one that was refused is looked at again, since the reason may be gone.
   * @throws Failure `not-found`, `ambiguous`, `changed`
   */
  findNow(id: string): Promise<Offer>
  /** What is known of this file. */
  at(path: string): Offer | undefined
  /** The copies of one package that are here now. */
  copies(id: string): Offer[]
  /** The newest that fits and is worth choosing. */
  best(): Offer | undefined
  /** Resolves when nothing is left to be looked at. */
  idle(): Promise<void>
}

export type Look = (path: string, examined: Examined) => Promise<Admitted | Extract<Verdict, { fits: false }>>

/**
 * @param look opens and judges one file
 * @param isWorthwhile false for releases that were left again, or that are no step forward
 */
export function openOffers(
  look: Look,
  isWorthwhile: (manifest: { commit: string; timestamp: string }) => boolean,
  onChange: () => void,
  log: Log,
): Offers {
  const offers = new Map<string, Offer>()
  const present = new Map<string, { medium: string; size: number }>()
  // One queue a medium: a slow stick does not hold up another.
  const queues = new Map<string, { waiting: Set<string>; work?: Promise<void> }>()

  function enqueue(medium: string, path: string): void {
    const queue = queues.get(medium) ?? { waiting: new Set<string>() }
    queues.set(medium, queue)
    queue.waiting.add(path)
    queue.work ??= drain(queue).finally(() => {
      queue.work = undefined
    })
  }

  async function drain(queue: { waiting: Set<string> }): Promise<void> {
    for (;;) {
      const [path] = queue.waiting
      if (path === undefined) return
      queue.waiting.delete(path)
      const file = present.get(path)
      if (!file) continue
      const offer = await examineFile(look, path, file)
      if (present.get(path) !== file) continue
      offers.set(path, offer)
      log.info({ path, id: offer.id, verdict: offer.verdict }, 'looked at a package')
      onChange()
    }
  }

  const best = () => {
    const fitting = [...offers.values()].filter(o => o.verdict.fits && o.manifest && isWorthwhile(o.manifest))
    const time = (offer: Offer) => Date.parse(offer.manifest?.timestamp ?? '')
    return fitting.sort((a, b) => time(b) - time(a) || (a.path < b.path ? -1 : 1))[0]
  }

  function find(id: string): Offer {
    const matching = [...offers.values()].filter(offer => id.length >= 8 && idOf(offer).startsWith(id.toLowerCase()))
    const ids = new Set(matching.map(idOf))
    if (ids.size > 1) throw new Failure('ambiguous', `cannot choose: ${ids.size} packages begin with ${id}`)
    const offer = matching.find(match => match.verdict.fits) ?? matching[0]
    if (!offer) throw new Failure('not-found', `cannot find the package ${safe(id, 80)}. See: superblock list`)
    return offer
  }

  return {
    found(medium, { path, size }) {
      present.set(path, { medium: medium.path, size })
      enqueue(medium.path, path)
    },
    gone(path) {
      present.delete(path)
      if (offers.delete(path)) onChange()
    },
    left(medium) {
      for (const [path, file] of present) if (file.medium === medium.path) present.delete(path)
      for (const [path, offer] of offers) if (offer.medium === medium.path) offers.delete(path)
      onChange()
    },
    again(codes) {
      for (const [path, file] of present) {
        const verdict = offers.get(path)?.verdict
        if (!codes || (verdict && !verdict.fits && codes.includes(verdict.code))) enqueue(file.medium, path)
      }
    },
    list() {
      const chosen = best()
      return [...offers.values()].sort((a, b) => (a.path < b.path ? -1 : 1)).map(offer => told(offer, offer === chosen))
    },
    find,
    async findNow(id) {
      const offer = find(id)
      if (offer.verdict.fits) return offer
      const now = await examineFile(look, offer.path, { medium: offer.medium, size: offer.size })
      if (idOf(now) !== idOf(offer))
        throw new Failure('changed', `cannot install ${safe(offer.path)}: it is no longer the package that was shown`)
      if (offers.get(offer.path) === offer) offers.set(offer.path, now)
      onChange()
      return now
    },
    at: path => offers.get(path),
    copies: id => [...offers.values()].filter(offer => offer.id === id),
    best,
    async idle() {
      for (const queue of queues.values()) await queue.work
    },
  }
}

/** One file as an offer: whatever is wrong with it becomes its verdict. */
export async function examineFile(look: Look, path: string, file = { medium: '', size: 0 }): Promise<Offer> {
  const offer: Offer = { path, ...file, signers: [], verdict: { fits: true } }
  if (basename(path).startsWith('._')) {
    offer.verdict = refuse('sidecar', 'macOS left this beside the real file; it is no package')
    return offer
  }
  try {
    const outcome = await look(path, offer)
    if ('plan' in outcome) offer.plan = outcome.plan
    else offer.verdict = outcome
  } catch (error) {
    offer.verdict = refusalOf(error)
  }
  return offer
}

/** A file whose head could not be read is still named by something. */
const idOf = (offer: Offer) => offer.id ?? createHash('sha256').update(offer.path).digest('hex')

/** What the reader threw, as the verdict on the file. */
export function refusalOf(error: unknown): Extract<Verdict, { fits: false }> {
  const failure = asFailure(error, 'read it')
  return refuse(isRefusalCode(failure.code) ? failure.code : 'unreadable', failure.message, failure.facts)
}

function told(offer: Offer, preselected: boolean): OfferInfo {
  const { manifest } = offer
  return {
    id: idOf(offer),
    path: offer.path,
    medium: offer.medium,
    file: basename(offer.path),
    size: offer.size,
    verdict: offer.verdict,
    preselected,
    signers: offer.signers.map(({ fingerprint, userId }) => ({ fingerprint, userId })),
    ...(offer.plan ? { plan: offer.plan } : {}),
    ...(manifest
      ? {
          release: {
            version: manifest.version,
            os: manifest.os,
            ref: manifest.ref,
            commit: manifest.commit,
            timestamp: manifest.timestamp,
            epoch: manifest.epoch,
            notes: manifest.notes,
            metadata: manifest.metadata,
          },
        }
      : {}),
  }
}

/** Look at an open file, and let go of it whatever happens: it would keep the stick from being unmounted. */
export async function withSource<T>(source: Source, use: (source: Source) => Promise<T>): Promise<T> {
  try {
    return await use(source)
  } finally {
    await source.close()
  }
}
