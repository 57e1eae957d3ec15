/** Surroundings of a command in a test: what it writes is kept, what a person would type is given. */
import { PassThrough } from 'node:stream'
import type { Io } from '../../src/cli/io.ts'
import { runProgram } from '../../src/cli/program.ts'

export interface Ran {
  status: number
  out: string
  err: string
}

/** @param typed lines for a person at a terminal; without them there is no terminal */
export function makeIo(typed?: readonly string[]): { io: Io; out(): string; err(): string } {
  const streams = { stdout: new PassThrough(), stderr: new PassThrough(), stdin: new PassThrough() }
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    streams[name].on('data', chunk => {
      text[name] += chunk
    })
  const isTTY = typed !== undefined
  const lines = [...(typed ?? [])]
  // Each line is typed when it is asked for, as by a person.
  streams.stdout.on('data', chunk => {
    if (isTTY && /[:\]] $/.test(String(chunk)) && lines.length > 0) streams.stdin.write(`${lines.shift()}\n`)
  })
  const io: Io = {
    stdin: Object.assign(streams.stdin, { isTTY }),
    stdout: Object.assign(streams.stdout, { isTTY, columns: 80 }),
    stderr: Object.assign(streams.stderr, { isTTY }),
    env: { TERM: 'xterm', NO_COLOR: '1' },
  }
  return { io, out: () => text.stdout, err: () => text.stderr }
}

/** Runs one command line to its end. */
export async function superblock(argv: readonly string[], typed?: readonly string[]): Promise<Ran> {
  const { io, out, err } = makeIo(typed)
  const status = await runProgram(argv, '1.2.3', io)
  await new Promise(resolve => setImmediate(resolve))
  return { status, out: out(), err: err() }
}
