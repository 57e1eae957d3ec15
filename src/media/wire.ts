/** What the service and the child process that reads a stick say to each other: JSON lines, and bytes in a shared file. */
import type { Found, Look } from './scan.ts'

/** Bytes of a place in the shared file, and how many there are: one is read while others are used. */
export const SLOT = 1024 * 1024
export const SLOTS = 4
/** Parts that are asked for together: a slow stick answers within a moment all the same. */
export const PARTS = 64

export type Request =
  | { id: number; do: 'open'; path: string }
  /** parts of one file, which go into the slot one after the other, each with room for its whole length */
  | { id: number; do: 'read'; handle: number; parts: Part[]; slot: number }
  | { id: number; do: 'close'; handle: number }
  /** answered once the stick itself has answered */
  | { id: number; do: 'ping' }

export type Part = [position: number, length: number]

export type Answer =
  /**
   * `bytes`: how many there were of each part, fewer than asked for only at the end of the file; `waiting`: milliseconds that a
   * look at the stick has been waiting for it
   */
  | { id: number; handle?: number; size?: number; bytes?: number[]; waiting?: number }
  | { id: number; error: { code: string; message: string } }
export type Event =
  /** the program runs: from here on it is the stick that lets one wait */
  | { event: 'started' }
  | { event: 'found'; file: Found }
  | { event: 'gone'; path: string }
  | { event: 'looked'; look: Look }
  | { event: 'unmounted' }
