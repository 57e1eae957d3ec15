/** Dates of releases: devices know the newest that they had by its date, and take none that is older. */
import type { Commit } from '../ostree/contents.ts'
import { timestampOf } from './draft.ts'
import type { Work } from './work.ts'

/** Seconds: clocks of build hosts differ, but not by more. */
const DAY = 86_400
/** 1 January 2000: what is dated before has its date from a clock that was not set. */
const LONG_AGO = 946_684_800

const version = (commit: Commit) => commit.metadata.get('version') ?? commit.checksum.slice(0, 12)

/**
 * The date of a new commit: what was asked for, or the build's, or now; but always later than its parent's, so that the same parent
 * and date give the same commit.
 * @param given seconds since 1970, by whom the release is made
 * @param build seconds since 1970, as the build sets it for everything (SOURCE_DATE_EPOCH)
 */
export function dateOf(
  given: number | undefined,
  build: number | undefined,
  parent: Commit | undefined,
  work: Work,
): number {
  const wanted = given ?? build ?? Math.floor(Date.now() / 1000)
  const date = parent ? Math.max(wanted, parent.timestamp + 1) : wanted
  // A release within the same second is nothing to talk about.
  if (parent && wanted < parent.timestamp) {
    const who =
      given !== undefined ? '--timestamp' : build !== undefined ? 'SOURCE_DATE_EPOCH' : "this computer's clock"
    work.note(
      `WARNING: the release is dated ${timestampOf(date)}, a second after version ${version(parent)}, though ${who} says ${timestampOf(wanted)}: devices refuse what is older than what they have had.`,
    )
  }
  sayOddDate(date, work)
  return date
}

/** What is odd about a release's date, for who makes it. */
export function sayOddDate(date: number, work: Work): void {
  if (date > Date.now() / 1000 + DAY)
    work.note(
      `WARNING: this release is of ${timestampOf(date)}, which is in the future. A device that has installed it refuses all releases that are dated before, until an operator allows one.`,
    )
  else if (date < LONG_AGO)
    work.note(
      `WARNING: this release is of ${timestampOf(date)}: the clock, or SOURCE_DATE_EPOCH, was not set when it was made.`,
    )
}

/** What devices that run the parent make of a release's date. */
export function sayBackwards(commit: Commit, parent: Commit | undefined, work: Work): void {
  if (parent && commit.timestamp < parent.timestamp)
    work.note(
      `WARNING: version ${version(commit)} is of ${timestampOf(commit.timestamp)}, before version ${version(parent)}, which it follows: devices that have had that refuse it as older, unless an operator allows it.`,
    )
}
