/** Rollback: every release that the device could return to with its record, then the reason. */
import { Box, Text } from 'ink'
import type { DeploymentInfo, Snapshot } from '../../control/protocol.ts'
import { cut, type Frame, Page, tone, windowOf, wrapped } from '../frame.tsx'
import { when } from '../line.ts'
import { chosenDeployment, deploymentName, returnable } from '../view.ts'
import { Head, running } from './confirm.tsx'

export function Rollback({
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
  const list = returnable(snapshot)
  const at = chosenDeployment(snapshot, chosen)
  const room = Math.max(1, Math.floor((frame.rows - 9) / 3))
  const { shown } = windowOf(list, at ? list.indexOf(at) : 0, room)
  return (
    <Page
      frame={frame}
      snapshot={snapshot}
      note={note}
      keys={list.length > 0 ? [t.keys.choose, t.keys.next, t.keys.back] : [t.keys.back]}
    >
      <Head>{list.length > 0 ? t.rollbackHead : t.rollbackNone}</Head>
      {shown.map(one => (
        <Release key={deploymentName(one)} frame={frame} one={one} chosen={one === at} />
      ))}
    </Page>
  )
}

function Release({ frame, one, chosen }: { frame: Frame; one: DeploymentInfo; chosen: boolean }) {
  const { t, glyphs, columns } = frame
  const words = [one.booted && t.isRunning, one.pending && t.isPending, one.pinned && t.pinned].filter(
    word => word !== false,
  )
  const record = [
    ...(one.installedAt ? [t.installedAt(when(one.installedAt))] : []),
    one.lastGood ? t.lastGood(when(one.lastGood)) : t.neverGood,
  ]
  const head = [one.version, one.commit.slice(0, 12), ...words].join('  ')
  return (
    <Box flexDirection="column" flexShrink={0}>
      <Text bold={chosen} inverse={chosen}>
        {cut(`${(chosen ? glyphs.arrow : '').padEnd(2)} ${head}`, columns - 2).padEnd(columns - 2)}
      </Text>
      <Text>{cut(`     ${record.join(', ')}`, columns - 2)}</Text>
      {one.leftBecause ? (
        <Text {...tone(frame, 'warn')}>{cut(`     ${t.leftBecause(one.leftBecause)}`, columns - 2)}</Text>
      ) : null}
    </Box>
  )
}

/** The line for the history, typed by the person who decides. */
export function Reason({
  frame,
  snapshot,
  to,
  reason,
  note,
}: {
  frame: Frame
  snapshot: Snapshot
  to: DeploymentInfo
  reason: string
  note?: string
}) {
  const { t } = frame
  return (
    <Page frame={frame} snapshot={snapshot} note={note} keys={[t.keys.next, t.keys.back]}>
      <Head>{cut(t.confirmRollback(running(snapshot), to.version), frame.columns - 2)}</Head>
      <Text>{t.reasonHead}</Text>
      <Box marginTop={1}>
        <Text>
          {`${t.reasonPrompt}: ${wrapped(reason)}`}
          <Text inverse> </Text>
        </Text>
      </Box>
      {reason.trim() === '' ? <Text>{t.reasonNeeded}</Text> : null}
    </Page>
  )
}
