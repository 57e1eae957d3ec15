/** What was measured, as numbers and as tables. */

import { budget } from './budget.ts'
import type { Way } from './contender.ts'
import type { Figures, Pack } from './measure.ts'
import type { Size } from './trees.ts'

export const MB = 1e6

export interface Scenario {
  name: string
  way: Way
  /** bytes a second that the stick delivers; none for as fast as it can */
  rate?: number
  /** part of the quick run */
  quick: boolean
  /** of the systems that it is measured with; all of them where it does not say */
  sizes?: readonly Size[]
}

export interface Measured extends Figures {
  size: Size
  scenario: string
  contender: string
  round: number
}

export interface Results {
  command: string
  /** RFC 3339 */
  date: string
  machine: {
    processor: string
    cores: number
    memory: number
    kernel: string
    system: string
    versions: Record<string, string>
  }
  /** the releases: bytes of the first one's tree, and the files that each way changes */
  sizes: { size: Size; name: string; tree: number; ways: (Way & { files: number; bytes: number })[] }[]
  packages: ({ size: Size; contender: string; way: Way } & Omit<Pack, 'stick'>)[]
  /** seconds until the commands that somebody waits for have answered */
  startUps: Record<string, number>[]
  runs: Measured[]
  /** contenders that are not installed, or, with a size, did not work here */
  leftOut: { size?: Size; contender: string; why: string }[]
}

export interface Median extends Figures {
  size: Size
  scenario: string
  contender: string
  runs: number
}

const FIGURES = ['seconds', 'cpu', 'memory', 'rss', 'read', 'written', 'load'] as const

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/** Of all runs of a contender in a scenario, in the order in which they were first measured. */
export function medians(runs: readonly Measured[]): Median[] {
  const groups = new Map<string, Measured[]>()
  for (const run of runs) {
    const key = `${run.size}/${run.scenario}/${run.contender}`
    groups.set(key, [...(groups.get(key) ?? []), run])
  }
  return [...groups.values()].map(group => {
    const [{ size, scenario, contender }] = group as [Measured]
    const figures = Object.fromEntries(FIGURES.map(name => [name, median(group.map(run => run[name]))]))
    return { size, scenario, contender, runs: group.length, ...figures } as Median
  })
}

/** Everything for programs: what was measured, and what follows from it. */
export const json = (results: Results): string =>
  `${JSON.stringify({ ...results, medians: medians(results.runs), budget: budget(results) }, undefined, 1)}\n`

const OURS = 'superblock'

const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')

const seconds = (value: number) => value.toFixed(value < 10 ? 2 : 1)
const megabytes = (value: number) => (value / MB).toFixed(value < 10 * MB ? 1 : 0)
const times = (value: number, ours: number | undefined) => (ours ? `${(value / ours).toFixed(2)} ×` : '')

export function markdown(results: Results): string {
  const { machine } = results
  const middle = medians(results.runs)
  const parts: string[] = []
  for (const { size, name, ways } of results.sizes) {
    parts.push(`## A system of ${name}`)
    for (const { from, to, files, bytes } of ways)
      parts.push(`Release ${from} to ${to}: ${files} files are new or different, with ${megabytes(bytes)} MB.`)
    for (const scenario of new Set(middle.filter(one => one.size === size).map(one => one.scenario))) {
      const rows = middle.filter(one => one.size === size && one.scenario === scenario)
      const ours = rows.find(one => one.contender === OURS)
      parts.push(
        `### ${scenario}`,
        table(
          ['', 'seconds', 'to ours', 'CPU s', 'memory MB', 'RSS MB', 'read MB', 'written MB', 'runs'],
          rows.map(row => [
            ...[row.contender, seconds(row.seconds), times(row.seconds, ours?.seconds), seconds(row.cpu)],
            ...[row.memory, row.rss, row.read, row.written].map(megabytes),
            String(row.runs),
          ]),
        ),
      )
    }
    const packed = results.packages.filter(one => one.size === size)
    const unique = packed.filter((one, at) => packed.findIndex(two => sameStick(one, two)) === at)
    parts.push(
      '### Packages',
      table(
        ['', 'release', 'MB', 'made in s'],
        unique.map(one => [
          one.contender,
          `${one.way.from} to ${one.way.to}`,
          megabytes(one.bytes),
          seconds(one.seconds),
        ]),
      ),
    )
  }
  const names = Object.keys(results.startUps[0] ?? {})
  if (names.length > 0)
    parts.push(
      '## Start-up',
      table(
        ['command', 'seconds'],
        names.map(name => [`\`${name}\``, median(results.startUps.map(one => one[name] ?? 0)).toFixed(3)]),
      ),
    )
  const lines = budget(results)
  if (lines.length > 0)
    parts.push(
      '## The budget',
      table(
        ['', 'at most', 'measured', ''],
        lines.map(({ what, limit, measured, unit }) => [
          ...[what, `${limit.toFixed(2)} ${unit}`, `${measured.toFixed(2)} ${unit}`],
          measured <= limit ? 'held' : '**missed**',
        ]),
      ),
    )
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  const loads = results.runs.map(run => run.load)
  parts.push(
    '## Where',
    `\`${results.command}\` on ${results.date.slice(0, 10)}: ${machine.processor}, ${machine.cores} cores, ${Math.round(machine.memory / 2 ** 30)} GiB, ` +
      `${machine.system}, Linux ${machine.kernel}; load of the machine ${median(loads).toFixed(1)} in the middle, ${Math.max(...loads).toFixed(1)} at most. ` +
      `Versions: ${versions.join(', ')}.`,
    ...results.leftOut.map(
      ({ contender, size, why }) =>
        `${contender} was left out${size ? ` from ${size} MB on, since it did not work here` : ''}: ${why.split('\n')[0]}.`,
    ),
  )
  return `${parts.join('\n\n')}\n`
}

const sameStick = (a: Results['packages'][number], b: Results['packages'][number]) =>
  a.contender === b.contender && a.bytes === b.bytes && a.seconds === b.seconds
