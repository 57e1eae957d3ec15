/** Going on with an earlier run of the benchmark, and the page that its tables are put into. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeTables } from '../../../bench/page.ts'
import type { Results } from '../../../bench/report.ts'
import { addPackage, addSize, goOn, isMeasured } from '../../../bench/resume.ts'

let file: string
beforeEach(async () => {
  file = join(await mkdtemp(join(tmpdir(), 'bench-')), 'file')
})
afterEach(() => rm(join(file, '..'), { recursive: true }))

const figures = { seconds: 1, cpu: 1, memory: 1, rss: 1, read: 1, written: 1, load: 0, steps: undefined }
const results = (more: Partial<Results> = {}): Results => ({
  command: 'npm run bench',
  date: '2026-01-01T00:00:00Z',
  machine: { processor: 'one', cores: 2, memory: 2 ** 30, kernel: '6', system: 'Debian', versions: { ostree: '1' } },
  ...{ sizes: [], packages: [], startUps: [], runs: [], leftOut: [] },
  ...more,
})
const way = (from: '0' | '1', files: number) => ({ from, to: from === '0' ? '1' : '2', files, bytes: files }) as const
const size = (ways: ReturnType<typeof way>[], tree = 300) => ({ size: 300, name: '300 MB', tree, ways }) as const
const asSize = (one: ReturnType<typeof size>) => one as unknown as Results['sizes'][number]

test('what was measured before is there, and is not measured again', async () => {
  const run = { size: 300, scenario: 'update', contender: 'RAUC', round: 1 } as const
  const [small, large, missing] = [{ size: 300 as const }, { size: 1000 as const }, {}]
  const leftOut = [small, large, missing].map(of => ({ ...of, contender: 'Mender', why: 'it failed' }))
  await writeFile(file, JSON.stringify(results({ runs: [{ ...run, ...figures }], leftOut })))
  const now = results({ command: 'npm run bench -- --resume' })
  await goOn(now, file, [300])
  expect(now.command).toBe('npm run bench; npm run bench -- --resume')
  expect(now.leftOut, 'what is measured now is seen anew').toEqual([leftOut[1]])
  expect(isMeasured(now, run)).toBe(true)
  for (const other of [{ round: 2 }, { contender: 'casync' }, { scenario: 'full' }, { size: 1000 as const }])
    expect(isMeasured(now, { ...run, ...other })).toBe(false)
})

test('nobody goes on with what other versions have measured, or with what is no result', async () => {
  await writeFile(file, JSON.stringify(results()))
  const { machine } = results()
  const other = results({ machine: { ...machine, versions: { ostree: '2' } } })
  await expect(goOn(other, file, [])).rejects.toThrow(/other versions; name a new file/)
  await writeFile(file, '{"runs": [')
  await expect(goOn(results(), file, [])).rejects.toThrow(`cannot go on with ${file}: it is not a result`)
})

test('a part that is measured again leaves the rest of its size as it was known', () => {
  const all = results()
  addSize(all, asSize(size([way('0', 100), way('1', 5)])))
  addPackage(all, { size: 300, contender: 'RAUC', way: { from: '0', to: '1' }, bytes: 1, seconds: 9, head: undefined })
  addPackage(all, { size: 300, contender: 'RAUC', way: { from: '1', to: '2' }, bytes: 1, seconds: 8, head: undefined })
  addPackage(all, {
    size: 300,
    contender: 'casync',
    way: { from: '1', to: '2' },
    bytes: 1,
    seconds: 6,
    head: undefined,
  })
  addSize(all, asSize(size([way('1', 5)])))
  addPackage(all, { size: 300, contender: 'RAUC', way: { from: '1', to: '2' }, bytes: 1, seconds: 7, head: undefined })
  addPackage(all, { size: 1000, contender: 'RAUC', way: { from: '1', to: '2' }, bytes: 1, seconds: 5, head: undefined })
  expect(all.sizes).toEqual([size([way('0', 100), way('1', 5)])])
  expect(all.packages.map(one => one.seconds)).toEqual([9, 6, 7, 5])
})

test('runs with systems that are not the same are not put together', () => {
  const all = results()
  addSize(all, asSize(size([way('1', 5)])))
  expect(() => addSize(all, asSize(size([way('1', 6)])))).toThrow(/made anew since/)
  expect(() => addSize(all, asSize(size([way('0', 100)], 301)))).toThrow(/made anew since/)
})

test('tables replace the tables of before, and nothing else of a page', async () => {
  await writeTables(file, '| one |\n')
  await writeFile(file, `# Title\n\n${await readFile(file, 'utf8')}\nThe end.\n`)
  await writeTables(file, '| two |\n')
  expect(await readFile(file, 'utf8')).toBe('# Title\n\n<!-- results -->\n\n| two |\n\n<!-- /results -->\n\nThe end.\n')
  await writeFile(file, '# Something else\n')
  await expect(writeTables(file, '| three |\n')).rejects.toThrow(/no line <!-- results -->/)
  expect(await readFile(file, 'utf8')).toBe('# Something else\n')
})
