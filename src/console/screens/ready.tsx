/** The reboot that finishes a job: now, later, or by itself. */
import { Box, Text } from 'ink'
import type { JobInfo, Snapshot } from '../../control/protocol.ts'
import { cut, type Frame, Page, tone, wrapped } from '../frame.tsx'
import { isGoingBack, jobName } from '../line.ts'
import { Head } from './confirm.tsx'
import { Stick } from './progress.tsx'

export function Ready({
  frame,
  snapshot,
  job,
  note,
}: {
  frame: Frame
  snapshot: Snapshot
  job: JobInfo
  note?: string
}) {
  const { t } = frame
  const back = isGoingBack(job)
  const keys = [t.keys.rebootNow, t.keys.later, ...(job.cancellable ? [t.keys.cancel] : []), t.keys.quit]
  return (
    <Page frame={frame} snapshot={snapshot} keys={keys} note={note}>
      <Head>{back ? t.goBackHead : t.rebootHead}</Head>
      {back ? null : (
        <Text bold>
          {cut(
            `${jobName(job, t)}: ${t.fromTo(job.from.version, job.to.version, frame.glyphs.arrow)}`,
            frame.columns - 2,
          )}
        </Text>
      )}
      <Box marginTop={1} flexDirection="column">
        {job.kind === 'install' && !back ? <Text>{wrapped(t.rebootText(job.to.version))}</Text> : null}
        {job.rebootIn !== undefined ? (
          <Text bold {...tone(frame, 'warn')}>
            {t.rebootIn(Math.ceil(job.rebootIn))}
          </Text>
        ) : null}
        {job.text ? <Text>{wrapped(job.text) + (job.code ? ` (${wrapped(job.code)})` : '')}</Text> : null}
      </Box>
      <Stick frame={frame} job={job} />
    </Page>
  )
}
