/** A manifest before its index is known, so that what a device would refuse is said at once and not after long work. */
import { Failure } from '../base/failure.ts'
import { encodeManifest, parseManifest } from '../package/manifest.ts'
import type { NewPackage } from '../package/write.ts'

export type Draft = NewPackage['manifest']

/** @throws Failure `bad-value` naming the field and what is wrong with it */
export function checkDraft(draft: Draft): void {
  const zero = '0'.repeat(64)
  const index = { sha256: zero, size: 1 }
  try {
    parseManifest(encodeManifest({ ...draft, format: 1, index, payload: { members: 1, size: 1, unpacked: 1 } }))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    // The reader's sentence is for who was given a package.
    const why = error.message.replace(/^cannot use [^:]+: /, '').replace(/; ask the maker .*$/, '')
    throw new Failure('bad-value', `cannot make a package of it: ${why}`, { cause: error })
  }
}

/** Check what a commit determines of its later packages, and the stateroot where that is known. */
export function checkRelease(ref: string, version: string, os = 'any', compatible = ['any']): void {
  checkDraft({
    compatible,
    version,
    os,
    ref,
    commit: '0'.repeat(64),
    timestamp: '2000-01-01T00:00:00Z',
    epoch: 0,
    deltas: [],
    metadata: {},
    notes: '',
  })
}

/** Seconds since 1970 as a manifest writes them. */
export const timestampOf = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
