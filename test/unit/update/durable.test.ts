import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isThere } from '../../../src/base/files.ts'
import { openHistory, remembered } from '../../../src/update/history.ts'
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

describe('what a broken disk leaves of the history', () => {
  const path = () => join(folder, 'history.jsonl')

  it('bytes that are no text: the torn rest is cut where the last line ends, and nothing is added', async () => {
    const history = await openHistory(folder)
    await history.add('a', {})
    const whole = await readFile(path())
    const odd = Buffer.concat([Buffer.alloc(50, 0xff), Buffer.from('\n')])
    await writeFile(path(), Buffer.concat([whole, odd, Buffer.from('{"torn')]))
    await (await openHistory(folder)).add('b', {})
    const after = await readFile(path())
    expect(after.subarray(0, whole.length + odd.length)).toEqual(Buffer.concat([whole, odd]))
    expect(after.includes(0)).toBe(false)
    expect((await (await openHistory(folder)).entries()).map(entry => entry.event)).toEqual(['a', 'unreadable', 'b'])
  })
  it.each(['null', '5', '[]', '{"a":1}', 'x'])('a line %s is unreadable and breaks the chain', async line => {
    await writeFile(path(), `${line}\n`)
    const history = await openHistory(folder)
    expect(await history.entries()).toMatchObject([{ event: 'unreadable' }])
    expect(await history.verify()).toMatchObject({ ok: false, brokenAt: 1 })
  })
  it('a folder in its place is set aside', async () => {
    await mkdir(path())
    const history = await openHistory(folder)
    await history.add('a', {})
    expect(await history.verify()).toEqual({ ok: true, lines: 1 })
  })
  it('the highest epoch found good and the newest release are remembered', () => {
    const entry = (event: string, epoch: unknown, timestamp: unknown) => ({ at: '', event, epoch, timestamp, prev: '' })
    expect(
      remembered([
        entry('good', 3, '2026-02-01T00:00:00Z'),
        entry('failed', 9, '2026-09-01T00:00:00Z'),
        entry('good', 'x', 7),
        entry('installed', 9, '2026-03-01T00:00:00Z'),
      ]),
    ).toEqual({ epochFloor: 3, newest: '2026-02-01T00:00:00Z' })
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
  const whole = { format: 1, state: { at: 'idle' }, newest: '', epochFloor: 0, left: {}, disowned: [], health: null }
  it.each([
    { state: { at: 'installing' } },
    { state: { at: 'bogus' } },
    { state: { at: 'done' } },
    { state: { at: 'failed', job: {} } },
    { left: null },
    { epochFloor: 'abc' },
    { epochFloor: -5 },
    { epochFloor: undefined },
    { newest: 'yesterday' },
  ])('that reads but cannot be is set aside: %j', async change => {
    await writeFile(join(folder, 'state.json'), JSON.stringify({ ...whole, ...change }))
    const journal = await openJournal(folder)
    expect(journal.damaged).toBeDefined()
    expect(journal.read()).toEqual(whole)
  })
  it('in whose place there is a folder is set aside', async () => {
    await mkdir(join(folder, 'state.json'))
    const journal = await openJournal(folder)
    await journal.write({ epochFloor: 2 })
    expect((await openJournal(folder)).read().epochFloor).toBe(2)
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
