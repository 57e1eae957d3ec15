/** Values on the command line. */
import { InvalidArgumentError } from 'commander'
import { expect, test } from 'vitest'
import { port, seconds, several, whole } from '../../../src/builder/arguments.ts'

test.each([
  ['1700000000', 1700000000],
  ['@1700000000', 1700000000],
  ['0', 0],
  ['2026-01-31T23:59:59Z', 1769903999],
  ['2026-01-31T23:59:59+02:00', 1769896799],
  ['2026-01-31', 1769817600],
])('the time %s', (text, expected) => {
  expect(seconds(text)).toBe(expected)
})

test.each(['', 'yesterday', '-1', '1.5', '2026-01-31T23:59:59', '2026-13-01', '999999999999', 'Jan 1 2026'])(
  'the time "%s" is refused',
  text => {
    expect(() => seconds(text)).toThrow(InvalidArgumentError)
  },
)

test('ports', () => {
  expect(port('65535')).toBe(65535)
  expect(() => port('65536')).toThrow(InvalidArgumentError)
})

test('whole numbers', () => {
  expect(whole('12')).toBe(12)
  for (const text of ['', '-1', '1.5', '0x10', '1e3', '99999999999999999999'])
    expect(() => whole(text)).toThrow(InvalidArgumentError)
})

test('repeated options keep their order', () => {
  expect(several('b', several('a', undefined))).toEqual(['a', 'b'])
})
