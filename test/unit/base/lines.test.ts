import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { onLines } from '../../../src/base/lines.ts'

it('cuts at line ends and nowhere else, wherever the pieces were cut', () => {
  const stream = new PassThrough()
  const lines: string[] = []
  onLines(stream, line => lines.push(line))
  const bytes = Buffer.from('{"name":"a\u2028b\u2029c\rd grün"}\n\nlast\nunfinished')
  for (const byte of bytes) stream.write(Buffer.of(byte))
  return new Promise<void>(resolve => setImmediate(resolve)).then(() =>
    expect(lines).toEqual(['{"name":"a\u2028b\u2029c\rd grün"}', '', 'last']),
  )
})
