/** What the service and the child process that reads a stick say to each other: JSON lines, and bytes in a shared file. */
import type { Found } from './scan.ts'

/** Bytes of a place in the shared file, and how many there are: one is read while others are used. */
export const SLOT = 1024 * 1024
export const SLOTS = 4

export type Request =
  | { id: number; do: 'open'; path: string }
  | { id: number; do: 'read'; handle: number; position: number; length: number; slot: number }
  | { id: number; do: 'close'; handle: number }
  /** answered once the stick itself has answered */
  | { id: number; do: 'ping' }

export type Answer =
  | { id: number; handle?: number; size?: number; bytes?: number }
  | { id: number; error: { code: string; message: string } }
export type Event =
  /** the program runs: from here on it is the stick that lets one wait */
  | { event: 'started' }
  | { event: 'found'; file: Found }
  | { event: 'gone'; path: string }
  | { event: 'ready'; beyond: boolean }
  | { event: 'error'; message: string }
  | { event: 'unmounted' }
