/**
 * What service, CLI and console say to each other: one snapshot that holds everything a person is shown, and the requests
 * that change it. Documented for others in docs/api.md.
 */

import { type Facts, Failure } from '../base/failure.ts'

/** Raised when a client of an older protocol could misread a newer service's answer. */
export const API = 1

export type { MissCode } from '../media/naming.ts'
export type { RefusalCode, Verdict } from '../trust.ts'
export type * from '../update/snapshot.ts'

export interface ErrorBody {
  error: { code: string; message: string; facts?: Facts }
}

/** Whether a failure means that there is no service to talk to, as against one that said no. */
export const isUnreachable = (error: unknown): boolean =>
  error instanceof Failure && ['service-down', 'service-denied', 'service-silent', 'service-lost'].includes(error.code)
