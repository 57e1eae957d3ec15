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
    'memory at most': false,
    'RSS of all processes added up, at most': false,
    'making a full package, against RAUC': true,
    '`superblock status`': false,
    '`superblock --version`': true,
  })
})

test('tables and picture name every contender, with its ratio to ours', () => {
  const all = results([measured('superblock', 'update', 1, 2), measured('RAUC', 'update', 1, 9)])
  const text = markdown(all)
  expect(text).toMatch(/^\| RAUC \| 9\.00 \| 4\.50 × \|/m)
  expect(text).toMatch(/`superblock status`.*\*\*missed\*\*/)
  expect(plot(all)).toMatch(/<svg.*RAUC.*9\.00 s.*<\/svg>/s)
})
