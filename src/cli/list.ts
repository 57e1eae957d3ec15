/** `superblock list`: every package found, with the reason for or against it. */
import { bytes, safe } from '../base/text.ts'
import type { OfferInfo, Snapshot } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { type Io, say, sayJson, short, table, tint } from './io.ts'

export async function list({ io, json, client }: Context): Promise<number> {
  const snapshot = await (await client()).status()
  const { offers, media, releases } = snapshot
  if (json) sayJson(io, { offers, media, releases })
  else for (const line of listing(io, snapshot)) say(io, line)
  return 0
}

/** The lines of the list: one a package, and under it why it is not offered. */
export function listing(io: Io, { offers, media }: Pick<Snapshot, 'offers' | 'media'>): string[] {
  const lines: string[] = []
  for (const medium of media) {
    if (medium.state !== 'ready' || medium.text)
      lines.push(`${safe(medium.name)}: ${safe(medium.text ?? 'being read', 400)}`)
    // Not to be chosen, and without an id therefore.
    for (const { path, text } of medium.misses ?? [])
      lines.push(`${safe(medium.name)}: ${safe(path.slice(medium.path.length + 1) || '.')}: ${safe(text, 400)}`)
  }
  if (offers.length === 0) {
    const insert = media.some(({ kind }) => kind === 'stick') ? '' : ' Insert a stick with a .superblock file.'
    return [...lines, `No packages found.${insert}`]
  }
  const rows = table(['  ID', 'VERSION', 'VERDICT', 'SIZE', 'FILE'], offers.map(row))
  lines.push(rows[0] ?? '')
  offers.forEach((offer, i) => {
    lines.push(tint(io, offer.verdict.fits ? 'good' : 'warn', rows[i + 1] ?? ''))
    if (!offer.verdict.fits) lines.push(`    ${safe(offer.verdict.why, 400)}`)
    else if (!offer.preferred) lines.push('    another copy; to install this one, name the file')
  })
  if (offers.some(offer => offer.preselected)) lines.push('', '* fits best: superblock install ID')
  return lines
}

const row = (offer: OfferInfo): string[] => [
  `${offer.preselected ? '*' : ' '} ${offer.id.slice(0, 12)}`,
  offer.release?.version ?? '-',
  offer.verdict.fits ? 'fits' : offer.verdict.code,
  bytes(offer.size),
  offer.path,
]

/** Short form for a sentence: file and version. */
export const named = (offer: OfferInfo): string => `${safe(offer.release?.version ?? offer.file)} (${short(offer.id)})`
