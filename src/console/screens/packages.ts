/** Packages: everything that was found with its verdict in words, and all about the chosen one. */
import { bytes } from '../../base/text.ts'
import type { OfferInfo, Plan, Snapshot } from '../../control/protocol.ts'
import { cell } from '../glyphs.ts'
import { BLANK, entry, type Frame, type Line, row, type Screen, say } from '../lines.ts'
import type { Texts } from '../texts.ts'
import { chosenOffer, sortedOffers } from '../view.ts'
import { leftWords, nextWords, verdictShort, verdictWords, when } from '../words.ts'

/** What a stick and a disk of today do at least, bytes a second, and the seconds that the steps beside copying take. */
const RATE = 15e6
const STEPS = 10

export function packages(frame: Frame, snapshot: Snapshot, name: string): Screen {
  const { t } = frame
  const list = sortedOffers(snapshot)
  const chosen = chosenOffer(snapshot, name)
  if (!chosen) return { head: t.packages.head, lines: say(frame, t.packages.none), keys: [t.keys.back] }
  return {
    head: t.packages.head,
    lines: [],
    list: { entries: list.map(one => [offerLine(frame, one, one === chosen)]), chosen: list.indexOf(chosen) },
    after: [BLANK, ...details(frame, snapshot, chosen)],
    keys: [...(list.length > 1 ? [t.keys.choose] : []), ...(chosen.verdict.fits ? [t.keys.next] : []), t.keys.back],
  }
}

function offerLine(frame: Frame, offer: OfferInfo, chosen: boolean): Line {
  const { t, glyphs } = frame
  const words = verdictShort(offer.verdict, offer.preselected, t)
  const text = `${cell(offer.release?.version ?? '-', 10, glyphs)} ${cell(words, 21, glyphs)} ${offer.file}`
  return entry(frame, text, chosen, { tone: offer.verdict.fits ? 'good' : 'warn' })
}

function details(frame: Frame, snapshot: Snapshot, offer: OfferInfo): Line[] {
  const { t } = frame
  const { verdict } = offer
  const medium = snapshot.media.find(one => one.path === offer.medium)
  const known = snapshot.deployments.find(one => one.commit === offer.release?.commit)
  const left = known && leftWords(known, t)
  return [
    ...(verdict.fits
      ? row(frame, t.packages.verdict, t.packages.canBeInstalled, { bold: true, tone: 'good' })
      : [
          ...row(frame, t.packages.verdict, verdictWords(verdict, t), { bold: true, tone: 'warn' }),
          ...row(frame, t.packages.next, nextWords(verdict.code, t)),
        ]),
    ...(left ? row(frame, '', t.confirm.wasLeft(left), { tone: 'warn' }) : []),
    ...about(frame, offer),
    ...row(frame, t.packages.file, `${offer.file}  (${bytes(offer.size, t.locale)})`),
    ...(medium ? row(frame, t.packages.where, medium.kind === 'inbox' ? t.packages.inbox : medium.name) : []),
    ...(verdict.fits ? [] : row(frame, t.packages.service, `${verdict.why} (${verdict.code})`)),
  ]
}

/** The release, who signed it, and what installing costs: also on the confirmation. */
export function about(frame: Frame, { release, signers, plan }: OfferInfo): Line[] {
  const { t } = frame
  return [
    ...(release ? row(frame, t.packages.release, t.packages.made(release.version, when(release.timestamp, t))) : []),
    ...signers
      .slice(0, 3)
      .flatMap(({ userId, fingerprint }) =>
        row(frame, t.packages.signedBy, `${userId}  ${fingerprint.slice(-16)}`).slice(0, 2),
      ),
    ...(plan ? row(frame, t.packages.cost, costOf(plan, t)) : []),
    ...(release?.notes
      ? row(
          frame,
          t.packages.notes,
          release.notes
            .trim()
            .slice(0, 600)
            .replaceAll(/\s*\n\s*/g, ' / '),
        ).slice(0, 3)
      : []),
  ]
}

function costOf({ bytesToRead, bytesToWrite }: Plan, t: Texts): string {
  const size = (count: number) => bytes(count, t.locale)
  const seconds = (bytesToRead + bytesToWrite) / RATE + STEPS
  const time = seconds < 90 ? `${Math.ceil(seconds / 5) * 5} s` : `${Math.ceil(seconds / 60)} min`
  return `${t.packages.costWords(size(bytesToRead), size(bytesToWrite))}, ${t.packages.duration(time, size(RATE))}`
}
