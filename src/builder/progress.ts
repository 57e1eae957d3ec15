/** Progress of long work on standard error: a bar on a terminal, else a line now and then, so that a build's log shows it lives. */
import { bytes } from '../base/text.ts'

/** Called with what is done and what there is to do, in bytes. */
export type OnProgress = (done: number, total: number) => void

/** The part of a stream that is used. */
export interface Screen {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

const BAR = 24
/** Milliseconds between two drawings, and between two lines of a log. */
const FRAME = 200
const LINE = 10_000

/** Show that `label` is under way on `screen` until `task` ends; work that never counts shows for how long it goes on. */
export async function showProgress<T>(
  screen: Screen,
  label: string,
  task: (on: OnProgress) => Promise<T>,
  now: () => number = Date.now,
): Promise<T> {
  const began = now()
  let counted: { done: number; total: number } | undefined
  const state = () => (counted ? amount(counted.done, counted.total) : `${Math.round((now() - began) / 1000)} s`)
  const draw = () => {
    const line = `${label} ${counted ? `${bar(counted.done / (counted.total || 1))} ` : ''}${state()}`
    if (screen.isTTY) screen.write(`\r\x1b[K${line.slice(0, (screen.columns ?? 80) - 1)}`)
    else screen.write(`${label}: ${state()}\n`)
  }
  const timer = setInterval(draw, screen.isTTY ? FRAME : LINE)
  try {
    return await task((done, total) => {
      counted = { done, total }
    })
  } finally {
    clearInterval(timer)
    if (screen.isTTY) screen.write('\r\x1b[K')
  }
}

const amount = (done: number, total: number) =>
  `${total ? Math.floor((done / total) * 100) : 100} % (${bytes(done)} of ${bytes(total)})`

function bar(part: number): string {
  const full = Math.round(Math.min(1, part) * BAR)
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`
}
