/** What the benchmark makes of its measurements: medians, ratios, and the verdict on the budget. */
import { expect, test } from 'vitest'
import { budget } from '../../../bench/budget.ts'
import { plot } from '../../../bench/plot.ts'
import { type Measured, markdown, median, medians, type Results } from '../../../bench/report.ts'

const MB = 1e6

function measured(contender: string, scenario: string, round: number, seconds: number, more: Partial<Measured> = {}) {
  const figures = { cpu: 1, memory: 100 * MB, rss: 160 * MB, read: 3 * MB, written: 7 * MB, load: 0, steps: undefined }
  return { size: 300, scenario, contender, round, seconds, ...figures, ...more } satisfies Measured
}

const results = (runs: Measured[]): Results => ({
  command: 'npm run bench',
  date: '2026-01-01T00:00:00Z',
  machine: { processor: 'one', cores: 2, memory: 2 ** 30, kernel: '6', system: 'Debian', versions: { ostree: '1' } },
  sizes: [{ size: 300, name: '370 MB', tree: 370 * MB, ways: [{ from: '1', to: '2', files: 233, bytes: 6 * MB }] }],
  packages: [
    { size: 300, contender: 'superblock', way: { from: '0', to: '1' }, bytes: 200 * MB, seconds: 2, head: 9 * MB },
    { size: 300, contender: 'superblock', way: { from: '1', to: '2' }, bytes: 200 * MB, seconds: 2, head: MB },
    { size: 300, contender: 'RAUC', way: { from: '0', to: '1' }, bytes: 200 * MB, seconds: 20, head: undefined },
  ],
  startUps: [{ 'superblock status': 0.3, 'superblock --version': 0.1 }],
  runs,
  leftOut: [],
})

test('a median is the middle, or between the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
})

test('medians are taken for each contender in each scenario alone', () => {
  const runs = [1, 9, 2].map((seconds, at) => measured('superblock', 'update', at, seconds))
  const all = medians([...runs, measured('RAUC', 'update', 1, 8), measured('superblock', 'full installation', 1, 20)])
  expect(all.map(one => [one.contender, one.scenario, one.seconds, one.runs])).toEqual([
    ['superblock', 'update', 2, 3],
    ['RAUC', 'update', 8, 1],
    ['superblock', 'full installation', 20, 1],
  ])
})

test('the budget is held against the fastest image-based contender, and what cannot be judged is left out', () => {
  const runs = [
    measured('superblock', 'update', 1, 2, { read: 3.7 * MB, written: 9 * MB, memory: 151 * MB }),
    measured('RAUC', 'update', 1, 12),
    measured('SWUpdate', 'update', 1, 10),
    measured('sha256sum', 'update', 1, 0.1, { read: 2 * MB }),
  ]
  const lines = budget(results(runs))
  const verdicts = Object.fromEntries(
    lines.map(line => [line.what.replace('370 MB: ', ''), line.measured <= line.limit]),
  )
  expect(verdicts).toEqual({
    'update, against SWUpdate': true,
    'update, written, of what changed': false,
    'update, read, of the changed objects and the head': false,
    'memory, largest median': false,
    'RSS of all processes added up, largest median': false,
    'making a full package, against RAUC': true,
    '`superblock status`': false,
    '`superblock --version`': true,
  })
})

test('each line of the budget is what it is asked to be', () => {
  const runs = [
    measured('superblock', 'full installation', 1, 4),
    measured('ostree delta', 'full installation', 1, 10),
    measured('RAUC', 'full installation', 1, 5),
    measured('superblock', 'update', 1, 2, { read: 3 * MB, written: 9 * MB }),
    measured('ostree delta', 'update', 1, 1.6),
    measured('casync', 'update', 1, 8),
    measured('sha256sum', 'update', 1, 0.1, { read: 2 * MB }),
    measured('superblock', 'update, stick of 20 MB/s', 1, 3),
    measured('Mender', 'update, stick of 20 MB/s', 1, 20),
    // Of another system, whose lines are its own.
    { ...measured('RAUC', 'update', 1, 1), size: 1000 as const },
  ]
  const packages = results([]).packages
  const delta = { size: 300, contender: 'ostree delta', way: { from: '0', to: '1' }, bytes: MB, seconds: 50 } as const
  const lines = budget({ ...results(runs), packages: [...packages, { ...delta, head: undefined }] })
  expect(lines.map(({ what, limit, measured }) => [what, limit, measured].join(' | '))).toEqual([
    '370 MB: update, against casync | 0.25 | 0.25',
    '370 MB: update, against ostree delta | 1.3 | 1.25',
    '370 MB: update, stick of 20 MB/s, against Mender | 0.1 | 0.15',
    '370 MB: full installation, against ostree delta | 0.5 | 0.4',
    '370 MB: full installation, against RAUC | 1.5 | 0.8',
    '370 MB: update, written, of what changed | 7.800000000000001 | 9',
    '370 MB: update, read, of the changed objects and the head | 3.5999999999999996 | 3',
    '370 MB: memory, largest median | 150 | 100',
    '370 MB: RSS of all processes added up, largest median | 150 | 160',
    '370 MB: making a full package, against RAUC | 0.2 | 0.1',
    '370 MB: making a full package, against ostree delta | 0.2 | 0.04',
    '`superblock status` | 0.25 | 0.3',
    '`superblock --version` | 0.12 | 0.1',
  ])
})

test('who was left out is named, and why', () => {
  const leftOut = [
    { contender: 'RAUC', why: 'not installed: rauc' },
    { size: 1000 as const, contender: 'Mender', why: 'cannot measure Mender\nin all detail' },
  ]
  const text = markdown({ ...results([measured('superblock', 'update', 1, 2)]), leftOut })
  expect(text).toContain('RAUC was left out: not installed: rauc.')
  expect(text).toContain('Mender was left out from 1000 MB on, since it did not work here: cannot measure Mender.')
})

test('tables and picture name every contender, with its ratio to ours', () => {
  const all = results([measured('superblock', 'update', 1, 2), measured('RAUC', 'update', 1, 9)])
  const text = markdown(all)
  expect(text).toMatch(/^\| RAUC \| 9\.00 \| 4\.50 × \|/m)
  expect(text).toMatch(/`superblock status`.*\*\*missed\*\*/)
  expect(plot(all)).toMatch(/<svg.*RAUC.*9\.00 s.*<\/svg>/s)
})
