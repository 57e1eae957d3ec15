/** Where a command writes to and asks: passed in, so that a command is a function of its arguments and its surroundings. */
import { safe, safeJson } from '../base/text.ts'

export interface Io {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean }
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  stderr: NodeJS.WritableStream & { isTTY?: boolean }
  env: NodeJS.ProcessEnv
}

/** One line to standard output. */
export const say = (io: Io, line = '') => void io.stdout.write(`${line}\n`)

/** A sentence about what went wrong. What it names comes from outside, or was typed: it is made safe here. */
export const complain = (io: Io, sentence: string) => void io.stderr.write(`superblock: ${safe(sentence, LONGEST)}\n`)
/** Letters of a sentence; those that the service makes are far shorter. */
const LONGEST = 2000

/** The answer of a command for programs. */
export const sayJson = (io: Io, value: unknown) => say(io, safeJson(JSON.stringify(value, null, 2)))

type Tint = 'good' | 'bad' | 'warn' | 'strong' | 'dim'
const CODES: Record<Tint, string> = { good: '32', bad: '31', warn: '33', strong: '1', dim: '2' }

/** Colour as an extra sign only: the words alone say everything, and nothing but a willing terminal gets escapes. */
export function tint(io: Io, kind: Tint, text: string): string {
  const plain = !io.stdout.isTTY || io.env.NO_COLOR !== undefined || io.env.TERM === 'dumb'
  return plain ? text : `\u001b[${CODES[kind]}m${text}\u001b[0m`
}

/** Whether a person can be asked. */
export const canAsk = (io: Io): boolean => io.stdin.isTTY === true && io.stdout.isTTY === true

/** @returns the line typed, trimmed; empty where the input ended */
export async function ask(io: Io, question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises') // most commands ask nothing
  const reader = createInterface({ input: io.stdin, output: io.stdout })
  try {
    return await new Promise<string>((resolve, reject) => {
      reader.once('close', () => resolve(''))
      reader.once('SIGINT', () => reader.close())
      reader.question(question).then(line => resolve(line.trim()), reject)
    })
  } finally {
    reader.close()
  }
}

/** Columns as wide as their widest cell; the last one is not padded. Cells are made safe here. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows.map(row => row.map(cell => safe(cell)))]
  const widths = header.map((_, column) => Math.max(...all.map(row => [...(row[column] ?? '')].length)))
  return all.map(row =>
    row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - [...cell].length),
      )
      .join('  ')
      .trimEnd(),
  )
}

/** A safe rendering of text with lines of its own, each indented. */
export const paragraph = (text: string, indent = '  '): string[] =>
  text
    .slice(0, 4000)
    .trimEnd()
    .split('\n')
    .slice(0, 40)
    .map(line => `${indent}${safe(line)}`)

export const short = (hex: string): string => safe(hex.slice(0, 12))
