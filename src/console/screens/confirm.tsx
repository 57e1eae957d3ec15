/** Confirmations: what is about to happen, what it means, and no or yes. */
import { Box, Text } from 'ink'
import type { ReactNode } from 'react'
import { bytes } from '../../base/text.ts'
import type { DeploymentInfo, OfferInfo, Snapshot } from '../../control/protocol.ts'
import { Choice, cut, type Frame, Page, Row, tone, wrapped } from '../frame.tsx'
import { when } from '../line.ts'

interface Common {
  frame: Frame
  snapshot: Snapshot
  yes: boolean
  note?: string
}

/** One package: what it is, what installing it means; for one that does not cut, why, and no yes. */
export function ConfirmInstall({ frame, snapshot, offer, yes, note }: Common & { offer: OfferInfo }) {
  const { t } = frame
  const { release, plan, verdict } = offer
  const version = release?.version ?? offer.file
  const from = running(snapshot)
  const fits = verdict.fits
  return (
    <Page
      frame={frame}
      snapshot={snapshot}
      note={note}
      keys={fits ? [t.keys.choose, t.keys.take, t.keys.yes, t.keys.back] : [t.keys.back]}
    >
      <Head>{fits ? t.confirmInstall : cut(t.doesNotFit(verdict.code), frame.columns - 2)}</Head>
      {fits ? <Text bold>{cut(t.fromTo(from, version, frame.glyphs.arrow), frame.columns - 2)}</Text> : null}
      {fits ? null : (
        <Text bold {...tone(frame, 'bad')}>
          {wrapped(verdict.why)}
        </Text>
      )}
      <Box height={1} flexShrink={0} />
      <Row frame={frame} name={t.file} value={`${offer.file}  (${bytes(offer.size)})`} />
      {release ? (
        <Row frame={frame} name={t.released} value={`${when(release.timestamp)}  ${release.commit.slice(0, 12)}`} />
      ) : null}
      {offer.signers.slice(0, 3).map(signer => (
        <Row
          key={signer.fingerprint}
          frame={frame}
          name={t.signedBy}
          value={`${signer.userId}  ${signer.fingerprint.slice(-16)}`}
        />
      ))}
      {plan ? (
        <Row frame={frame} name={t.cost} value={t.costWords(bytes(plan.bytesToRead), bytes(plan.spaceOnSysroot))} />
      ) : null}
      {release?.notes ? (
        <Box flexShrink={0}>
          <Text>{cut(t.notes, 13).padEnd(14)}</Text>
          <Text>{cut(release.notes.trim().replaceAll(/\s*\n\s*/g, ' / '), 3 * (frame.columns - 18))}</Text>
        </Box>
      ) : null}
      {fits ? <Choice frame={frame} yes={yes} words={[t.no, t.yesInstall(version)]} /> : null}
      {fits ? <Meaning>{wrapped(t.consequenceInstall(from))}</Meaning> : null}
    </Page>
  )
}

export function ConfirmReboot({ frame, snapshot, yes, note }: Common) {
  const { t } = frame
  const pending = snapshot.deployments.find(d => d.pending)
  return (
    <Ask frame={frame} snapshot={snapshot} yes={yes} note={note} head={t.confirmReboot} word={t.yesReboot}>
      {pending ? <Row frame={frame} name={t.afterReboot} value={pending.version} /> : null}
      <Text>{wrapped(t.confirmRebootText)}</Text>
    </Ask>
  )
}

export function ConfirmCancel({ frame, snapshot, yes, note }: Common) {
  const { t } = frame
  return (
    <Ask frame={frame} snapshot={snapshot} yes={yes} note={note} head={t.confirmCancel} word={t.yesCancel}>
      <Text>{wrapped(t.confirmCancelText)}</Text>
    </Ask>
  )
}

export function ConfirmReturn({
  frame,
  snapshot,
  to,
  reason,
  yes,
  note,
}: Common & { to: DeploymentInfo; reason: string }) {
  const { t } = frame
  const head = t.confirmRollback(running(snapshot), to.version)
  return (
    <Ask frame={frame} snapshot={snapshot} yes={yes} note={note} head={head} word={t.yesRollback(to.version)}>
      <Text>{wrapped(t.consequenceRollback(to.version))}</Text>
      <Text>{wrapped(t.reasonIs(reason))}</Text>
      {to.leftBecause ? <Text {...tone(frame, 'warn')}>{wrapped(t.leftBecause(to.leftBecause))}</Text> : null}
    </Ask>
  )
}

function Ask({
  frame,
  snapshot,
  yes,
  note,
  head,
  word,
  children,
}: Common & { head: string; word: string; children: ReactNode }) {
  const { t } = frame
  return (
    <Page frame={frame} snapshot={snapshot} note={note} keys={[t.keys.choose, t.keys.take, t.keys.yes, t.keys.back]}>
      <Head>{cut(head, frame.columns - 2)}</Head>
      {children}
      <Choice frame={frame} yes={yes} words={[t.no, word]} />
    </Page>
  )
}

/** The line that a screen begins with. */
export function Head({ children }: { children: string }) {
  return (
    <Box marginBottom={1} flexShrink={0}>
      <Text bold>{children}</Text>
    </Box>
  )
}

function Meaning({ children }: { children: string }) {
  return (
    <Box marginTop={1}>
      <Text>{children}</Text>
    </Box>
  )
}

export const running = ({ deployments }: Snapshot): string => deployments.find(d => d.booted)?.version ?? '?'
