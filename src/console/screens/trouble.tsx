/** Trouble: what happened, what is safe, what to do next, and the code to read out over a telephone. */
import { Box, Text } from 'ink'
import type { JobInfo, Snapshot } from '../../control/protocol.ts'
import { cut, type Frame, Page, tone, wrapped } from '../frame.tsx'
import { jobName } from '../line.ts'
import { Head, running } from './confirm.tsx'

/** A job that failed or fell back. */
export function Outcome({
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
  const what = job.state === 'fell-back' ? t.fellBack(job.to.version) : t.jobFailed(jobName(job, t))
  return (
    <Page frame={frame} snapshot={snapshot} keys={[t.keys.dismiss, t.keys.quit]} note={note}>
      <Head>{t.troubleHead}</Head>
      <Text bold {...tone(frame, 'bad')}>
        {wrapped(what)}
      </Text>
      <Box marginTop={1} flexDirection="column">
        <Text>{wrapped(job.text)}</Text>
        <Text>{wrapped(t.safeState(running(snapshot)))}</Text>
        {job.code ? <Text bold>{wrapped(t.code(job.code))}</Text> : null}
      </Box>
    </Page>
  )
}

/** What is wrong with the device. */
export function Problems({ frame, snapshot, note }: { frame: Frame; snapshot: Snapshot; note?: string }) {
  const { t } = frame
  return (
    <Page frame={frame} snapshot={snapshot} keys={[t.keys.dismiss, t.keys.quit]} note={note}>
      <Head>{t.problems}</Head>
      {snapshot.problems.slice(0, Math.max(1, Math.floor((frame.rows - 7) / 4))).map(problem => (
        <Box key={problem.code + problem.text} flexDirection="column" marginBottom={1} flexShrink={0}>
          <Text bold {...tone(frame, 'bad')}>
            {wrapped(problem.text)}
          </Text>
          <Text>{wrapped(`${t.next}: ${problem.next}`)}</Text>
          <Text>{cut(t.code(problem.code), frame.columns - 2)}</Text>
        </Box>
      ))}
    </Page>
  )
}
