/** How values on the command line are read; what is wrong with one is said as commander's usage error. */
import { InvalidArgumentError } from 'commander'
import { Failure } from '../base/failure.ts'

/** For options that may be given several times. */
export const several = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value]

/** A whole number from 0 on. */
export function whole(value: string): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number)) throw new InvalidArgumentError('It is not a whole number.')
  return number
}

/** Where a server listens. */
export function port(value: string): number {
  const number = whole(value)
  if (number > 65535) throw new InvalidArgumentError('It is not a port from 0 to 65535.')
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

/** Of an ext4 file system with blocks of 4 KiB and 32-bit numbers of them. */
const LARGEST = 16 * 2 ** 40
const UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** Bytes, from a number that may have one of K, M, G, T behind it. */
export function size(value: string): number {
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,3})?)([KMGT]?)(?:i?B)?$/i.exec(value) ?? []
  const bytes = Math.floor(Number(number) * (UNITS[(unit ?? '').toUpperCase()] ?? 1))
  if (number === undefined || bytes > LARGEST) throw new InvalidArgumentError('It is not a size as 512M or 4G.')
  return bytes
}

/**
 * The time that a build wants everything to have (https://reproducible-builds.org/specs/source-date-epoch/).
 * @throws Failure `usage`
 */
export function epochOfBuild(): number | undefined {
  const text = process.env.SOURCE_DATE_EPOCH
  if (!text) return undefined
  if (!/^\d{1,12}$/.test(text))
    throw new Failure('usage', `cannot tell what to do: SOURCE_DATE_EPOCH is "${text}" and not seconds since 1970`)
  return seconds(text)
}
