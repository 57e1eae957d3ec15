/** How values on the command line are read; what is wrong with one is said as commander's usage error. */
import { InvalidArgumentError } from 'commander'

/** For options that may be given several times. */
export const several = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value]

/** A whole number from 0 on. */
export function whole(value: string): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number)) throw new InvalidArgumentError('It is not a whole number.')
  return number
}

/** Latest second that OSTree, GPG and tar all can say without trouble: the end of the year 9999. */
const LAST = 253402300799

/** Seconds since 1970, from those (`@` before them or not) or from a date and time with its zone. */
export function seconds(value: string): number {
  const digits = /^@?(\d{1,12})$/.exec(value)?.[1]
  const isDate = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:?\d\d))?$/.test(value)
  const found = digits !== undefined ? Number(digits) : isDate ? Date.parse(value) / 1000 : Number.NaN
  if (!Number.isInteger(found) || found < 0 || found > LAST)
    throw new InvalidArgumentError('It is neither seconds since 1970 nor a time as 2026-01-31T23:59:59Z.')
  return found
}
