/** A program on a real Linux virtual terminal, read back as the kernel holds it: the letters, and the glyphs of the font. */
import { once } from 'node:events'
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import koffi from 'koffi'
import { start } from '../../src/base/run.ts'
import { sees } from './terminal.ts'

/** Far from those that people use. */
const VT = 61
const TIOCSTI = 0x5412
const VT_DISALLOCATE = 0x5608
/** Code page 437's square: what the kernel shows for a letter that its font lacks. None of our screens has a square. */
const MISSING = 0xfe

/** Why there is none to be had here; undefined where there is. */
export function noVt(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root may use one'
  try {
    accessSync('/dev/tty0', constants.R_OK | constants.W_OK)
    closeSync(openSync(`/dev/tty${VT}`, constants.O_RDWR | constants.O_NOCTTY))
    readFileSync(`/dev/vcsu${VT}`)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

export interface VirtualTerminal {
  /** what is written there, in lines */
  text(): string
  /** how many letters are shown as the sign for a missing one */
  missing(): number
  /** waits until the screen matches; fails with the screen as it is after 10 s */
  sees(words: RegExp): Promise<void>
  /** as if typed on its keyboard */
  press(...keys: string[]): Promise<void>
  close(): Promise<void>
}

export function openVt(argv: readonly string[], env: Record<string, string>): VirtualTerminal {
  const ioctl = koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request, const char *argument)')
  const path = `/dev/tty${VT}`
  const file = openSync(path, constants.O_RDWR | constants.O_NOCTTY)
  // A session of its own, with the terminal to control it.
  const child = start(['setsid', '--ctty', ...argv], [file, file, 'inherit'], { TERM: 'linux', ...env })
  const ended = once(child, 'exit')
  const columns = 80
  const text = () => {
    const letters = readFileSync(`/dev/vcsu${VT}`)
    let all = ''
    for (let at = 0; at < letters.length; at += 4) {
      all += String.fromCodePoint(letters.readUInt32LE(at))
      if ((at / 4 + 1) % columns === 0) all += '\n'
    }
    return all.replaceAll(/ +$/gm, '')
  }
  return {
    text,
    missing: () => readFileSync(`/dev/vcs${VT}`).filter(glyph => glyph === MISSING).length,
    sees: words => sees(text, words),
    async press(...keys) {
      for (const key of keys) {
        for (const byte of key) if (ioctl(file, TIOCSTI, byte) !== 0) throw new Error('cannot type')
        await sleep(150)
      }
    },
    async close() {
      child.kill('SIGTERM')
      await ended
      closeSync(file)
      const console = openSync('/dev/tty0', constants.O_RDWR | constants.O_NOCTTY)
      for (let tries = 0; tries < 50 && ioctl(console, VT_DISALLOCATE, koffi.as(VT as never, 'char *')) !== 0; tries++)
        await sleep(20)
      closeSync(console)
    },
  }
}
