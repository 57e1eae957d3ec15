/** What a commit of the device's repo says of itself, from the object alone: asking `ostree show` of a damaged one can end it. */
import { join } from 'node:path'
import { asFailure } from '../base/failure.ts'
import { readBounded } from '../base/files.ts'
import { type Commit, parseCommit } from './contents.ts'
import { METADATA_LIMIT, objectPath } from './object.ts'

export interface CommitFacts {
  /** undefined where it states none, or cannot be read */
  version?: string
  /** RFC 3339, UTC; '' where it cannot be read or is none that a calendar has */
  timestamp: string
  /** why it cannot be used */
  damaged?: string
}

/** A commit's object. @throws Failure `corrupt-object` when it is not there, or not the commit of this name */
export async function readCommitObject(repo: string, commit: string): Promise<Commit> {
  const path = join(repo, objectPath(commit, 'commit'))
  try {
    return parseCommit(commit, (await readBounded(path, METADATA_LIMIT)) ?? Buffer.alloc(0))
  } catch (error) {
    throw asFailure(error, `read the commit ${commit}`)
  }
}

/** Commits never change, so what one says is read once; a damaged one may be mended. */
const known = new Map<string, CommitFacts>()

/** @param repo of the device */
export async function commitFacts(repo: string, commit: string): Promise<CommitFacts> {
  const before = known.get(commit)
  if (before) return before
  try {
    const { timestamp, metadata } = await readCommitObject(repo, commit)
    const version = metadata.get('version')
    const facts = { timestamp: timeOf(timestamp), ...(version === undefined ? {} : { version }) }
    known.set(commit, facts)
    return facts
  } catch {
    return { timestamp: '', damaged: 'its commit in the store of releases is damaged' }
  }
}

/** Seconds since 1970 as RFC 3339; '' where no calendar has them. */
function timeOf(seconds: number): string {
  const time = new Date(seconds * 1000)
  if (Number.isNaN(time.getTime()) || time.getUTCFullYear() > 9999) return ''
  return `${time.toISOString().slice(0, 19)}Z`
}
