/**
 * The same thing tried again and again, each time otherwise, as a seed chooses. Every trial is a row of a file, so that a run that
 * was interrupted goes on and single ones can be repeated; several machines are at it side by side.
 */
import { appendFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfThere } from '../../src/base/files.ts'
import { PROJECT } from '../kit/project.ts'
import { type Lab, openLab, type Sample } from './lab.ts'

export interface TrialOptions {
  count: number
  seed: number
  /** the first of them; the ones before are as they were in the last run */
  from: number
  /** these alone */
  only: readonly number[]
  /** machines at a time */
  jobs: number
  /** commands that break something in each machine */
  breakage?: string
}

/** What came of one. */
export interface Row {
  /** from 1 */
  number: number
  ok: boolean
  /** why not, empty when it held */
  why: string
  seconds: number
}

export interface Trials<R extends Row> {
  /** of the folder and the files in .cache/vm */
  name: string
  /** the machines have one */
  screen: boolean
  /** @returns what a seed stands for; the beginning does not depend on the count */
  plan(seed: number, count: number): R[]
  /** make what all have in common. @returns one trial, which notes in its row what it sees, and throws when something does not hold */
  prepare(lab: Lab): Promise<(lab: Lab, row: R) => Promise<void>>
  /** a row in one line */
  brief(row: R): string
  /** Markdown */
  table(rows: readonly R[], options: TrialOptions): string
}

const CACHE = join(PROJECT, '.cache/vm')

/** @returns how many held and how many did not, those of an earlier run that was interrupted among them */
export async function runTrials<R extends Row>(
  { name, screen, plan, prepare, brief, table }: Trials<R>,
  sample: Sample,
  options: TrialOptions,
  say: (line: string) => void,
): Promise<{ good: number; bad: number }> {
  const { seed, count, from, only, jobs, breakage } = options
  const folder = join(CACHE, name)
  const results = join(CACHE, `${name}-${breakage ? 'broken' : seed}`)
  const due = plan(seed, count).filter(({ number }) => (only.length > 0 ? only.includes(number) : number >= from))
  if (breakage || (only.length === 0 && from === 1)) await rm(`${results}.jsonl`, { force: true })

  // Two that share two processors get further with one each.
  const hardware = { processors: jobs > 1 ? 1 : 2, screen }
  const preparation = await openLab(sample, join(folder, 'preparation'), hardware)
  const trial = await prepare(preparation)
  for (const machine of preparation.machines) await machine.powerCut()
  const one = async (row: R) => {
    const begun = performance.now()
    const lab = await openLab(sample, join(folder, String(row.number)), { breakage, ...hardware })
    try {
      await trial(lab, row)
      row.ok = true
    } catch (error) {
      row.why = error instanceof Error ? error.message : String(error)
      for (const machine of lab.machines) say(await machine.evidence().catch(String))
    }
    for (const machine of lab.machines) await machine.powerCut()
    if (row.ok) await rm(lab.folder, { recursive: true })
    row.seconds = Math.round((performance.now() - begun) / 1000)
    await appendFile(`${results}.jsonl`, `${JSON.stringify(row)}\n`)
    say(`${row.number} of ${count} ${row.ok ? 'good' : 'FAILED'}: ${brief(row)} ${row.why} (${row.seconds} s)`)
  }
  const worker = async () => {
    for (let row = due.shift(); row; row = due.shift()) await one(row)
  }
  await Promise.all(Array.from({ length: jobs }, worker))

  const lines = ((await readIfThere(`${results}.jsonl`)) ?? '').split('\n').filter(Boolean)
  // One that was repeated counts as it was the last time.
  const last = new Map(lines.map(line => JSON.parse(line) as R).map(row => [row.number, row]))
  const rows = [...last.values()].sort((a, b) => a.number - b.number)
  const text = table(rows, options)
  await writeFile(`${results}.md`, text)
  say(`\n${text}\nThe same is in ${results}.md`)
  const good = rows.filter(({ ok }) => ok).length
  return { good, bad: rows.length - good }
}
