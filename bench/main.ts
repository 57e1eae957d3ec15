/**
 * The benchmark: the same releases installed by this product, by OSTree's own means and by image-based updaters.
 *
 *   npm run bench                              everything, 7 rounds
 *   npm run bench -- --quick --json FILE       the essentials, 3 rounds
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { readIfThere } from '../src/base/files.ts'
import { run } from '../src/base/run.ts'
import { openCache } from './cache.ts'
import type { Contender, Way } from './contender.ts'
import { casync } from './contenders/casync.ts'
import { copying, hashing } from './contenders/limits.ts'
import { mender } from './contenders/mender.ts'
import { ostree } from './contenders/ostree.ts'
import { rauc } from './contenders/rauc.ts'
import { startUps, superblock } from './contenders/superblock.ts'
import { swupdate } from './contenders/swupdate.ts'
import { describe, emptyResults } from './machine.ts'
import { makeMaterials } from './materials.ts'
import { makeStick, measure, type Pack } from './measure.ts'
import { plot } from './plot.ts'
import { json, MB, type Measured, markdown, type Results, type Scenario } from './report.ts'
import type { Size } from './trees.ts'

const CONTENDERS = [superblock, ostree, rauc, swupdate, mender, casync, copying, hashing]

const SIZES: readonly Size[] = [300, 1000]
const full: Way = { from: '0', to: '1' }
const update: Way = { from: '1', to: '2' }
const kernel: Way = { from: '2', to: '3' }
const SCENARIOS: readonly Scenario[] = [
  { name: 'full installation', way: full, quick: true },
  { name: 'update', way: update, quick: true },
  { name: 'update with a new kernel', way: kernel, quick: false },
  { name: 'update, stick of 20 MB/s', way: update, rate: 20 * MB, quick: true },
  { name: 'update, stick of 100 MB/s', way: update, rate: 100 * MB, quick: false },
  // It takes minutes, and is the size of the package divided by the rate, whatever the system.
  { name: 'full installation, stick of 20 MB/s', way: full, rate: 20 * MB, quick: false, sizes: [300] },
]

const HELP = `npm run bench -- [options]

  --quick          300 MB, 3 rounds, the essential scenarios
  --size 300|1000  one size instead of both
  --runs N         rounds (7)
  --only A,B       these contenders, by the start of their names: ${CONTENDERS.map(({ name }) => name).join(', ')}
  --scenario TEXT  only scenarios with this in their name: ${SCENARIOS.map(({ name }) => name).join('; ')}
  --json FILE      all runs, their medians, the budget, and the machine; written after every run
  --resume         go on with what FILE has already: only what is missing of it is measured
  --markdown FILE  the tables, or the part of the file between the comments "results" (standard output in any case)
  --svg FILE       a picture
`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...{ quick: { type: 'boolean', default: false }, size: { type: 'string' }, runs: { type: 'string' } },
      ...{ only: { type: 'string' }, scenario: { type: 'string' }, json: { type: 'string' } },
      ...{ resume: { type: 'boolean', default: false }, markdown: { type: 'string' } },
      ...{ svg: { type: 'string' }, help: { type: 'boolean', default: false } },
    },
  })
  if (values.help) return void process.stdout.write(HELP)
  if (process.getuid?.() !== 0) throw new Error('cannot measure: loop devices and control groups need root; use sudo')
  if (values.size && !SIZES.includes(Number(values.size) as Size))
    throw new Error(`cannot measure the size ${values.size}: there are ${SIZES.join(' and ')}`)
  const sizes = values.size ? [Number(values.size) as Size] : values.quick ? SIZES.slice(0, 1) : SIZES
  const rounds = Number(values.runs ?? (values.quick ? 3 : 7))
  if (!(rounds >= 1)) throw new Error(`cannot measure ${values.runs} rounds: give a number of 1 or more`)
  const chosen = SCENARIOS.filter(({ name, quick }) => (quick || !values.quick) && name.includes(values.scenario ?? ''))
  if (chosen.length === 0) throw new Error(`cannot find a scenario with "${values.scenario}" in its name; see --help`)
  if (values.resume && !values.json) throw new Error('cannot go on: name the file of the earlier run with --json')
  let contenders = await installed(values.only?.split(','))
  await openCache()

  const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim()
  const results = await emptyResults(command, contenders)
  if (values.resume && values.json) await goOn(results, values.json)
  const isMeasured = (...[size, scenario, contender, round]: [Size, Scenario, Contender, number]) =>
    results.runs.some(
      run =>
        run.size === size && run.scenario === scenario.name && run.contender === contender.name && run.round === round,
    )
  for (const size of sizes) {
    const scenarios = chosen.filter(scenario => scenario.sizes?.includes(size) ?? true)
    if (scenarios.length === 0) continue
    const materials = await makeMaterials(
      size,
      scenarios.map(({ way }) => way),
    )
    results.sizes = [...results.sizes.filter(one => one.size !== size), await describe(materials, scenarios)]
    results.packages = results.packages.filter(one => one.size !== size)
    // Everything is made before anything is measured.
    const packs = new Map<string, Pack>()
    /** One of the others that does not work here is named and takes no further part. */
    const attempt = async <T>(contender: Contender, work: () => Promise<T>): Promise<T | undefined> => {
      try {
        return await work()
      } catch (error) {
        if (contender === superblock) throw error
        const { message, cause } = error as Error
        results.failed.push({ size, contender: contender.name, why: message })
        process.stderr.write(`left out from here on: ${contender.name}: ${message}\n${cause ?? ''}\n`)
        contenders = contenders.filter(one => one !== contender)
        return undefined
      }
    }
    const make = async (these: readonly Contender[]) => {
      for (const contender of these)
        for (const { way } of scenarios) {
          if (!contenders.includes(contender)) continue
          const pack = await attempt(contender, () => makeStick(contender, materials, way))
          if (!pack) continue
          packs.set(keyOf(contender, way), pack)
          const { stick: _, ...told } = pack
          results.packages.push({ size, contender: contender.name, way, ...told })
        }
    }
    // OSTree's delta takes minutes of one core; those that take one as well are made meanwhile, and the others alone.
    const [single, several] = split(contenders, ({ isSingle }) => isSingle)
    await make(several)
    const [deltas, others] = split(single, ({ kind }) => kind === 'ostree')
    await Promise.all([make(deltas), make(others)])
    const place = (name: string) => CONTENDERS.findIndex(one => one.name === name)
    results.packages.sort((a, b) => place(a.contender) - place(b.contender))
    for (let round = 1; round <= rounds; round++)
      // In turn from one end and the other: whatever changes over time changes for all.
      for (const scenario of scenarios)
        for (const contender of round % 2 ? contenders : contenders.toReversed()) {
          if (isMeasured(size, scenario, contender, round)) continue
          const pack = packs.get(keyOf(contender, scenario.way)) as Pack
          const isOurs = contender === superblock
          const figures = await attempt(contender, () =>
            measure(contender, materials, scenario.way, pack, scenario.rate, async folder => {
              if (isOurs) results.startUps.push(await startUps(folder))
            }),
          )
          if (!figures) continue
          const measured: Measured = { size, scenario: scenario.name, contender: contender.name, round, ...figures }
          results.runs.push(measured)
          process.stderr.write(
            `${size} MB, round ${round}, ${scenario.name}: ${contender.name} ${figures.seconds.toFixed(2)} s\n`,
          )
          if (values.json) await writeFile(values.json, json(results))
        }
  }
  const text = markdown(results)
  process.stdout.write(text)
  if (values.markdown) await writeTables(values.markdown, text)
  if (values.svg) await writeFile(values.svg, plot(results))
}

/** Take over what was measured before: hours of it may be there. */
async function goOn(results: Results, file: string): Promise<void> {
  const text = await readIfThere(file)
  if (text === undefined) return
  const { command, machine, sizes, packages, startUps, runs } = JSON.parse(text) as Results
  if (JSON.stringify(machine) !== JSON.stringify(results.machine))
    throw new Error(`cannot go on with ${file}: it is of another machine, or of other versions; name a new file`)
  Object.assign(results, { sizes, packages, startUps, runs })
  results.command = [...new Set([...command.split('; '), results.command])].join('; ')
}

/** Where the file has a place for the tables, only that is replaced. */
async function writeTables(file: string, text: string): Promise<void> {
  const [before, after] = ['<!-- results -->', '<!-- /results -->']
  const page = (await readIfThere(file)) ?? ''
  const [start, end] = [page.indexOf(before), page.indexOf(after)]
  const whole = start < 0 || end < start ? text : `${page.slice(0, start)}${before}\n\n${text}\n${page.slice(end)}`
  await writeFile(file, whole)
}

function split<T>(all: readonly T[], isFirst: (one: T) => boolean): [T[], T[]] {
  return [all.filter(isFirst), all.filter(one => !isFirst(one))]
}

const keyOf = ({ name }: Contender, { from, to }: Way) => `${name} ${from} ${to}`

/** Those whose programs are here; the others are named. */
async function installed(only: readonly string[] | undefined): Promise<Contender[]> {
  const isMeant = (word: string, { name }: Contender) => name.toLowerCase().startsWith(word.trim().toLowerCase())
  const unknown = only?.find(word => !CONTENDERS.some(contender => isMeant(word, contender)))
  if (unknown !== undefined) throw new Error(`cannot find the contender ${unknown}; see --help`)
  const found: Contender[] = []
  for (const contender of CONTENDERS) {
    if (only && !only.some(word => isMeant(word, contender))) continue
    const missing: string[] = []
    for (const program of contender.programs)
      if ((await run(['sh', '-c', 'command -v "$1"', 'sh', program], { accept: [1, 127] })).status !== 0)
        missing.push(program)
    if (missing.length === 0) found.push(contender)
    else process.stderr.write(`left out: ${contender.name}, since this is not installed: ${missing.join(', ')}\n`)
  }
  return found
}

// The first process of its namespace is not ended by these otherwise; all others go with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))

try {
  await main()
} catch (error) {
  const { message, cause } = error as Error
  process.stderr.write(`${message}\n${cause instanceof Error ? `${cause.message}\n` : ''}`)
  process.exitCode = 1
}
