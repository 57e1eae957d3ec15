/** Every package file on every medium, with its verdict: looked at once when it appears, judged again when the device changes. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { safe } from '../base/text.ts'
import type { Manifest } from '../package/manifest.ts'
import { refuse } from '../trust.ts'
import { makeDamages } from './damages.ts'
import type { Look, Offer } from './examine.ts'
import { keepTexts, toldReleases } from './notes.ts'
import type { OfferInfo, ReleaseInfo } from './snapshot.ts'

export type { Offer } from './examine.ts'

/** A package file as its medium has it; `sign` is another when the file is. */
interface File {
  medium: string
  size: number
  sign: string
}

export interface Offers {
  found(medium: { path: string }, file: { path: string; size: number; sign: string }): void
  gone(path: string): void
  /** The medium went, and all its files with it. */
  left(medium: { path: string }): void
  /** The device is another than before: look at every file again, or at those that were refused with one of `codes`. */
  again(codes?: readonly string[]): void
  list(): OfferInfo[]
  /** What the offers' releases say of themselves, once each. */
  releases(): { [id: string]: ReleaseInfo }
  /** By id, or at least 8 characters of it: of several copies the one that is preferred. @throws Failure `not-found`, `ambiguous` */
  find(id: string): Offer
  /**
   * As find; one that was refused is looked at again, since the reason may be gone.
   * @throws Failure `not-found`, `ambiguous`, `changed`
   */
  findNow(id: string): Promise<Offer>
  /**
   * This file, whether it was found or not; one that was refused is looked at again.
   * @param medium where it lies
   * @param id what it is to be, or at least 8 characters of that
   * @throws Failure `changed`
   */
  atNow(path: string, medium: string, id: string | undefined): Promise<Offer>
  /** What is known of this file. */
  at(path: string): Offer | undefined
  /** The copies of one package that are here now. */
  copies(id: string): Offer[]
  /** An installation found this file damaged: so it stays until it is another one. */
  damaged(path: string, why: Failure): void
  /** The newest that fits and is worth choosing. */
  best(): Offer | undefined
  /** Is nothing left to be looked at, but on media in trouble? Nobody knows whether that will end. */
  isIdle(): boolean
  /** Resolves when nothing is left to be looked at. */
  idle(): Promise<void>
}

/**
 * @param look opens and judges one file
 * @param isWorthwhile false for releases that were left again, or that are no step forward
 * @param inTrouble the media that do not answer or cannot be read: what is on others comes first
 */
export function openOffers(
  look: Look,
  isWorthwhile: (manifest: { commit: string; timestamp: string }) => boolean,
  inTrouble: () => ReadonlySet<string>,
  onChange: () => void,
  log: Log,
): Offers {
  const offers = new Map<string, Offer>()
  const present = new Map<string, File>()
  const damages = makeDamages()
  // One queue a medium: a slow stick does not hold up another.
  const queues = new Map<string, { waiting: Set<string>; work?: Promise<void> | undefined }>()

  function enqueue(medium: string, path: string): void {
    const queue = queues.get(medium) ?? { waiting: new Set<string>() }
    queues.set(medium, queue)
    queue.waiting.add(path)
    queue.work ??= drain(queue.waiting).finally(() => {
      queue.work = undefined
      onChange()
    })
  }

  async function drain(waiting: Set<string>): Promise<void> {
    for (;;) {
      const [path] = waiting
      if (path === undefined) return
      waiting.delete(path)
      const file = present.get(path)
      if (!file) continue
      const offer = await examine(path, file)
      log.info({ path, id: offer.id, verdict: offer.verdict }, 'looked at a package')
    }
  }

  /** Look at a file; what is found out is what is known of it from now on, if it is still that file. */
  async function examine(path: string, file: File): Promise<Offer> {
    const offer = await damages.examine(look, path, file)
    if (present.get(path) !== file) return offer
    offers.set(path, offer)
    share(offer)
    onChange()
    return offer
  }

  /** One release is in memory once, and not too much of what releases say of themselves. */
  function share(offer: Offer): void {
    const same = [...offers.values()].find(one => one !== offer && one.id === offer.id && one.manifest)
    if (same?.manifest) offer.manifest = same.manifest
    else keepTexts([...offers.values()])
  }

  /** All that are here, in the order in which copies are taken: those that fit, those that can be read, by their paths. */
  function ranked(): Offer[] {
    const silent = inTrouble()
    const rank = ({ verdict, medium }: Offer) =>
      (verdict.fits ? 0 : DAMAGED.includes(verdict.code) ? 4 : 2) + (silent.has(medium) ? 1 : 0)
    return [...offers.values()].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1))
  }

  const best = () => {
    const fitting = ranked().filter(o => o.verdict.fits && o.manifest && isWorthwhile(o.manifest))
    const time = (offer: Offer) => Date.parse(offer.manifest?.timestamp ?? '')
    return fitting.sort((a, b) => time(b) - time(a))[0] // of equal ones the first stays first
  }

  function find(id: string): Offer {
    const matching = ranked().filter(offer => isNamed(offer, id))
    const ids = new Set(matching.map(idOf))
    if (ids.size > 1) throw new Failure('ambiguous', `cannot choose: ${ids.size} packages begin with ${safe(id, 80)}`)
    const [offer] = matching
    if (!offer) throw new Failure('not-found', `cannot find the package ${safe(id, 80)}. See: superblock list`)
    return offer
  }

  /** @param id as it was shown */
  async function atNow(path: string, medium: string, id: string | undefined): Promise<Offer> {
    const known = offers.get(path)
    if (known?.verdict.fits && id !== undefined && isNamed(known, id)) return known
    const offer = await examine(path, present.get(path) ?? { medium, size: 0, sign: '' })
    if (id === undefined || isNamed(offer, id)) return offer
    throw new Failure('changed', `cannot install ${safe(path)}: it is no longer the package that was shown`)
  }

  return {
    found(medium, { path, size, sign }) {
      present.set(path, { medium: medium.path, size, sign })
      enqueue(medium.path, path)
    },
    gone(path) {
      present.delete(path)
      damages.away(path)
      if (offers.delete(path)) onChange()
    },
    left(medium) {
      for (const [path, file] of present)
        if (file.medium === medium.path) {
          present.delete(path)
          offers.delete(path)
          damages.away(path)
        }
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
      const preferred = new Map<string, Offer>()
      for (const offer of ranked().reverse()) preferred.set(idOf(offer), offer)
      return [...offers.values()]
        .sort((a, b) => (a.path < b.path ? -1 : 1))
        .map(offer => told(offer, offer === chosen, offer === preferred.get(idOf(offer))))
    },
    releases: () => toldReleases([...offers.values()]),
    find,
    async findNow(id) {
      const offer = find(id)
      return offer.verdict.fits ? offer : atNow(offer.path, offer.medium, idOf(offer))
    },
    atNow,
    at: path => offers.get(path),
    copies: id => ranked().filter(offer => offer.id === id),
    damaged(path, why) {
      const offer = offers.get(path)
      if (!offer) return
      damages.add(path, present.get(path)?.sign ?? '', why)
      offers.set(path, { ...offer, verdict: refuse('tampered', why.message) })
      onChange()
    },
    best,
    isIdle: () => [...queues].every(([medium, { work }]) => work === undefined || inTrouble().has(medium)),
    async idle() {
      for (const queue of queues.values()) await queue.work
    },
  }
}

/** What is wrong with the file itself, so that another copy may be better. */
const DAMAGED: readonly string[] = ['tampered', 'truncated', 'unreadable']

/** A file whose head could not be read is still named by something. */
const idOf = (offer: Offer) => offer.id ?? createHash('sha256').update(offer.path).digest('hex')

/** @param id whole, or at least 8 characters of it */
const isNamed = (offer: Offer, id: string) => id.length >= 8 && idOf(offer).startsWith(id.toLowerCase())

function told(offer: Offer, preselected: boolean, preferred: boolean): OfferInfo {
  const { manifest } = offer
  return {
    id: idOf(offer),
    path: offer.path,
    medium: offer.medium,
    file: basename(offer.path),
    size: offer.size,
    verdict: offer.verdict,
    preselected,
    preferred,
    signers: offer.signers.map(({ fingerprint, userId }) => ({ fingerprint, userId })),
    ...(offer.plan ? { plan: offer.plan } : {}),
    ...(manifest ? { release: briefly(manifest) } : {}),
  }
}

/** The small facts of a release, which every offer of it has. */
const briefly = ({ version, os, ref, commit, timestamp, epoch }: Manifest) => ({
  ...{ version, os, ref, commit, timestamp, epoch },
})
