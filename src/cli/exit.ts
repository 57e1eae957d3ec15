/** The exit statuses of `superblock`: stable, so that scripts can branch on them. */
import { Failure } from '../base/failure.ts'
import { isUnreachable } from '../control/protocol.ts'
import { isRefusalCode } from '../trust.ts'

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  noService: 3,
  refused: 4,
  updateFailed: 5,
  unhealthy: 6,
  busy: 7,
  detached: 130,
} as const

/** As `--help` shows them. */
export const EXIT_HELP = `Exit statuses:
  0    done
  1    failed; the sentence on standard error says what and why
  2    wrong usage
  3    the service is not running, not answering or not yours to use
  4    refused: the package does not fit or cannot be trusted
  5    the update or rollback failed, was cancelled, or the device fell back
  6    unhealthy: the last health check was bad, or doctor found something
  7    not now: another job is running, or it can no longer be cancelled
  130  Ctrl-C: stopped watching; the job goes on`

/** What a failed command exits with. */
export function statusOf(failure: Failure): number {
  if (isUnreachable(failure)) return EXIT.noService
  if (isRefusalCode(failure.code)) return EXIT.refused
  if (failure.code === 'usage') return EXIT.usage
  if (['busy', 'not-cancellable', 'not-removable'].includes(failure.code)) return EXIT.busy
  return EXIT.failed
}

export const usage = (message: string): Failure => new Failure('usage', message)
