/** Keys as terminals send them: apart, together over a slow line, pasted. */
import { Text, useInput } from 'ink'
import { cleanup, render } from 'ink-testing-library'
import { useState } from 'react'
import { afterEach, expect, test } from 'vitest'
import { makeKeys } from '../../../src/console/keys.ts'

afterEach(cleanup)

/** What becomes of bytes that arrive in these pieces. */
async function pressed(...pieces: string[]): Promise<string[]> {
  const all: string[] = []
  function Probe() {
    const [keys] = useState(makeKeys)
    useInput((input, key) => all.push(...keys(input, key)))
    return <Text>.</Text>
  }
  const { stdin } = render(<Probe />)
  await new Promise(resolve => setTimeout(resolve, 20))
  for (const piece of pieces) {
    stdin.write(piece)
    await new Promise(resolve => setTimeout(resolve, 40)) // an Escape is told from the start of an arrow by the pause
  }
  return all
}

test.each<[string, string[], string[]]>([
  ['letters', ['a', 'Q', 'ü'], ['a', 'Q', 'ü']],
  [
    'arrows',
    ['\u001b[A', '\u001b[B', '\u001bOA', '\u001b[5~', '\u001b[6~'],
    ['up', 'down', 'up', 'page-up', 'page-down'],
  ],
  [
    'Enter, Esc and the erase keys',
    ['\r', '\n', '\u001b', '\u007f', '\b'],
    ['enter', 'enter', 'esc', 'erase', 'erase'],
  ],
  ['Ctrl', ['\u0003', '\u000c', '\u001a', '\u0013'], ['ctrl-c', 'ctrl-l', '', '']],
  ['keys in one piece', ['\r\ry', 'p\u001b[B\r'], ['enter', 'enter', 'y', 'p', 'down', 'enter']],
  ['Esc and a letter in one piece', ['\u001br'], ['esc', 'r']],
  ['function keys and unknown sequences', ['\u001b[15~', '\u001b[99z', '\t'], ['', '', '']],
  ['brackets that are typed', ['[', 'a', ']'], ['[', 'a', ']']],
  ['what is pasted', ['\u001b[200~y\rq\u001b[201~', 'y'], ['\0y\rq', 'y']],
  ['a pasted Enter', ['\u001b[200~\r\u001b[201~'], []],
])('%s', async (_, pieces, keys) => expect(await pressed(...pieces)).toEqual(keys))
