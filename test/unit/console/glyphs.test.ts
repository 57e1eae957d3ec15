/** Text as each kind of terminal can show it: nothing that moves the cursor, nothing wider than it may be. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cell, cut, glyphsFor, hasColour, readable, widthOf, wrap } from '../../../src/console/glyphs.ts'

const UNICODE = glyphsFor({ TERM: 'xterm-256color', LANG: 'C.UTF-8' })
const LINUX = glyphsFor({ TERM: 'linux' })
const ASCII = glyphsFor({ TERM: 'vt100' })

test.each([
  ['grün', 'grün', 'grün', 'gruen'],
  ['Žižek, Łódź', 'Žižek, Łódź', 'Zizek, Lódz', 'Zizek, Lodz'],
  ['Жук', 'Жук', '\\u0416\\u0443\\u043a', '\\u0416\\u0443\\u043a'],
  ['更新.superblock', '更新.superblock', '\\u66f4\\u65b0.superblock', '\\u66f4\\u65b0.superblock'],
  ['go 🚀', 'go 🚀', 'go \\u{1f680}', 'go \\u{1f680}'],
  ['“50 €” – yes…', '“50 €” – yes…', '"50 EUR" - yes...', '"50 EUR" - yes...'],
  ['a\u00a0b\u202fc', 'a b c', 'a b c', 'a b c'],
  [
    '\u001b[2J\u202eevil\u200b',
    '\\u001b[2J\\u202eevil\\u200b',
    '\\u001b[2J\\u202eevil\\u200b',
    '\\u001b[2J\\u202eevil\\u200b',
  ],
  ['a\u2028b\u2029c', 'a\\u2028b\\u2029c', 'a\\u2028b\\u2029c', 'a\\u2028b\\u2029c'],
  ['\ue000\u{e0041}', '\\ue000\\u{e0041}', '\\ue000\\u{e0041}', '\\ue000\\u{e0041}'],
  [`z${'\u0301'.repeat(4)}`, 'ź\u0301\u0301\\u0301', 'z\\u0301\\u0301\\u0301', 'z\\u0301\\u0301\\u0301'],
])('%j', (text, unicode, linux, ascii) => {
  expect(readable(text, UNICODE)).toBe(unicode)
  expect(readable(text, LINUX)).toBe(linux)
  expect(readable(text, ASCII)).toBe(ascii)
})

test('whatever a name holds, only what the terminal has is shown', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      expect(readable(text, ASCII)).toMatch(/^[ -~]*$/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
      expect(readable(text, UNICODE)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/)
      expect([...readable(text, LINUX)].every(letter => letter.charCodeAt(0) < 0x2600)).toBe(true)
    }),
  )
})

test('no line is wider than it may be, and nothing is lost by wrapping', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 4, max: 60 }), (text, width) => {
      for (const glyphs of [UNICODE, LINUX, ASCII]) {
        expect(widthOf(cut(text, width, glyphs))).toBeLessThanOrEqual(width)
        expect(widthOf(cell(text, width, glyphs))).toBe(width)
        const lines = wrap(text, width, glyphs)
        expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(width)
        expect(lines.join('').replaceAll(' ', '')).toBe(readable(text, glyphs).replaceAll(' ', ''))
      }
    }),
  )
})

test.each([
  ['abc', 3],
  ['更新', 4],
  ['e\u0301', 1],
  ['🚀', 2],
  ['grün', 4],
])('%s takes %i columns', (text, width) => expect(widthOf(text)).toBe(width))

test('what is cut off leaves a sign', () => {
  expect(cut('abcdef', 4, ASCII)).toBe('abc~')
  expect(cut('更新更新', 6, UNICODE)).toBe('更新~')
  expect(cut('abcd', 4, ASCII)).toBe('abcd')
})

test.each([
  [{ TERM: 'linux' }, 'console', true],
  [{ TERM: 'linux', LANG: 'C' }, 'console', true],
  [{ TERM: 'xterm-256color', LANG: 'de_DE.UTF-8' }, 'unicode', true],
  [{ TERM: 'xterm-256color', LANG: 'C' }, 'ascii', true],
  [{ TERM: 'xterm', LC_ALL: 'C', LANG: 'de_DE.UTF-8' }, 'ascii', true],
  [{ TERM: 'vt100', LANG: 'de_DE.UTF-8' }, 'ascii', false],
  [{ TERM: 'vt220' }, 'ascii', false],
  [{ TERM: 'linux', NO_COLOR: '' }, 'console', false],
  [{}, 'ascii', false],
])('terminal %j: letters of %s, colour %s', (env, letters, colour) => {
  expect(glyphsFor(env).letters).toBe(letters)
  expect(hasColour(env)).toBe(colour)
})
