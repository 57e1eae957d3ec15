/** What is shown while something takes long, on a terminal and in the log of a build. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { showProgress } from '../../../src/builder/progress.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function screen(isTTY: boolean, columns?: number) {
  const shown: string[] = []
  return { isTTY, columns, shown, write: (text: string) => shown.push(text) }
}

const pause = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000)

test('a log gets a line now and then, and none for short work', async () => {
  const log = screen(false)
  await showProgress(log, 'packing', async () => pause(5))
  expect(log.shown).toEqual([])
  await showProgress(log, 'packing', async on => {
    on(25_000_000, 100_000_000)
    await pause(21)
  })
  expect(log.shown).toEqual(['packing: 25 % (25.0 MB of 100 MB)\n', 'packing: 25 % (25.0 MB of 100 MB)\n'])
})

test('work that cannot count shows for how long it goes on', async () => {
  const log = screen(false)
  await showProgress(log, 'committing', async () => pause(31))
  expect(log.shown).toEqual(['committing: 10 s\n', 'committing: 20 s\n', 'committing: 30 s\n'])
})

test('a terminal gets one line that is drawn anew, never wider than it, and wiped at the end', async () => {
  const terminal = screen(true, 40)
  await showProgress(terminal, 'packing', async on => {
    on(1, 2)
    await pause(1)
  })
  expect(terminal.shown.length).toBeGreaterThan(3)
  for (const text of terminal.shown) {
    expect(text.startsWith('\r\x1b[K')).toBe(true)
    expect(text.slice(4).length).toBeLessThan(40)
  }
  expect(terminal.shown[0]).toContain('packing [############............]')
  expect(terminal.shown.at(-1)).toBe('\r\x1b[K')
})

test('a failure ends it too', async () => {
  const log = screen(false)
  await expect(showProgress(log, 'packing', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await pause(60)
  expect(log.shown).toEqual([])
})
