/** Going on with an earlier run: hours of it may be there. */
import { readIfThere } from '../src/base/files.ts'
import type { Measured, Results } from './report.ts'
import type { Size } from './trees.ts'

/**
 * Take over what was measured before.
 * @param now the sizes that are measured now
 * @throws when it was measured on another machine, in another way, or with other versions
 */
export async function goOn(results: Results, file: string, now: readonly Size[]): Promise<void> {
  const text = await readIfThere(file)
  if (text === undefined)
    return void process.stderr.write(`${file} is not there yet: everything is measured from the beginning\n`)
  const { command, machine, sizes, packages, startUps, runs, leftOut } = parse(text, file)
  if (JSON.stringify(machine) !== JSON.stringify(results.machine))
    throw new Error(`cannot go on with ${file}: it is of another machine, or of other versions; name a new file`)
  Object.assign(results, { sizes, packages, startUps, runs })
  // Who is not installed, or does not work with what is measured now, is seen anew.
  results.leftOut.push(...leftOut.filter(one => one.size !== undefined && !now.includes(one.size)))
  results.command = [...new Set([...command.split('; '), results.command])].join('; ')
}

function parse(text: string, file: string): Results {
  try {
    return JSON.parse(text) as Results
  } catch (cause) {
    throw new Error(`cannot go on with ${file}: it is not a result of this benchmark; name a new file`, { cause })
  }
}

type Described = Results['sizes'][number]

/**
 * Add what this run knows of a size to what is known already.
 * @throws when the systems are not the same
 */
export function addSize(results: Results, size: Described): void {
  const before = results.sizes.find(one => one.size === size.size)
  const isSame =
    ({ from, to }: Described['ways'][number]) =>
    (one: Described['ways'][number]) =>
      one.from === from && one.to === to
  for (const way of before?.ways ?? []) {
    const now = size.ways.find(isSame(way))
    if (before?.tree !== size.tree || (now && JSON.stringify(now) !== JSON.stringify(way)))
      throw new Error('cannot go on: the systems have been made anew since, and are different; name a new file')
  }
  const ways = [...(before?.ways.filter(way => !size.ways.some(isSame(way))) ?? []), ...size.ways]
  const sorted = ways.sort((a, b) => a.to.localeCompare(b.to))
  const others = results.sizes.filter(one => one !== before)
  results.sizes = [...others, { ...size, ways: sorted }].sort((a, b) => a.size - b.size)
}

/** Add a package, in place of what is known of it already. */
export function addPackage(results: Results, added: Results['packages'][number]): void {
  const { size, contender, way } = added
  const isSame = (one: typeof added) =>
    one.size === size && one.contender === contender && one.way.from === way.from && one.way.to === way.to
  results.packages = [...results.packages.filter(one => !isSame(one)), added]
}

export const isMeasured = (results: Results, run: Pick<Measured, 'size' | 'scenario' | 'contender' | 'round'>) =>
  results.runs.some(
    one =>
      one.size === run.size &&
      one.scenario === run.scenario &&
      one.contender === run.contender &&
      one.round === run.round,
  )
