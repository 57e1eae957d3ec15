/** The examples of the GVariant Specification, "Serialisation Format", and what is not one. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { format, parse } from '../../../src/ostree/gvariant.ts'

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')

describe('values', () => {
  test.each([
    ['s', '68 65 6c 6c 6f 00', 'hello'],
    ['b', '01', true],
    ['ay', '04 05 06 07', bytes('04050607')],
    ['i', 'fe ff ff ff', bytes('feffffff')],
    ['ai', '04 00 00 00 02 01 00 00', [bytes('04000000'), bytes('02010000')]],
    ['(si)', '66 6f 6f 00 ff ff ff ff 04', ['foo', bytes('ffffffff')]],
    ['{si}', '61 20 6b 65 79 00 00 00 02 02 00 00 06', ['a key', bytes('02020000')]],
    [
      'a(si)',
      '68 69 00 00 fe ff ff ff 03 00 00 00 62 79 65 00 ff ff ff ff 04 09 15',
      [
        ['hi', bytes('feffffff')],
        ['bye', bytes('ffffffff')],
      ],
    ],
    ['as', '69 00 63 61 6e 00 68 61 73 00 73 74 72 69 6e 67 73 3f 00 02 06 0a 13', ['i', 'can', 'has', 'strings?']],
    [
      '((ys)as)',
      '69 63 61 6e 00 68 61 73 00 73 74 72 69 6e 67 73 3f 00 04 0d 05',
      [
        [bytes('69'), 'can'],
        ['has', 'strings?'],
      ],
    ],
    ['(yy)', '70 80', [bytes('70'), bytes('80')]],
    ['(iy)', '60 00 00 00 70 00 00 00', [bytes('60000000'), bytes('70')]],
    [
      'a(iy)',
      '60 00 00 00 70 00 00 00 88 02 00 00 f7 00 00 00',
      [
        [bytes('60000000'), bytes('70')],
        [bytes('88020000'), bytes('f7')],
      ],
    ],
    ['v', '68 69 00 00 73', { type: 's', value: 'hi' }],
    ['as', '', []],
  ])('%s from %s', (type, hex, value) => {
    expect(parse(type, bytes(hex))).toEqual(value)
    if (!/[bv]/.test(type)) expect(format(type, parse(type, bytes(hex)))).toEqual(bytes(hex))
  })

  test('offsets of two bytes in a container over 255 bytes', () => {
    const text = 'x'.repeat(300)
    const data = Buffer.concat([Buffer.from(`${text}\0y\0`), Buffer.from([0x2d, 0x01])])
    expect(parse('(ss)', data)).toEqual([text, 'y'])
    expect(format('(ss)', [text, 'y'])).toEqual(data)
  })
})

describe('damage', () => {
  test.each([
    ['a string without an end', 's', '68 69'],
    ['a string with an end inside', 's', '68 00 69 00'],
    ['an empty string without its end', 's', ''],
    ['a number cut short', 'u', '01 02 03'],
    ['an array offset beyond its table', 'as', '69 00 63 61 6e 00 02 09'],
    ['array offsets that go back', 'as', '69 00 63 61 6e 00 06 02'],
    ['an array of fixed size that does not add up', 'ai', '01 02 03 04 05'],
    ['a tuple offset beyond its end', '(si)', '66 6f 6f 00 ff ff ff ff 20'],
    ['a tuple without room for its number', '(si)', '66 6f 6f 00 ff ff 04'],
    ['an empty tuple of variable size', '(ss)', ''],
    ['a variant without a type', 'v', '68 69'],
    ['a variant with two types', 'v', '68 69 00 00 73 73'],
    ['a variant of an unknown type', 'v', '68 69 00 00 5a'],
    ['a variant whose type has no end', 'v', '68 69 00 00 28 73'],
  ])('%s is refused', (_, type, hex) => {
    expect(() => parse(type, bytes(hex))).toThrow(expect.objectContaining({ code: 'bad-variant' }))
  })

  test('variants within variants within … are refused before the stack is full', () => {
    expect(() => parse('v', Buffer.from(`x${'\0v'.repeat(100_000)}`, 'latin1'))).toThrow(Failure)
  })

  test('any bytes give a value or a Failure', () => {
    const types = ['(a{sv}aya(say)sstayay)', '(a(say)a(sayay))', '(uuua(ayay))', 'a(uayttay)', 'v']
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 300 }), (type, data) => {
        try {
          parse(type, Buffer.from(data))
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
