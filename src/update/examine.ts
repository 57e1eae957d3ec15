/** One file as an offer: it is looked at, and whatever is wrong with it becomes its verdict. */
import { basename } from 'node:path'
import { asFailure } from '../base/failure.ts'
import type { Source } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { isRefusalCode, type Refused, refuse, type Verdict } from '../trust.ts'
import type { Admitted, Examined } from './admit.ts'

export interface Offer extends Examined {
  path: string
  medium: string
  size: number
  verdict: Verdict
  plan?: Admitted['plan']
}

/** @param suspect member that was found damaged before: it is read too, if it is wanted */
export type Look = (path: string, examined: Examined, suspect?: string) => Promise<Admitted | Refused>

/** @param suspect as of Look */
export async function examineFile(
  look: Look,
  path: string,
  { medium, size }: { medium: string; size: number },
  suspect?: string,
): Promise<Offer> {
  const offer: Offer = { path, medium, size, signers: [], verdict: { fits: true } }
  if (basename(path).startsWith('._')) {
    offer.verdict = refuse('sidecar', 'macOS left this beside the real file; it is no package')
    return offer
  }
  try {
    const outcome = await look(path, offer, suspect)
    if ('plan' in outcome) offer.plan = outcome.plan
    else offer.verdict = outcome
  } catch (error) {
    offer.verdict = refusalOf(error)
  }
  return offer
}

/** What the reader threw, as the verdict on the file. */
export function refusalOf(error: unknown): Refused {
  const failure = asFailure(error, 'read it')
  return refuse(isRefusalCode(failure.code) ? failure.code : 'unreadable', safe(failure.message, 2000), failure.facts)
}

/** Look at an open file, and let go of it whatever happens: it would keep the stick from being unmounted. */
export async function withSource<T>(source: Source, use: (source: Source) => Promise<T>): Promise<T> {
  try {
    return await use(source)
  } finally {
    await source.close()
  }
}
