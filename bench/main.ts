/**
 * The benchmark: the same releases installed by this product, by OSTree's own means and by image-based updaters.
 *
 *   npm run bench                              everything, 7 rounds
 *   npm run bench -- --quick --json FILE       the essentials, 3 rounds
 */
import { writeFile } from 'node:fs/promises'
import { replaceFile } from '../src/base/files.ts'
import type { Contender, Way } from './contender.ts'
import { startUps, superblock } from './contenders/superblock.ts'
import { describe, emptyResults } from './machine.ts'
import { type Materials, makeMaterials } from './materials.ts'
import { makeStick, measure, type Pack } from './measure.ts'
import { writeTables } from './page.ts'
import { CONTENDERS, makePlan, type Plan } from './plan.ts'
import { plot } from './plot.ts'
import { json, markdown, type Results, type Scenario } from './report.ts'
import { addPackage, addSize, goOn, isMeasured } from './resume.ts'
import type { Size } from './trees.ts'

async function main(): Promise<void> {
  const plan = await makePlan(process.argv.slice(2))
  if (!plan) return
  if (process.getuid?.() !== 0) throw new Error('cannot measure: loop devices and control groups need root; use sudo')
  const quoted = process.argv.slice(2).map(word => (/^[\w.,/=-]+$/.test(word) ? word : `'${word}'`))
  const command = `npm run bench -- ${quoted.join(' ')}`.trim()
  const results = await emptyResults(command, CONTENDERS)
  results.leftOut.push(...plan.missing)
  const sizes = plan.sizes.map(({ size }) => size)
  if (plan.resume && plan.json) await goOn(results, plan.json, sizes)
  const keep = async () => void (plan.json && (await replaceFile(plan.json, json(results), 0o644)))
  const failed = new Set<Contender>()
  for (const part of plan.sizes) await measureSize(plan, part, results, attempts(results, failed, part.size), keep)
  if (plan.rounds === 0) return
  await keep()
  const text = markdown(results)
  process.stdout.write(text)
  if (plan.markdown) await writeTables(plan.markdown, text)
  if (plan.svg) await writeFile(plan.svg, plot(results))
}

type Attempt = <T>(contender: Contender, work: () => Promise<T>) => Promise<T | undefined>

/** One of the others that does not work here is named and takes no further part. */
const attempts =
  (results: Results, failed: Set<Contender>, size: Size): Attempt =>
  async (contender, work) => {
    if (failed.has(contender)) return undefined
    try {
      return await work()
    } catch (error) {
      const { message, cause } = error as Error
      if (contender === superblock || /ENOSPC|No space left/.test(`${message} ${cause}`)) throw error
      results.leftOut.push({ size, contender: contender.name, why: message })
      process.stderr.write(`left out from here on: ${contender.name}: ${message}\n${cause ?? ''}\n`)
      failed.add(contender)
      return undefined
    }
  }

/** All scenarios of a size, after everything for them has been made. @param keep called after every run */
async function measureSize(
  { contenders, rounds }: Plan,
  { size, scenarios }: Plan['sizes'][number],
  results: Results,
  attempt: Attempt,
  keep: () => Promise<void>,
): Promise<void> {
  const ways = scenarios.map(({ way }) => way)
  const materials = await makeMaterials(size, ways)
  addSize(results, await describe(materials, scenarios))
  const packs = await makePacks(contenders, materials, ways, attempt)
  for (const { contender, way, stick: _, ...pack } of packs)
    addPackage(results, { size, contender: contender.name, way, ...pack })
  for (let round = 1; round <= rounds; round++)
    // In turn from one end and the other: whatever changes over time changes for all.
    for (const scenario of scenarios)
      for (const contender of round % 2 ? contenders : contenders.toReversed()) {
        const pack = packs.find(one => one.contender === contender && one.way === scenario.way)
        const run = { size, scenario: scenario.name, contender: contender.name, round }
        if (!pack || isMeasured(results, run)) continue
        const figures = await attempt(contender, () => measureOne(results, contender, materials, scenario, pack))
        if (!figures) continue
        results.runs.push({ ...run, ...figures })
        process.stderr.write(
          `${size} MB, round ${round}, ${scenario.name}: ${contender.name} ${figures.seconds.toFixed(2)} s\n`,
        )
        await keep()
      }
}

type Made = Pack & { contender: Contender; way: Way }

/** The sticks of all contenders, in their order. */
async function makePacks(
  contenders: readonly Contender[],
  materials: Materials,
  ways: readonly Way[],
  attempt: Attempt,
): Promise<Made[]> {
  const packs: Made[] = []
  const make = async (these: readonly Contender[]) => {
    for (const contender of these)
      for (const way of new Set(ways)) {
        const pack = await attempt(contender, () => makeStick(contender, materials, way))
        if (!pack) break
        packs.push({ contender, way, ...pack })
      }
  }
  // OSTree's delta takes minutes of one core; those that take one as well are made meanwhile, and the others alone.
  await make(contenders.filter(({ isSingle }) => !isSingle))
  const single = contenders.filter(({ isSingle }) => isSingle)
  await Promise.all([
    make(single.filter(({ kind }) => kind === 'ostree')),
    make(single.filter(({ kind }) => kind !== 'ostree')),
  ])
  return packs.sort((a, b) => CONTENDERS.indexOf(a.contender) - CONTENDERS.indexOf(b.contender))
}

const measureOne = (
  results: Results,
  contender: Contender,
  materials: Materials,
  { way, rate }: Scenario,
  pack: Pack,
) =>
  measure(contender, materials, way, pack, rate, async folder => {
    if (contender === superblock) results.startUps.push(await startUps(folder))
  })

await main().catch((error: Error) => {
  const causes: string[] = []
  for (let one: unknown = error; one instanceof Error; one = one.cause) causes.push(one.message)
  process.stderr.write(`${causes.join('\n')}\n`)
  // What is still being made, or waited for, is of no use any more.
  process.exit(1)
})
