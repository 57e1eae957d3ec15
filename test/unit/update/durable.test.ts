import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isThere } from '../../../src/base/files.ts'
import { openHistory } from '../../../src/update/history.ts'
import { openJournal } from '../../../src/update/journal.ts'
import { evenIfFull, giveUpReserve, makeReserve } from '../../../src/update/reserve.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'durable-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('history', () => {
  const path = () => join(folder, 'history.jsonl')
  const fill = async (...events: string[]) => {
    const history = await openHistory(folder)
    await Promise.all(events.map(event => history.add(event, { version: '1' })))
    return history
  }

  it('chains its lines, also those added at once', async () => {
    const history = await fill('a', 'b', 'c')
    expect((await history.entries()).map(entry => entry.event)).toEqual(['a', 'b', 'c'])
    expect(await history.verify()).toEqual({ ok: true, lines: 3 })
  })
  it('goes on where it stopped', async () => {
    await fill('a')
    const again = await fill('b')
    expect(await again.verify()).toEqual({ ok: true, lines: 2 })
  })
  it.each([
    ['changed', (lines: string[]) => lines.map(line => line.replace('"event":"b"', '"event":"x"'))],
    ['taken out', (lines: string[]) => lines.filter(line => !line.includes('"event":"b"'))],
    ['swapped', ([a, b, ...rest]: string[]) => [b, a, ...rest]],
  ])('a line that was %s breaks the chain', async (_, change) => {
    const history = await fill('a', 'b', 'c', 'd')
    const lines = (await readFile(path(), 'utf8')).trimEnd().split('\n')
    await writeFile(path(), `${change(lines).join('\n')}\n`)
    expect(await history.verify()).toMatchObject({ ok: false })
  })
  it('a line torn by a power cut is taken off, and the chain goes on', async () => {
    await fill('a', 'b')
    await appendFile(path(), '{"at":"20')
    const history = await fill('c')
    expect((await history.entries()).map(entry => entry.event)).toEqual(['a', 'b', 'c'])
    expect(await history.verify()).toEqual({ ok: true, lines: 3 })
  })
})

describe('journal', () => {
  it('is there again after a restart', async () => {
    const journal = await openJournal(folder)
    await journal.write({ epochFloor: 4, left: { x: 'why' } })
    expect((await openJournal(folder)).read()).toMatchObject({
      epochFloor: 4,
      left: { x: 'why' },
      state: { at: 'idle' },
    })
  })
  it('writes in the order they were asked for', async () => {
    const journal = await openJournal(folder)
    await Promise.all([1, 2, 3, 4, 5].map(epochFloor => journal.write({ epochFloor })))
    expect((await openJournal(folder)).read().epochFloor).toBe(5)
  })
  it.each(['', '{"format":1', 'null', '{"format":2,"state":{"at":"idle"}}', '\u0000\u0000'])(
    'that cannot be understood is set aside: %j',
    async text => {
      await writeFile(join(folder, 'state.json'), text)
      const journal = await openJournal(folder)
      expect(journal.read().state).toEqual({ at: 'idle' })
      expect(await readFile(journal.damaged as string, 'utf8')).toBe(text)
    },
  )
})

describe('reserve', () => {
  it('has its size, is mended when it is short, and goes', async () => {
    await makeReserve(folder, 100_000)
    expect((await readFile(join(folder, 'reserve'))).length).toBe(100_000)
    await writeFile(join(folder, 'reserve'), 'short')
    await makeReserve(folder, 100_000)
    expect((await readFile(join(folder, 'reserve'))).length).toBe(100_000)
    await giveUpReserve(folder)
    await giveUpReserve(folder)
    expect(await isThere(join(folder, 'reserve'))).toBe(false)
  })
  it('is given up for a write that finds the disk full', async () => {
    await makeReserve(folder, 100)
    let tries = 0
    const write = async () => {
      tries++
      if (await isThere(join(folder, 'reserve'))) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return 'written'
    }
    expect(await evenIfFull(folder, write)).toBe('written')
    expect(tries).toBe(2)
  })
})
