/** What a reader accepts at most: part of the format, see docs/format.md. */
import { LARGEST } from './header.ts'

const KiB = 1024
const MiB = 1024 * KiB

/** Bytes, where nothing else is said. */
export const LIMITS = {
  manifest: 256 * KiB,
  /** how many */
  signatures: 16,
  signature: 16 * KiB,
  index: 64 * MiB,
  /** members up to this size may be held in memory; objects other than `.filez` must be */
  memory: 8 * MiB,
  member: LARGEST,
  /** of the member `config` */
  config: 4 * KiB,
  /** characters, so that `refs/heads/<ref>` fits into a tar header */
  ref: 89,
  notes: 16 * KiB,
  /** how many */
  deltas: 64,
  /** levels of nesting of the manifest's JSON */
  depth: 32,
} as const
