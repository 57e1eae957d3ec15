/**
 * Puts whole frames on a terminal by writing only the lines that changed, each at its place. Ink 6.8 can do that too, but
 * counts one line short when a frame is lower than the terminal, and at full height clears the screen for every frame.
 */

/** Milliseconds between two paintings: what changes faster is not readable and would flood a serial line. */
const PAUSE = 80
/** Milliseconds after which a terminal that was resized has rearranged its lines, and the frame has followed. */
const SETTLED = 250

export interface Painter {
  /** given to Ink in place of standard output: in its debug mode each write is one whole frame */
  stream: NodeJS.WriteStream
  /** paint all of the last frame again: something else wrote on the terminal */
  again(): void
  /** paint nothing more */
  stop(): void
}

export function makePainter(out: NodeJS.WriteStream): Painter {
  let shown: string[] = []
  let size = ''
  let due: string[] | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  const paint = () => {
    timer = undefined
    if (due === undefined || stopped) return
    const lines = due
    due = undefined
    const now = `${out.columns}x${out.rows}`
    let text = ''
    if (now !== size) {
      text = '\u001b[2J'
      shown = []
      size = now
    }
    text += repaint(shown, lines)
    shown = lines
    if (text) out.write(text)
    timer = setTimeout(paint, PAUSE)
  }
  const write = (frame: string, ...rest: unknown[]): boolean => {
    if (frame !== '') due = frame.split('\n')
    if (timer === undefined) paint()
    const done = rest.at(-1)
    if (typeof done === 'function') setImmediate(done as () => void)
    return true
  }
  const stream = new Proxy(out, {
    get(target, key) {
      if (key === 'write') return write
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const again = () => {
    due ??= shown
    shown = []
    if (timer === undefined) paint()
  }
  // A terminal wraps what it has when it becomes narrower, also a frame that was on its way: all is painted once more.
  let settling: NodeJS.Timeout | undefined
  const resized = () => {
    clearTimeout(settling)
    settling = setTimeout(() => {
      size = ''
      again()
    }, SETTLED)
  }
  out.on('resize', resized)
  return {
    stream,
    again,
    stop() {
      stopped = true
      clearTimeout(timer)
      clearTimeout(settling)
      out.off('resize', resized)
    },
  }
}

/**
 * The bytes that turn one frame into the next. A line is erased before it is written: erasing to the right of a line that
 * fills its row would take the last letter off.
 */
export function repaint(before: readonly string[], after: readonly string[]): string {
  let text = ''
  for (const [row, line] of after.entries()) if (line !== before[row]) text += `\u001b[${row + 1};1H\u001b[2K${line}`
  for (let row = after.length; row < before.length; row++) text += `\u001b[${row + 1};1H\u001b[2K`
  return text
}
