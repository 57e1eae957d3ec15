/** What the command line of the benchmark chooses. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { makePlan } from '../../../bench/plan.ts'

const folders: string[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})
async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'plan-'))
  folders.push(path)
  return path
}

/** Only these programs are there. */
async function withPrograms(...names: string[]): Promise<void> {
  const bin = await folder()
  for (const name of ['sh', ...names])
    await symlink(execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim(), join(bin, name))
  vi.stubEnv('PATH', bin)
}

test.each([
  [['--runs', '2.5'], 'cannot measure "2.5" rounds: give a whole number'],
  [['--runs=-1'], 'cannot measure "-1" rounds'],
  [['--runs', ''], 'cannot measure "" rounds'],
  [['--size', '500'], 'cannot measure the size 500: there are 300 and 1000'],
  [['--size', ''], 'cannot measure the size : there are'],
  [['--only', 'superblock,fwup'], 'cannot find the contender "fwup"; see --help'],
  [['--only', ''], 'cannot find the contender ""'],
  [['--scenario', 'downgrade'], 'cannot find a scenario with "downgrade" in its name; see --help'],
  [['--quick', '--scenario', 'kernel'], 'cannot measure "kernel": it is not part of a run with --quick'],
  [['--size', '1000', '--scenario', 'installation, stick'], 'it is not part of a run of 1000 MB'],
  [['--resume'], 'cannot go on: name the file of the earlier run with --json'],
  [['--json', '/nowhere/at/all.json'], 'cannot write /nowhere/at/all.json: its folder is not there'],
  [['--svg', '/tmp'], 'cannot write /tmp: it is a folder'],
])('%s is refused', async (args, why) => {
  await withPrograms('ostree')
  await expect(makePlan(args)).rejects.toThrow(why)
})

test('a page that holds something else is not written over', async () => {
  const page = join(await folder(), 'page.md')
  await writeFile(page, '# A page\n')
  await expect(makePlan(['--markdown', page])).rejects.toThrow(`cannot put the tables into ${page}`)
})

test('a quick run is of the smaller system, with whatever is installed', async () => {
  await withPrograms('ostree', 'cp')
  const plan = await makePlan(['--quick'])
  expect(plan?.rounds).toBe(3)
  expect(plan?.sizes.map(({ size, scenarios }) => [size, scenarios.map(({ name }) => name)])).toEqual([
    [300, ['full installation', 'update', 'update, stick of 20 MB/s']],
  ])
  expect(plan?.contenders.map(({ name }) => name)).toEqual(['superblock', 'ostree delta', 'cp -a'])
  expect(plan?.missing).toContainEqual({ contender: 'casync', why: 'not installed: casync' })
})

test('everything is both sizes in seven rounds, and parts of it can be chosen', async () => {
  await withPrograms('ostree', 'cp', 'sha256sum')
  expect(await makePlan([])).toMatchObject({ rounds: 7, sizes: [{ size: 300 }, { size: 1000 }] })
  const plan = await makePlan(['--only', 'SUPER, ostree', '--scenario', '20', '--size', '1000', '--runs', '0'])
  expect(plan?.contenders.map(({ name }) => name)).toEqual(['superblock', 'ostree delta'])
  expect(plan?.sizes.map(({ size, scenarios }) => [size, scenarios.map(({ name }) => name)])).toEqual([
    [1000, ['update, stick of 20 MB/s']],
  ])
  expect(plan?.missing).toEqual([])
})

test('where nothing of it is installed, there is nothing to measure', async () => {
  await withPrograms('cp')
  await expect(makePlan(['--only', 'superblock,casync'])).rejects.toThrow('none of the contenders is installed')
})
