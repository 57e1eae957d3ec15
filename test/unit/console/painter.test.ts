/** The painter against a real terminal emulator: what is on the screen is the last frame, whatever was there before. */
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Terminal } from '@xterm/headless'
import { expect, test, vi } from 'vitest'
import { makePainter, repaint } from '../../../src/console/painter.ts'

const lines = (terminal: Terminal) =>
  Array.from({ length: terminal.rows }, (_, row) => terminal.buffer.active.getLine(row)?.translateToString(true) ?? '')

function screen() {
  const terminal = new Terminal({ cols: 20, rows: 5, allowProposedApi: true })
  let written = ''
  const out = Object.assign(new EventEmitter(), {
    columns: 20,
    rows: 5,
    write(text: string) {
      written += text
      terminal.write(text)
      return true
    },
  }) as unknown as NodeJS.WriteStream
  return { terminal, out, written: () => written }
}

test('only lines that changed are written', () => {
  expect(repaint(['a', 'b', 'c'], ['a', 'B', 'c'])).toBe('\u001b[2;1H\u001b[2KB')
  expect(repaint(['a', 'b'], ['a', 'b'])).toBe('')
})

test('frames of any height follow each other without leaving anything behind', async () => {
  const { terminal, out } = screen()
  const { stream } = makePainter(out)
  for (const frame of ['one\ntwo\nthree\nfour', 'one\n2', `${'='.repeat(20)}\nx\n${'-'.repeat(20)}`]) {
    stream.write(frame)
    await vi.waitFor(() => expect(lines(terminal).join('\n').trimEnd()).toBe(frame))
  }
})

test('of many frames in a burst the last one is shown, and few are painted', async () => {
  const { terminal, out, written } = screen()
  const { stream } = makePainter(out)
  for (let i = 0; i <= 500; i++) stream.write(`frame ${i}`)
  await vi.waitFor(() => expect(lines(terminal)[0]).toBe('frame 500'))
  expect(written().match(/frame/g)?.length).toBeLessThan(10)
})

test('another size means painting everything again', async () => {
  const { terminal, out } = screen()
  const { stream } = makePainter(out)
  stream.write('same\nlines')
  const isShown = () => vi.waitFor(() => expect(lines(terminal).slice(0, 2)).toEqual(['same', 'lines']))
  await isShown()
  await new Promise<void>(done => terminal.write('\u001b[2J', done))
  expect(lines(terminal)[0]).toBe('')
  Object.assign(out, { rows: 6 })
  stream.write('same\nlines')
  await isShown()
})

test('what something else wrote over the screen is painted over when asked for', async () => {
  const { terminal, out } = screen()
  const { stream, again } = makePainter(out)
  stream.write('one\ntwo')
  await vi.waitFor(() => expect(lines(terminal)[1]).toBe('two'))
  terminal.write('\u001b[Husb 1-1')
  await vi.waitFor(() => expect(lines(terminal)[0]).toMatch(/^usb/))
  again()
  await vi.waitFor(() => expect(lines(terminal).slice(0, 2)).toEqual(['one', 'two']))
})

test('after the stop nothing is painted, and who waits for a write is told', async () => {
  const { out, written } = screen()
  const painter = makePainter(out)
  painter.stop()
  await new Promise<void>(resolve => painter.stream.write('late', () => resolve()))
  await sleep(120)
  expect(written()).toBe('')
})
