/** The account of a trial: which ends of a start speak against a release, and which do not. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  account,
  count,
  dropLedger,
  hasFailed,
  type Ledger,
  newLedger,
  readLedger,
  type Start,
  writeLedger,
} from '../../../src/boot/ledger.ts'

const fresh = newLedger({
  target: { deployment: 'c.0', release: '' },
  ...{ tries: 3, patience: 10, deadline: 900, reboot: ['reboot'], watchdog: true, crashes: ['dmesg-0 1'] },
})

/** What the next start finds, when this one ended like that; `silent` are starts in between that never reached user space. */
type Past = { watchdog?: boolean; crash?: string; late?: boolean; silent?: number }

let boots = 0
function startAfter(ledger: Ledger, { watchdog = false, crash, late, silent = 0 }: Past = {}): Ledger {
  const before = late && ledger.last ? { ...ledger, last: { ...ledger.last, late } } : ledger
  const start: Start = {
    ...{ bootId: `boot ${++boots}`, watchdog },
    tries: before.granted - 1 - silent,
    crashes: [...before.crashes, ...(crash ? [crash] : [])],
  }
  return count(before, start)
}
const trial = (...past: Past[]) => past.reduce(startAfter, startAfter(fresh))

describe('ends', () => {
  test('the first start has none behind it, even if the watchdog fired in the release before', () => {
    const first = startAfter(fresh, { watchdog: true })
    expect(account(first)).toBe('')
    expect(first.granted).toBe(3)
  })

  test.each<[string, Past[], string, number, boolean]>([
    ['three power cuts', [{}, {}, {}], '3 without a trace', 3, false],
    ['ten power cuts', Array(10).fill({}), '10 without a trace', 3, false],
    ['eleven', Array(11).fill({}), '11 without a trace', 3, true],
    ['the watchdog, once', [{ watchdog: true }], '1 by the watchdog', 2, false],
    ['the watchdog, three times', Array(3).fill({ watchdog: true }), '3 by the watchdog', 0, true],
    ['a crash', [{ crash: 'dmesg-1 2' }], '1 in a crash of the kernel', 2, false],
    ['no verdict', [{ late: true }], '1 without a verdict in time', 2, false],
    [
      'no verdict, and the watchdog in the reboot',
      [{ late: true, watchdog: true }],
      '1 without a verdict in time',
      2,
      false,
    ],
    [
      'of each one',
      [{ watchdog: true }, { crash: 'dmesg-1 2' }, { late: true }],
      '1 by the watchdog, 1 in a crash of the kernel, 1 without a verdict in time',
      0,
      true,
    ],
    ['cuts between', [{}, { watchdog: true }, {}, {}], '1 by the watchdog, 3 without a trace', 2, false],
    ['a start that came here after one that did not', [{ silent: 1 }], '2 without a trace', 3, false],
    [
      'the watchdog ended the silent one',
      [{ silent: 1, watchdog: true }],
      '1 by the watchdog, 1 without a trace',
      2,
      false,
    ],
  ])('%s', (_, past, said, granted, failed) => {
    const ledger = trial(...past)
    expect(account(ledger)).toBe(`starts that ended: ${said}`)
    expect([ledger.granted, hasFailed(ledger)]).toEqual([granted, failed])
  })

  test('a crash is counted once, however long its record stays', () => {
    const once = trial({ crash: 'dmesg-1 2' })
    expect(account(startAfter(once))).toBe('starts that ended: 1 in a crash of the kernel, 1 without a trace')
  })

  test('a start is counted once, however often the program runs in it', () => {
    const ledger = trial({})
    const again = count(ledger, { bootId: `boot ${boots}`, tries: 0, watchdog: true, crashes: [] })
    expect(again).toEqual(ledger)
  })

  test('starts that never came here count from the first on', () =>
    expect(account(startAfter(fresh, { silent: 2 }))).toBe('starts that ended: 2 without a trace'))
})

describe('the file', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('is written, read and dropped', async () => {
    expect(await readLedger(folder)).toBeUndefined()
    await dropLedger(folder)
    await writeLedger(folder, fresh)
    expect(await readLedger(folder)).toEqual(fresh)
    await dropLedger(folder)
    expect(await readdir(folder)).toEqual([])
  })

  test.each(['', '{', '[]', '{"format":1}', '{"format":2}', 'null'])('%j is no account', async text => {
    await writeFile(join(folder, 'trial.json'), text)
    expect(await readLedger(folder)).toBeUndefined()
  })
})
