/** Watching a job from the command line to its end: a bar on a terminal, plain lines elsewhere. Watching changes nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import {
  bar,
  fraction,
  isGoingBack,
  isOver,
  isStepping,
  jobLine,
  jobName,
  narrator,
  numbers,
  stickSentence,
} from '../console/line.ts'
import { type Texts, texts } from '../console/texts.ts'
import { jobWords } from '../console/words.ts'
import type { Client } from '../control/client.ts'
import type { JobInfo, Snapshot } from '../control/protocol.ts'
import { isUnreachable } from '../control/protocol.ts'
import { isRefusalCode } from '../trust.ts'
import { EXIT } from './exit.ts'
import { complain, type Io, say } from './io.ts'

/** How long a service may stay away, for a restart, before watching is given up; milliseconds. */
const AWAY = 60_000
const AGAIN = 500

/**
 * Follow job `id` until it is over or waits for the reboot, through restarts of the service.
 * @returns the job as it ended, or undefined when Ctrl-C ended the watching
 */
export async function follow(io: Io, client: Client, id: string, quiet = false): Promise<JobInfo | undefined> {
  const stop = new AbortController()
  const detach = () => stop.abort()
  process.once('SIGINT', detach)
  const show = quiet ? silent : io.stdout.isTTY ? drawn(io, texts(io.env)) : told(io, texts(io.env))
  try {
    const job = await watch(client, id, stop.signal, show)
    show.end()
    if (job === undefined && !quiet)
      io.stderr.write('Stopped watching. The job goes on; see `superblock status`, stop it with `superblock cancel`.\n')
    return job
  } catch (error) {
    show.end()
    throw error
  } finally {
    process.off('SIGINT', detach)
  }
}

/** What a job that was followed exits with, after its last sentence. */
export function conclude(io: Io, job: JobInfo): number {
  const good = job.state === 'done' || (job.state === 'reboot' && !isGoingBack(job))
  if (!good) complain(io, `${jobWords(job, texts(io.env))}${job.code ? ` (${job.code})` : ''}`)
  if (good) return EXIT.ok
  if (job.kind === 'rollback' && job.code === 'hook-failed')
    io.stderr.write('Do what it says, or go back all the same with: superblock rollback --force\n')
  return job.state === 'failed' && job.code && isRefusalCode(job.code) ? EXIT.refused : EXIT.updateFailed
}

interface Show {
  job(job: JobInfo): void
  end(): void
}

const silent: Show = { job: () => {}, end: () => {} }

async function watch(client: Client, id: string, signal: AbortSignal, show: Show): Promise<JobInfo | undefined> {
  let seen = false
  let lostAt = 0
  /** @returns the job when it needs no more watching */
  const look = ({ job }: Snapshot): JobInfo | undefined => {
    if (job?.id !== id) {
      if (seen)
        throw new Failure('job-gone', 'cannot tell how the job ended: another one began; see `superblock history`')
      return undefined
    }
    seen = true
    show.job(job)
    return isOver(job) || job.state === 'reboot' ? job : undefined
  }
  /** A first event can be a moment older than the job. */
  const lookAgain = async () => {
    await sleep(AGAIN, undefined, { signal }).catch(() => {})
    const ended = look(await client.status())
    if (!seen)
      throw new Failure('job-gone', `cannot follow job ${id}: the service does not know it; see \`superblock history\``)
    return ended
  }
  while (!signal.aborted) {
    try {
      for await (const snapshot of client.events(signal)) {
        lostAt = 0
        const ended = look(snapshot) ?? (seen ? undefined : await lookAgain())
        if (ended) return ended
      }
    } catch (error) {
      lostAt ||= performance.now()
      if (!isUnreachable(error) || performance.now() - lostAt > AWAY) throw error
      await sleep(AGAIN, undefined, { signal }).catch(() => {})
    }
  }
  return undefined
}

/** On a terminal: one line that is drawn over, and the sentence about the stick above it when it changes. */
function drawn(io: Io, t: Texts): Show {
  let stick = ''
  return {
    job(job) {
      const sentence = stickSentence(job, t) ?? ''
      if (sentence !== stick && sentence) io.stdout.write(`\r\u001b[K${sentence}\n`)
      stick = sentence
      io.stdout.write(`\r\u001b[K${barLine(job, t, (io.stdout.columns ?? 80) - 1)}`)
      if (job.state !== 'running') io.stdout.write(`\r\u001b[K${safe(jobWords(job, t), 400)}\r`)
    },
    end: () => io.stdout.write('\n'),
  }
}

/** The job with a bar, cut to the terminal's width so that it stays one line. */
export function barLine(job: JobInfo, t: Texts, columns: number): string {
  const part = isStepping(job) && job.progress ? fraction(job.progress) : undefined
  if (part === undefined || !job.progress) return jobLine(job, t).slice(0, columns)
  return `${jobName(job, t)} ${job.progress.at}/${job.progress.of} [${bar(part, 20, '#', '-')}] ${numbers(job.progress, t)}`.slice(
    0,
    columns,
  )
}

/** Elsewhere: a line for each thing that happens. */
function told(io: Io, t: Texts): Show {
  const news = narrator(t)
  return {
    job(job) {
      for (const line of news(job)) say(io, line)
    },
    end: () => {},
  }
}
