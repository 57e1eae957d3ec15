/** Progress of a job: steps, bar, bytes, rate, time left, a heartbeat that tells slow from stuck, and the stick in large words. */
import { Box, Text } from 'ink'
import type { Progress as Done, JobInfo, Snapshot, StepName } from '../../control/protocol.ts'
import { cut, type Frame, Page, tone, wrapped } from '../frame.tsx'
import { bar, duration, fraction, jobName, numbers, stateWords } from '../line.ts'
import { Head } from './confirm.tsx'

/** How the heartbeat looks to this console, by its own steady clock: the device's may jump. */
export interface Pulse {
  /** heartbeats seen so far */
  beats: number
  /** seconds since the last one */
  quiet: number
}

const STEPS: readonly StepName[] = ['admit', 'stage', 'import', 'arm', 'deploy', 'settle']
/** Rows from which there is room for the list of steps beside bar and stick. */
const ROOMY = 22
const SPINNER = '|/-\\'
/** Seconds without a heartbeat: slow media pause for some, nothing healthy pauses for so many. */
const QUIET = 5
const STUCK = 60

export function Progress({
  frame,
  snapshot,
  job,
  pulse,
  note,
}: {
  frame: Frame
  snapshot: Snapshot
  job: JobInfo
  pulse: Pulse
  note?: string
}) {
  const { t } = frame
  const keys = [...(job.cancellable ? [t.keys.cancel] : []), t.keys.quit]
  const { progress } = job
  return (
    <Page frame={frame} snapshot={snapshot} keys={keys} note={note}>
      <Head>{cut(`${jobName(job, t)}: ${stateWords(job, t)}`, frame.columns - 2)}</Head>
      {progress ? <Steps frame={frame} progress={progress} /> : null}
      {job.state === 'trying' ? <Checks frame={frame} snapshot={snapshot} /> : null}
      {progress ? <Bar frame={frame} progress={progress} /> : null}
      {job.state === 'running' && !hasBar(job) ? <Box height={1} flexShrink={0} /> : null}
      {job.state === 'running' ? <Heartbeat frame={frame} pulse={pulse} /> : null}
      <Stick frame={frame} job={job} />
      <Box marginTop={1}>
        <Text bold={job.state === 'paused'} {...tone(frame, job.state === 'paused' ? 'warn' : undefined)}>
          {wrapped(job.text) + (job.code ? ` (${wrapped(job.code)})` : '')}
        </Text>
      </Box>
    </Page>
  )
}

const hasBar = ({ progress }: JobInfo) => progress !== undefined && fraction(progress) !== undefined

function Steps({ frame, progress }: { frame: Frame; progress: Done }) {
  const { t, glyphs } = frame
  const at = STEPS.indexOf(progress.step as StepName)
  if (at < 0 || frame.rows < ROOMY)
    return <Text>{`${glyphs.arrow.padEnd(2)} ${t.step[progress.step] ?? wrapped(progress.step)}`}</Text>
  return (
    <Box flexDirection="column" flexShrink={0}>
      {STEPS.map((step, i) => (
        <Text key={step} bold={i === at}>
          {`${(i < at ? glyphs.done : i === at ? glyphs.arrow : '').padEnd(2)} ${t.step[step]}`}
        </Text>
      ))}
    </Box>
  )
}

function Bar({ frame, progress }: { frame: Frame; progress: Done }) {
  const { glyphs, columns, t } = frame
  const part = fraction(progress)
  if (part === undefined) return null
  return (
    <Box flexDirection="column" marginTop={1} flexShrink={0}>
      <Text>{bar(part, Math.min(100, columns - 2), glyphs.full, glyphs.empty)}</Text>
      <Text>{cut(numbers(progress, t), columns - 2)}</Text>
    </Box>
  )
}

function Heartbeat({ frame, pulse }: { frame: Frame; pulse: Pulse }) {
  const { t } = frame
  const quiet = duration(pulse.quiet)
  const words = pulse.quiet < QUIET ? t.working : pulse.quiet < STUCK ? t.quiet(quiet) : t.stuck(quiet)
  return (
    <Box flexShrink={0}>
      <Text {...tone(frame, pulse.quiet < QUIET ? undefined : pulse.quiet < STUCK ? 'warn' : 'bad')}>
        {`${SPINNER[pulse.beats % SPINNER.length]} ${words}`}
      </Text>
    </Box>
  )
}

/** A box that can be read from across the room. */
export function Stick({ frame, job }: { frame: Frame; job: JobInfo }) {
  const { t, glyphs, columns } = frame
  if (job.stick === 'none') return null
  const words = job.stick === 'keep' ? t.stickKeepBanner : t.stickRemoveBanner
  const wide = [...words].join(' ')
  const text = wide.length + 8 <= columns ? wide : cut(words, columns - 8)
  const [topLeft, topRight, bottomLeft, bottomRight, side] = glyphs.box
  const line = glyphs.rule.repeat(text.length + 4)
  return (
    <Box flexDirection="column" marginTop={1} flexShrink={0}>
      <Text bold {...tone(frame, job.stick === 'keep' ? 'warn' : 'good')}>
        {`${topLeft}${line}${topRight}\n${side}  ${text}  ${side}\n${bottomLeft}${line}${bottomRight}`}
      </Text>
    </Box>
  )
}

function Checks({ frame, snapshot }: { frame: Frame; snapshot: Snapshot }) {
  const checks = snapshot.health?.checks ?? []
  return (
    <Box flexDirection="column" flexShrink={0}>
      {checks.slice(-8).map(check => (
        <Text key={check.name} {...tone(frame, check.ok ? 'good' : 'bad')}>
          {cut(`${(check.ok ? frame.glyphs.done : '!').padEnd(2)} ${check.name}`, frame.columns - 2)}
        </Text>
      ))}
    </Box>
  )
}
