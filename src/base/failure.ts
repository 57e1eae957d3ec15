/** The one error type: a stable code for programs, a sentence that starts with "cannot" for people. */

/** The values that a sentence names, by which it can be said in another language. */
export type Facts = { readonly [name: string]: string | number }

export class Failure extends Error {
  override readonly name = 'Failure'
  readonly code: string
  readonly facts: Facts | undefined

  /**
   * @param code stable, lower-case, with dashes; callers may branch on it
   * @param message what could not be done, to which thing, and what to do next
   * @param options.facts the values that the message names
   */
  constructor(code: string, message: string, options?: { cause?: unknown; facts?: Facts | undefined }) {
    super(message, options)
    this.code = code
    this.facts = options?.facts
  }
}

/** Any thrown value as a Failure; what was not foreseen gets the code `internal`. */
export function asFailure(error: unknown, doing: string): Failure {
  if (error instanceof Failure) return error
  const message = error instanceof Error ? error.message : String(error)
  return new Failure('internal', `cannot ${doing}: ${message}`, { cause: error })
}

/** The errno name of a system error (`ENOENT`, `EIO`…), or undefined. */
export function errno(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}
