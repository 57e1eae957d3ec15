/** Home: the device, what is inserted, and every package found with its verdict. */
import { Box, Text } from 'ink'
import { bytes } from '../../base/text.ts'
import type { DeploymentInfo, OfferInfo, Snapshot } from '../../control/protocol.ts'
import { cut, type Frame, Page, Row, tone, windowOf, wrapped } from '../frame.tsx'
import { isOver, jobName, stateWords, when } from '../line.ts'
import { chosenOffer } from '../view.ts'

export function Home({
  frame,
  snapshot,
  chosen,
  note,
}: {
  frame: Frame
  snapshot: Snapshot
  chosen: string
  note?: string
}) {
  const { t } = frame
  const { deployments, offers, health, problems, job } = snapshot
  // The inbox is always there: it is worth a line only when something is wrong with it.
  const media = snapshot.media.filter(medium => medium.kind === 'stick' || medium.state === 'trouble')
  const offer = chosenOffer(snapshot, chosen)
  const named = (d: DeploymentInfo | undefined, none: string) => (d ? `${d.version}  ${d.commit.slice(0, 8)}` : none)
  const pending = deployments.find(d => d.pending)
  const verdict = health?.verdict ?? 'none'
  const keys = [
    ...(offers.length > 1 ? [t.keys.choose] : []),
    ...(offer ? [offer.verdict.fits ? t.keys.install : t.keys.details] : []),
    t.keys.rollback,
    t.keys.reboot,
    ...(problems.length > 0 ? [t.keys.trouble] : []),
    t.keys.quit,
  ]
  return (
    <Page frame={frame} snapshot={snapshot} keys={keys} note={note}>
      <Row
        frame={frame}
        name={t.running}
        value={named(
          deployments.find(d => d.booted),
          t.noRelease,
        )}
      />
      {pending ? <Row frame={frame} name={t.afterReboot} value={named(pending, '')} kind="warn" /> : null}
      <Row
        frame={frame}
        name={t.rollbackTo}
        value={named(
          deployments.find(d => d.rollback),
          t.nothing,
        )}
      />
      <Row
        frame={frame}
        name={t.health}
        value={`${t.healthWord[verdict] ?? verdict}${health ? `  ${when(health.at)}` : ''}`}
        kind={verdict === 'good' ? 'good' : verdict === 'bad' ? 'bad' : undefined}
      />
      {job && isOver(job) ? (
        <Text>{cut(t.lastJob(jobName(job, t), stateWords(job, t)), frame.columns - 2)}</Text>
      ) : null}
      {problems.slice(0, 2).map(problem => (
        <Text key={problem.code + problem.text} bold {...tone(frame, 'bad')}>
          {cut(`! ${problem.text}`, frame.columns - 2)}
        </Text>
      ))}
      <Box marginTop={1} flexShrink={0}>
        <Text bold>{t.media}</Text>
      </Box>
      {media.length === 0 ? <Text>{`  ${t.noMedia}`}</Text> : null}
      {media.slice(0, 4).map(medium => (
        <Text key={medium.path} {...tone(frame, medium.state === 'trouble' ? 'bad' : undefined)}>
          {cut(
            `  ${medium.name}${medium.filesystem ? ` (${medium.filesystem})` : ''}: ${medium.text ?? t.mediumState[medium.state] ?? medium.state}`,
            frame.columns - 2,
          )}
        </Text>
      ))}
      {media.length > 4 ? <Text>{`  ${t.more(media.length - 4)}`}</Text> : null}
      <Offers
        frame={frame}
        offers={offers}
        chosen={offer}
        room={frame.rows - 15 - Math.min(5, media.length) - Math.min(2, problems.length)}
      />
    </Page>
  )
}

function Offers({
  frame,
  offers,
  chosen,
  room,
}: {
  frame: Frame
  offers: OfferInfo[]
  chosen?: OfferInfo
  room: number
}) {
  const { t } = frame
  const at = chosen ? offers.indexOf(chosen) : 0
  const { from, shown } = windowOf(offers, at, Math.max(1, room))
  const where = shown.length < offers.length ? `  ${t.position(from + 1, from + shown.length, offers.length)}` : ''
  return (
    <Box flexDirection="column" marginTop={1}>
      <Text bold>{t.packages + where}</Text>
      {offers.length === 0 ? <Text>{`  ${t.noPackages}`}</Text> : null}
      {shown.map(offer => (
        <Text
          key={offer.path}
          inverse={offer === chosen}
          {...tone(frame, offer === chosen ? undefined : offer.verdict.fits ? 'good' : 'warn')}
        >
          {offerLine(frame, offer, offer === chosen)}
        </Text>
      ))}
      {chosen && !chosen.verdict.fits ? <Text>{`  ${wrapped(chosen.verdict.why)}`}</Text> : null}
    </Box>
  )
}

function offerLine(frame: Frame, offer: OfferInfo, chosen: boolean): string {
  const { t, glyphs, columns } = frame
  const mark = (chosen ? glyphs.arrow : '').padEnd(2)
  const verdict = offer.verdict.fits ? t.fits : t.refused(offer.verdict.code)
  const cost = offer.plan ? t.toRead(bytes(offer.plan.bytesToRead)) : ''
  const version = cut(offer.release?.version ?? '-', 12).padEnd(12)
  return cut(
    `${mark} ${version} ${cut(verdict, 20).padEnd(20)} ${[cost, offer.file].filter(Boolean).join('  ')}`,
    columns - 2,
  ).padEnd(columns - 2)
}
