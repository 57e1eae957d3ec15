/** What there is to measure, and what of it was chosen on the command line. */
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { run } from '../src/base/run.ts'
import type { Contender, Way } from './contender.ts'
import { casync } from './contenders/casync.ts'
import { copying, hashing } from './contenders/limits.ts'
import { mender } from './contenders/mender.ts'
import { ostree } from './contenders/ostree.ts'
import { rauc } from './contenders/rauc.ts'
import { superblock } from './contenders/superblock.ts'
import { swupdate } from './contenders/swupdate.ts'
import { placeOfTables } from './page.ts'
import { MB, type Scenario } from './report.ts'
import type { Size } from './trees.ts'

export const CONTENDERS = [superblock, ostree, rauc, swupdate, mender, casync, copying, hashing]

const SIZES: readonly Size[] = [300, 1000]
const full: Way = { from: '0', to: '1' }
const update: Way = { from: '1', to: '2' }
const kernel: Way = { from: '2', to: '3' }
const SCENARIOS: readonly Scenario[] = [
  { name: 'full installation', way: full, quick: true },
  { name: 'update', way: update, quick: true },
  { name: 'update with a new kernel', way: kernel, quick: false },
  { name: 'update, stick of 20 MB/s', way: update, rate: 20 * MB, quick: true },
  // With the larger system these take minutes and say the same: the size of what is read divided by the rate.
  { name: 'update, stick of 100 MB/s', way: update, rate: 100 * MB, quick: false, sizes: [300] },
  { name: 'full installation, stick of 20 MB/s', way: full, rate: 20 * MB, quick: false, sizes: [300] },
]

const HELP = `npm run bench -- [options]

  --quick          300 MB, 3 rounds, the essential scenarios
  --size 300|1000  one size instead of both
  --runs N         rounds (7); 0 only makes what would be measured
  --only A,B       these contenders, by the start of their names: ${CONTENDERS.map(({ name }) => name).join(', ')}
  --scenario TEXT  only scenarios with this in their name: ${SCENARIOS.map(({ name }) => name).join('; ')}
  --json FILE      all runs, their medians, the budget, and the machine; written after every run, in place of what was there
  --resume         go on with what FILE has already: only what is missing of it is measured
  --markdown FILE  the tables, or the part of the file between the comments "results" (standard output in any case)
  --svg FILE       a picture
  --help           this text
`

export interface Plan {
  rounds: number
  sizes: { size: Size; scenarios: readonly Scenario[] }[]
  contenders: readonly Contender[]
  /** contenders that were meant and are not installed */
  missing: { contender: string; why: string }[]
  resume: boolean
  json: string | undefined
  markdown: string | undefined
  svg: string | undefined
}

/** @returns undefined when only help was asked for, which it has printed @throws when there would be nothing to measure */
export async function makePlan(args: string[]): Promise<Plan | undefined> {
  const { values } = parseArgs({
    args,
    options: {
      ...{ quick: { type: 'boolean', default: false }, size: { type: 'string' }, runs: { type: 'string' } },
      ...{ only: { type: 'string' }, scenario: { type: 'string', default: '' }, json: { type: 'string' } },
      ...{ resume: { type: 'boolean', default: false }, markdown: { type: 'string' } },
      ...{ svg: { type: 'string' }, help: { type: 'boolean', default: false } },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return undefined
  }
  if (values.size !== undefined && !SIZES.some(size => `${size}` === values.size))
    throw new Error(`cannot measure the size ${values.size}: there are ${SIZES.join(' and ')}`)
  const rounds = Number(values.runs ?? (values.quick ? 3 : 7))
  if (!Number.isInteger(rounds) || rounds < 0 || values.runs === '')
    throw new Error(`cannot measure "${values.runs}" rounds: give a whole number`)
  if (values.resume && !values.json) throw new Error('cannot go on: name the file of the earlier run with --json')
  for (const file of [values.json, values.markdown, values.svg]) if (file !== undefined) await canBeWritten(file)
  if (values.markdown !== undefined) await placeOfTables(values.markdown)
  const sizes = scenariosOf(values)
  const contenders = await contendersOf(values.only)
  const { resume, json, markdown, svg } = values
  return { rounds, sizes, ...contenders, resume, json, markdown, svg }
}

/** @throws when it could not: hours later is too late to see it */
async function canBeWritten(file: string): Promise<void> {
  const isFolder = await stat(file).then(
    found => found.isDirectory(),
    () => false,
  )
  if (isFolder) throw new Error(`cannot write ${file}: it is a folder`)
  await access(dirname(resolve(file)), constants.W_OK).catch(() => {
    throw new Error(`cannot write ${file}: its folder is not there, or is not writable`)
  })
}

function scenariosOf({ quick, size, scenario }: { quick: boolean; size?: string; scenario: string }): Plan['sizes'] {
  const sizes = SIZES.filter(one => (size === undefined ? !quick || one === 300 : size === `${one}`))
  const plans = sizes.map(size => ({
    size,
    scenarios: SCENARIOS.filter(
      one => one.name.includes(scenario) && (one.quick || !quick) && (one.sizes?.includes(size) ?? true),
    ),
  }))
  const some = plans.filter(({ scenarios }) => scenarios.length > 0)
  if (some.length > 0) return some
  if (!SCENARIOS.some(({ name }) => name.includes(scenario)))
    throw new Error(`cannot find a scenario with "${scenario}" in its name; see --help`)
  throw new Error(
    `cannot measure "${scenario}": it is not part of a run ${quick ? 'with --quick' : `of ${sizes.join(' or ')} MB`}`,
  )
}

/** Those whose programs are here, and those that are not. */
async function contendersOf(only: string | undefined): Promise<Pick<Plan, 'contenders' | 'missing'>> {
  const isMeant = (word: string, { name }: Contender) =>
    word.trim() !== '' && name.toLowerCase().startsWith(word.trim().toLowerCase())
  const words = only?.split(',')
  const unknown = words?.find(word => !CONTENDERS.some(contender => isMeant(word, contender)))
  if (unknown !== undefined) throw new Error(`cannot find the contender "${unknown}"; see --help`)
  const contenders: Contender[] = []
  const missing: Plan['missing'] = []
  for (const contender of CONTENDERS) {
    if (words && !words.some(word => isMeant(word, contender))) continue
    const absent: string[] = []
    for (const program of contender.programs)
      if ((await run(['sh', '-c', 'command -v "$1"', 'sh', program], { accept: [1, 127] })).status !== 0)
        absent.push(program)
    if (absent.length === 0) contenders.push(contender)
    else missing.push({ contender: contender.name, why: `not installed: ${absent.join(', ')}` })
  }
  for (const { contender, why } of missing) process.stderr.write(`left out: ${contender}, ${why}\n`)
  if (contenders.length === 0) throw new Error('cannot measure: none of the contenders is installed')
  return { contenders, missing }
}
