/** A program on a real pseudo terminal, and what a person would see there. */
import { setTimeout as sleep } from 'node:timers/promises'
import { spawn } from '@lydell/node-pty'
import { Terminal } from '@xterm/headless'
import { drawing } from './drawing.ts'

export interface Screen {
  /** bytes that the program wrote so far */
  written(): number
  text(): string
  /** the same as a picture, with its colours */
  svg(): string
  /** whether the second screen is shown */
  isAlternate(): boolean
  /** whether the program hid the cursor and did not show it again */
  isCursorHidden(): boolean
  /** waits until the screen matches; fails with the screen as it is after 40 s */
  sees(words: RegExp): Promise<void>
  press(...keys: string[]): Promise<void>
  /** something else writes on the terminal */
  scribble(text: string): void
  resize(columns: number, rows: number): void
  kill(signal: string): void
  /** the exit status, once it ended */
  ended: Promise<number>
}

/** Wait until the text that is shown matches. @throws Error with that text after 40 s */
export async function sees(text: () => string, words: RegExp): Promise<void> {
  for (const end = performance.now() + 40_000; performance.now() < end; await sleep(30)) if (words.test(text())) return
  throw new Error(`cannot see ${words} on the screen:\n${text()}`)
}

export const KEYS = {
  enter: '\r',
  esc: '\u001b',
  up: '\u001b[A',
  down: '\u001b[B',
  ctrlC: '\u0003',
  ctrlZ: '\u001a',
  erase: '\u007f',
}

/** The language of whoever runs the tests is not that of the console. */
export const NO_LOCALE = { LC_ALL: '', LC_CTYPE: '', LC_MESSAGES: '' }

export function openTerminal(
  argv: readonly string[],
  options: { columns?: number; rows?: number; env?: Record<string, string | undefined> } = {},
): Screen {
  const { columns = 80, rows = 24 } = options
  const [command = '', ...rest] = argv
  const env = { ...process.env, ...NO_LOCALE, TERM: 'xterm-256color', LANG: 'C.UTF-8', ...options.env }
  const terminal = new Terminal({ cols: columns, rows, allowProposedApi: true })
  const child = spawn(command, rest, { cols: columns, rows, env, name: env.TERM })
  let size = 0
  let hidden = false
  child.onData(data => {
    size += Buffer.byteLength(data)
    const at = [data.lastIndexOf('\u001b[?25l'), data.lastIndexOf('\u001b[?25h')] as const
    if (at[0] !== at[1]) hidden = at[0] > at[1]
    terminal.write(data)
  })
  const ended = new Promise<number>(resolve =>
    child.onExit(({ exitCode, signal }) => resolve(signal ? 128 + signal : exitCode)),
  )
  const text = () => {
    const { active } = terminal.buffer
    return Array.from({ length: terminal.rows }, (_, row) =>
      (active.getLine(active.viewportY + row)?.translateToString(true) ?? '').trimEnd(),
    ).join('\n')
  }
  return {
    written: () => size,
    text,
    svg: () => drawing(terminal),
    isAlternate: () => terminal.buffer.active.type === 'alternate',
    isCursorHidden: () => hidden,
    sees: words => sees(text, words),
    async press(...keys) {
      for (const key of keys) {
        child.write(key)
        await sleep(100) // an Escape is told from the start of an arrow by the pause after it
      }
    },
    scribble: text => terminal.write(text),
    resize(wide, high) {
      terminal.resize(wide, high)
      child.resize(wide, high)
    },
    kill: signal => child.kill(signal),
    ended,
  }
}
