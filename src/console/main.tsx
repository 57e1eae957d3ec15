/** The console as a program: takes the terminal over and gives it back on every way out. */
import { writeSync } from 'node:fs'
import { render } from 'ink'
import { keepHeapSmall } from '../base/heap.ts'
import { connect } from '../control/client.ts'
import { App } from './app.tsx'
import { glyphsFor, hasColour } from './glyphs.ts'
import { MARK_PASTE, UNMARK_PASTE } from './keys.ts'
import { makePainter } from './painter.ts'
import { texts } from './texts.ts'

/** Has the Linux console read UTF-8, whatever it was told before. */
const UTF8 = '\u001b%G'
const ENTER = `\u001b[?1049h\u001b[?25l\u001b[2J\u001b[H${MARK_PASTE}`
/** Attributes off, cleared for terminals that have no second screen, back to the first, the cursor shown. */
const LEAVE = `${UNMARK_PASTE}\u001b[0m\u001b[2J\u001b[H\u001b[?1049l\u001b[?25h`

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const

/** Milliseconds after which the device's own console is painted anew: the kernel writes its messages over it. */
const REFRESH = 15_000

/**
 * Shows the console until it is left.
 * @param options.kiosk it is the device's own console: no key leaves it
 * @returns the exit status: 0 when it was left by a key, 128 + n after signal n
 * @throws what the console broke on, with the terminal given back
 */
export async function main(socket: string, { kiosk }: { kiosk: boolean }): Promise<number> {
  keepHeapSmall()
  const { env, stdout } = process
  let status = 0
  let left = false
  const leave = () => {
    if (left) return
    left = true
    try {
      writeSync(1, LEAVE)
    } catch {} // the terminal is gone
  }
  let onBroken: (error: unknown) => void = () => {}
  const broken = new Promise<never>((_, reject) => {
    onBroken = reject
  })
  const ignore = () => {}
  process.on('exit', leave)
  process.on('uncaughtException', onBroken)
  process.on('unhandledRejection', onBroken)
  process.on('SIGTSTP', ignore) // a stopped console would leave the terminal in raw mode
  stdout.on('error', ignore) // a terminal that was hung up
  writeSync(1, env.TERM === 'linux' ? `${UTF8}${ENTER}` : ENTER)
  const painter = makePainter(stdout)
  const look = { t: texts(env), glyphs: glyphsFor(env), colour: hasColour(env), kiosk }
  const refreshing = kiosk ? setInterval(painter.again, REFRESH) : undefined
  const app = render(<App client={connect(socket)} look={look} onRedraw={painter.again} />, {
    stdout: painter.stream,
    debug: true, // whole frames, see painter.ts
    exitOnCtrlC: false,
    patchConsole: false,
  })
  const onSignal = (signal: NodeJS.Signals) => {
    status = 128 + SIGNALS[signal as keyof typeof SIGNALS]
    app.unmount()
  }
  for (const signal of Object.keys(SIGNALS)) process.on(signal, onSignal)
  try {
    await Promise.race([app.waitUntilExit(), broken])
    return status
  } finally {
    clearInterval(refreshing)
    painter.stop()
    app.unmount()
    leave()
    for (const signal of Object.keys(SIGNALS)) process.off(signal, onSignal)
    process
      .off('exit', leave)
      .off('uncaughtException', onBroken)
      .off('unhandledRejection', onBroken)
      .off('SIGTSTP', ignore)
  }
}
