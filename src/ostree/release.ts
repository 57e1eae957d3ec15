/** What a commit object says of its release, held against what was signed: OSTree and its output go by the object alone. */
import type { Commit } from './contents.ts'

/** What a manifest says of its commit. */
export interface Said {
  version: string
  /** RFC 3339, whole seconds */
  timestamp: string
  ref: string
}

/**
 * In what a commit is not the one that was described, or undefined where it is: its time, its version and, where it is bound to
 * refs, its ref.
 */
export function contradiction(commit: Commit, said: Said): string | undefined {
  if (commit.timestamp !== Date.parse(said.timestamp) / 1000)
    return `it was made ${timeOf(commit.timestamp)}, and not ${said.timestamp}`
  if (commit.metadata.get('version') !== said.version) return `its version is not ${said.version}`
  if (commit.boundTo.length > 0 && !commit.boundTo.includes(said.ref)) return `it was not made for ${said.ref}`
  return undefined
}

/** Seconds since 1970 as RFC 3339, or in words where no calendar has them. */
export function timeOf(seconds: number): string {
  const time = new Date(seconds * 1000)
  if (Number.isNaN(time.getTime()) || time.getUTCFullYear() > 9999) return 'at no time that a calendar has'
  return `${time.toISOString().slice(0, 19)}Z`
}
