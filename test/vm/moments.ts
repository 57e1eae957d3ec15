/** When the power is cut: moments spread over a whole installation by a seed, and the table of what came of it. */
import { randomFrom } from '../kit/endurance.ts'
import type { Row } from './trials.ts'

/** Steps of the job; then the shutdown for the reboot, the start of the new release, and its health checks. */
export type Moment = 'admit' | 'stage' | 'import' | 'arm' | 'deploy' | 'settle' | 'shutdown' | 'start' | 'trying'

export interface Plan {
  /** from 1 */
  number: number
  moment: Moment
  /** how far into it, from 0 to 1 */
  part: number
  /** let the installation that goes on afterwards end with its reboot, instead of calling it off before */
  finish: boolean
}

export interface Trial extends Plan, Row {
  /** what the machine was when it came up */
  found: string
  /** what became of it */
  after: string
}

/** Twenty in a row hit everything; mostly what changes what the device would start. */
const ROUND: readonly Moment[] = [
  ...(['deploy', 'import', 'stage', 'deploy', 'start', 'import', 'settle', 'deploy', 'arm', 'import'] as const),
  ...(['deploy', 'trying', 'import', 'deploy', 'shutdown', 'settle', 'import', 'deploy', 'stage', 'admit'] as const),
]

/** The same seed gives the same plan, and its beginning does not depend on the count. */
export function planOf(seed: number, count: number): Plan[] {
  return Array.from({ length: count }, (_, at) => {
    const random = randomFrom(seed * 100_003 + at)
    const moment = ROUND[at % ROUND.length] ?? 'deploy'
    return { number: at + 1, moment, part: random(), finish: random() < 0.3 }
  })
}

/** Markdown. */
export function table(trials: readonly Trial[], { seed, count }: { seed: number; count: number }): string {
  const good = trials.filter(({ ok }) => ok).length
  const names = [...new Set(ROUND)]
  const summary = names.flatMap(name => {
    const of = trials.filter(({ moment }) => moment === name)
    const found = [...new Set(of.map(one => one.found))].map(
      what => `${of.filter(one => one.found === what).length} × ${what}`,
    )
    return of.length ? [`| ${name} | ${of.length} | ${of.filter(({ ok }) => ok).length} | ${found.join('; ')} |`] : []
  })
  const each = trials.map(
    ({ number, moment, part, found, after, ok, why }) =>
      `| ${number} | ${moment}, ${Math.round(part * 100)} % | ${found} | ${after} | ${ok ? 'good' : `**${why.split('\n')[0]}**`} |`,
  )
  return [
    `${good} of ${trials.length} held: \`npm run test:vm -- power-cut --count ${count} --seed ${seed}\`.`,
    '',
    '| the power failed in | times | good | the machine came up as |',
    '| --- | --- | --- | --- |',
    ...summary,
    '',
    '| | moment | came up as | then | |',
    '| --- | --- | --- | --- | --- |',
    ...each,
    '',
  ].join('\n')
}
