/** Foreign text as it is shown: nothing that cannot be seen, nothing that moves the cursor or reorders, and no two names alike. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { safe, safeJson } from '../../../src/base/text.ts'

/** From Unicode's lists, one by one: controls, bidi, joiners, fillers, tags, selectors, blanks. */
const HIDDEN = [
  ...[0x00, 0x07, 0x09, 0x0a, 0x0d, 0x1b, 0x7f, 0x80, 0x85, 0x9b, 0x9f, 0xa0, 0xad, 0x34f, 0x61c, 0x115f, 0x1160],
  ...[0x1680, 0x17b4, 0x17b5, 0x180b, 0x180d, 0x180e, 0x180f, 0x2000, 0x200a, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f],
  ...[0x2028, 0x2029, 0x202a, 0x202e, 0x202f, 0x205f, 0x2060, 0x2061, 0x2064, 0x2065, 0x2066, 0x2069, 0x206f, 0x2800],
  ...[0x3000, 0x3164, 0xd800, 0xdfff, 0xe000, 0xf8ff, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff0, 0xfff9, 0xfffb, 0xffff],
  ...[0x110bd, 0x13430, 0x1bca0, 0x1bca3, 0x1d159, 0x1d173, 0x1d17a, 0xe0001, 0xe0020, 0xe007f, 0xe0100, 0xe01ef],
  ...[0xe0fff, 0xf0000, 0x10ffff],
]

test.each(HIDDEN.map(code => [code.toString(16), code] as const))('U+%s is escaped', (name, code) => {
  const shown = safe(`a${String.fromCodePoint(code)}b`)
  expect(shown).toBe(code > 0xffff ? `a\\u{${name}}b` : `a\\u${name.padStart(4, '0')}b`)
})

test('letters, signs and blanks that people use stay', () => {
  const text = 'Größe 2.0 – „neu“, 更新 🚀 Žižek हिन्दी ไทย ½ € \\ ~'
  expect(safe(text)).toBe(text)
})

test('marks that pile up are escaped from the third on', () =>
  expect(safe(`z${'\u0301'.repeat(4)}`)).toBe('z\u0301\u0301\\u0301\\u0301'))

test('a long text is cut between letters', () => {
  expect(safe('🚀'.repeat(300), 10)).toBe(`${'🚀'.repeat(9)}…`)
  expect(safe('x'.repeat(10), 10)).toBe('x'.repeat(10))
})

const SEEN = /^[^\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]*$/u

test('whatever a text holds, nothing unseen is left', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      expect(safe(text, 10_000)).toMatch(SEEN)
    }),
  )
})

test('JSON keeps its value, and shows all of it', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), value => {
      for (const indent of [0, 2]) {
        const json = safeJson(JSON.stringify(value, null, indent))
        expect(JSON.parse(json)).toEqual(value)
        expect(json.replaceAll('\n', '')).toMatch(SEEN)
      }
    }),
  )
})
