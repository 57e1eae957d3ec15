/** What releases say of themselves, their notes and metadata: kept and sent once a release, and not without bounds. */
import type { Manifest } from '../package/manifest.ts'
import type { ReleaseInfo } from './snapshot.ts'

interface OfOffer {
  id?: string
  manifest?: Manifest
}

/** Bytes of notes and metadata of all releases together. One manifest has at most 256 KiB; what a stick holds is a few of them. */
const MOST = 2 * 1024 * 1024

/** Those whose texts were left out. */
const cuts = new WeakSet<Manifest>()
/** How long the texts of a manifest are as JSON. */
const lengths = new WeakMap<Manifest, number>()
function lengthOf(manifest: Manifest): number {
  const known = lengths.get(manifest) ?? JSON.stringify([manifest.notes, manifest.metadata]).length
  lengths.set(manifest, known)
  return known
}

/** Leave out the texts of the oldest releases where all together have too much. */
export function keepTexts(offers: readonly OfOffer[]): void {
  const manifests = new Set(offers.flatMap(({ manifest }) => manifest ?? []))
  const newestFirst = [...manifests].sort((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp))
  let sum = 0
  for (const manifest of newestFirst) {
    const length = cuts.has(manifest) ? 0 : lengthOf(manifest)
    if (sum + length <= MOST) {
      sum += length
      continue
    }
    const cut: Manifest = { ...manifest, notes: '', metadata: {} }
    cuts.add(cut)
    for (const offer of offers) if (offer.manifest === manifest) offer.manifest = cut
  }
}

/** By the ids of the packages. */
export function toldReleases(offers: readonly OfOffer[]): { [id: string]: ReleaseInfo } {
  const releases: { [id: string]: ReleaseInfo } = {}
  for (const { id, manifest } of offers) {
    if (id === undefined || manifest === undefined || releases[id]) continue
    const { version, os, ref, commit, timestamp, epoch, notes, metadata } = manifest
    const cut = cuts.has(manifest) && { cut: true as const }
    releases[id] = { version, os, ref, commit, timestamp, epoch, notes, metadata, ...cut }
  }
  return releases
}
