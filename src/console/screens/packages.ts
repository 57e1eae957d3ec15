/** Packages: everything that was found with its verdict in words, and all about the chosen one. */
import { bytes } from '../../base/text.ts'
import type { MediumInfo, OfferInfo, Plan, Snapshot } from '../../control/protocol.ts'
import { cell } from '../glyphs.ts'
import { BLANK, entry, type Frame, type Line, row, type Screen, say } from '../lines.ts'
import type { Texts } from '../texts.ts'
import { chosenName, chosenOffer, isOlder, listed, misses, sortedOffers } from '../view.ts'
import { leftWords, missShort, nextWords, offerShort, verdictWords, whatWords, when } from '../words.ts'

/** What a stick and a disk of today do at least, bytes a second, and the seconds that the steps beside copying take. */
const RATE = 15e6
const STEPS = 10

type Missed = ReturnType<typeof misses>[number]

export function packages(frame: Frame, snapshot: Snapshot, name: string): Screen {
  const { t } = frame
  const names = listed(snapshot)
  const chosen = chosenName(snapshot, name)
  if (chosen === undefined) return { head: t.packages.head, lines: say(frame, t.packages.none), keys: [t.keys.back] }
  const offer = chosenOffer(snapshot, chosen)
  const miss = misses(snapshot).find(one => one.miss.path === chosen)
  const entries = [
    ...sortedOffers(snapshot).map(one => offerLine(frame, snapshot, one, one === offer)),
    ...misses(snapshot).map(one => missLine(frame, snapshot, one, one.miss.path === chosen)),
  ]
  return {
    head: t.packages.head,
    lines: [],
    list: { entries: entries.map(one => [one]), chosen: names.indexOf(chosen) },
    after: [BLANK, ...(offer ? details(frame, snapshot, offer) : miss ? missDetails(frame, miss) : [])],
    keys: [
      ...(names.length > 1 ? [t.keys.choose] : []),
      ...(offer?.verdict.fits ? [t.keys.next] : offer && isOlder(offer) ? [t.keys.downgrade] : []),
      t.keys.back,
    ],
  }
}

/** Version, verdict and file, and the medium where there are several. */
function columns(frame: Frame, snapshot: Snapshot, cells: readonly [string, string, string], medium: string): string {
  const { glyphs } = frame
  const [version, words, file] = cells
  const media = new Set([...snapshot.offers.map(one => one.medium), ...misses(snapshot).map(one => one.medium.path)])
  const name = snapshot.media.find(one => one.path === medium)?.name
  const where = media.size > 1 && name !== undefined ? `  (${name})` : ''
  return `${cell(version, 10, glyphs)} ${cell(words, 21, glyphs)} ${file}${where}`
}

function offerLine(frame: Frame, snapshot: Snapshot, offer: OfferInfo, chosen: boolean): Line {
  const words = offerShort(offer, frame.t)
  const text = columns(frame, snapshot, [offer.release?.version ?? '-', words, offer.file], offer.medium)
  return entry(frame, text, chosen, { tone: offer.verdict.fits ? 'good' : 'warn' })
}

function missLine(frame: Frame, snapshot: Snapshot, { medium, miss }: Missed, chosen: boolean): Line {
  const text = columns(frame, snapshot, ['-', missShort(miss, frame.t), miss.file], medium.path)
  return entry(frame, text, chosen, { tone: 'warn' })
}

function details(frame: Frame, snapshot: Snapshot, offer: OfferInfo): Line[] {
  const { t } = frame
  const { verdict } = offer
  const known = snapshot.deployments.find(one => one.commit === offer.release?.commit)
  const left = known && leftWords(known, t)
  return [
    ...(verdict.fits
      ? row(frame, t.packages.verdict, t.packages.canBeInstalled, { bold: true, tone: 'good' })
      : [
          ...row(frame, t.packages.verdict, verdictWords(verdict, t), { bold: true, tone: 'warn' }),
          ...row(frame, t.packages.next, nextWords(verdict.code, t)),
          ...(isOlder(offer) ? row(frame, '', t.packages.olderMay) : []),
        ]),
    ...(left ? row(frame, '', t.confirm.wasLeft(left), { tone: 'warn' }) : []),
    ...about(frame, snapshot, offer),
    ...placeOfOffer(frame, snapshot, offer),
    ...(verdict.fits ? [] : row(frame, t.packages.service, `${verdict.why} (${verdict.code})`)),
  ]
}

function missDetails(frame: Frame, { medium, miss }: Missed): Line[] {
  const { t } = frame
  return [
    ...row(frame, t.packages.verdict, whatWords(miss.code, {}, t, miss.text), { bold: true, tone: 'warn' }),
    ...row(frame, t.packages.next, nextWords(miss.code, t)),
    ...row(frame, t.packages.file, miss.path.slice(medium.path.length + 1) || miss.file),
    ...where(frame, medium),
    ...row(frame, t.packages.service, `${miss.text} (${miss.code})`),
  ]
}

/** The file that would be taken, and where it lies. */
export function placeOfOffer(frame: Frame, { media }: Snapshot, { file, size, medium }: OfferInfo): Line[] {
  const { t } = frame
  const on = media.find(one => one.path === medium)
  return [...row(frame, t.packages.file, `${file}  (${bytes(size, t.locale)})`), ...(on ? where(frame, on) : [])]
}

const where = (frame: Frame, { kind, name }: MediumInfo): Line[] =>
  row(frame, frame.t.packages.where, kind === 'inbox' ? frame.t.packages.inbox : name)

/** The release, who signed it, and what installing costs: also on the confirmation. */
export function about(frame: Frame, { releases }: Snapshot, { id, release, signers, plan }: OfferInfo): Line[] {
  const { t } = frame
  const notes = releases[id]?.notes
  return [
    ...(release ? row(frame, t.packages.release, t.packages.made(release.version, when(release.timestamp, t))) : []),
    ...signers
      .slice(0, 3)
      .flatMap(({ userId, fingerprint }) =>
        row(frame, t.packages.signedBy, `${userId}  ${fingerprint.slice(-16)}`).slice(0, 2),
      ),
    ...(plan ? row(frame, t.packages.cost, costOf(plan, t)) : []),
    ...(notes
      ? row(
          frame,
          t.packages.notes,
          notes
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
