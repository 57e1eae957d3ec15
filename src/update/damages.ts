/**
 * Files that an installation found damaged, where a look finds nothing: a look reads what it needs, an installation what the
 * device lacks. What was found stays true of a file until it is another one.
 */
import type { Failure } from '../base/failure.ts'
import { refuse } from '../trust.ts'
import { examineFile, type Look, type Offer } from './examine.ts'

interface Damage {
  /** of the file, as it was then */
  sign: string
  /** the member that is damaged, so that it can be looked at again; not known where the file said something else before */
  member: string | undefined
  why: string
}

/** Files that are remembered: an installation takes a while to find one. */
const MOST = 100

export interface Damages {
  add(path: string, sign: string, why: Failure): void
  /** It is not there any more, and may come back as another one that looks the same: copying keeps dates. */
  away(path: string): void
  /** As examineFile, with what is known of the file. */
  examine(look: Look, path: string, file: { medium: string; size: number; sign: string }): Promise<Offer>
}

export function makeDamages(): Damages {
  const damages = new Map<string, Damage>()
  return {
    add(path, sign, { message, facts }) {
      const [oldest] = damages.keys()
      if (damages.size >= MOST && oldest !== undefined) damages.delete(oldest)
      damages.set(path, { sign, member: facts?.member?.toString(), why: message })
    },
    away(path) {
      if (damages.get(path)?.member === undefined) damages.delete(path)
    },
    async examine(look, path, file) {
      const known = damages.get(path)
      const damage = known?.sign === file.sign ? known : undefined
      const offer = await examineFile(look, path, file, damage?.member)
      if (damage && damage.member === undefined && offer.verdict.fits) offer.verdict = refuse('tampered', damage.why)
      // What cannot be read says nothing about what is there.
      if (offer.verdict.fits && damages.get(path) === known) damages.delete(path)
      return offer
    },
  }
}
