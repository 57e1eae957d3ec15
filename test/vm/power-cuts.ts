/**
 * The power is cut again and again in the middle of an installation, at moments that a seed chooses, and each time the
 * machine has to come up by itself, know what it runs, end or undo what was under way, and be able to install once more.
 */
import assert from 'node:assert/strict'
import { appendFile, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isThere, readIfThere } from '../../src/base/files.ts'
import { PROJECT } from '../kit/project.ts'
import { checkDisk } from './disk.ts'
import { type Lab, openLab, type Preparation, type Sample } from './lab.ts'
import type { Machine } from './machine.ts'
import { type Moment, type Plan, planOf, type Trial, table } from './moments.ts'
import { install, installed, offered, order, reboot } from './operate.ts'
import { makePackage } from './releases.ts'
import { makeStick } from './sticks.ts'

export interface PowerCutOptions {
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

/** The release that is being installed when the power fails: enough to read and import for every moment to be hit. */
const TARGET = '2.5'
const BALLAST = [
  { count: 30, size: 2 ** 20 },
  { count: 300, size: 4000 },
]
/** The one that has to be installable afterwards, whatever became of the first. */
const FURTHER = '2.6'

const CACHE = join(PROJECT, '.cache/vm')

/** @returns how many held and how many did not, those of an earlier run that was interrupted among them */
export async function powerCuts(
  sample: Sample,
  options: PowerCutOptions,
  say: (line: string) => void,
): Promise<{ good: number; bad: number }> {
  const { seed, count, from, only, jobs, breakage } = options
  const folder = join(CACHE, 'power-cut')
  const results = join(CACHE, `power-cut-${breakage ? 'broken' : seed}`)
  const due = planOf(seed, count).filter(({ number }) => (only.length > 0 ? only.includes(number) : number >= from))
  if (breakage || (only.length === 0 && from === 1)) await rm(`${results}.jsonl`, { force: true })

  // Two that share two processors get further with one each.
  const hardware = { processors: jobs > 1 ? 1 : 2, screen: false }
  const lab = await openLab(sample, join(folder, 'preparation'), hardware)
  const bench = await prepare(lab)
  for (const machine of lab.machines) await machine.powerCut()
  say(
    Object.entries(bench.seconds)
      .map(([moment, seconds]) => `${moment} ${seconds.toFixed(1)} s`)
      .join(', '),
  )
  // What machines side by side take longer for. One that is cut too late is cut in the step that follows.
  const slower = jobs > 1 ? 1.5 : 1
  const one = async (plan: Plan) => {
    const begun = performance.now()
    const row: Trial = { ...plan, ok: false, found: '', after: '', seconds: 0, why: '' }
    const lab = await openLab(sample, join(folder, String(plan.number)), { breakage, ...hardware })
    try {
      await cut(lab, bench, row, slower)
      row.ok = true
    } catch (error) {
      row.why = error instanceof Error ? error.message : String(error)
      for (const machine of lab.machines) say(await machine.evidence().catch(String))
    }
    for (const machine of lab.machines) await machine.powerCut()
    if (row.ok) await rm(lab.folder, { recursive: true })
    row.seconds = Math.round((performance.now() - begun) / 1000)
    await appendFile(`${results}.jsonl`, `${JSON.stringify(row)}\n`)
    say(
      `${row.number} of ${count} ${row.ok ? 'good' : 'FAILED'}: ${row.moment} at ${Math.round(row.part * 100)} %: ` +
        `${row.found}; ${row.after} ${row.why} (${row.seconds} s)`,
    )
  }
  const worker = async () => {
    for (let plan = due.shift(); plan; plan = due.shift()) await one(plan)
  }
  await Promise.all(Array.from({ length: jobs }, worker))

  const lines = ((await readIfThere(`${results}.jsonl`)) ?? '').split('\n').filter(Boolean)
  // One that was repeated counts as it was the last time.
  const rows = new Map(lines.map(line => JSON.parse(line) as Trial).map(row => [row.number, row]))
  const trials = [...rows.values()].sort((a, b) => a.number - b.number)
  const text = table(trials, options)
  await writeFile(`${results}.md`, text)
  say(`\n${text}\nThe same is in ${results}.md`)
  const good = trials.filter(({ ok }) => ok).length
  return { good, bad: trials.length - good }
}

interface Bench {
  /** a machine whose stick was looked at */
  inserted: Preparation
  /** one whose installation waits for the reboot */
  due: Preparation
  /** how long each moment lasts on this machine */
  seconds: Record<Moment, number>
}

async function prepare(lab: Lab): Promise<Bench> {
  const stick = await keptStick(lab)
  const common: Pick<Preparation, 'input' | 'sticks'> = { input: stick, sticks: { stick } }
  const inserted: Preparation = {
    ...common,
    async make(machine) {
      // There is no screen for it; where everything is emulated that saves a part of each start.
      await machine.run('systemctl disable --now superblock-console')
      await machine.plug('stick', stick)
      await offered(machine, TARGET)
      await offered(machine, FURTHER)
    },
  }
  const notes = `${stick}.json`
  const due: Preparation = {
    ...common,
    from: () => lab.after('inserted', inserted),
    async make(machine) {
      await install(machine, TARGET)
      await installed(machine)
      await writeFile(notes, JSON.stringify(await durations(machine)))
    },
  }
  await lab.after('due', due)
  const seconds = JSON.parse(await readFile(notes, 'utf8')) as Record<Moment, number>
  return { inserted, due, seconds }
}

/** The stick is part of the machines that were saved with it in: these bytes and no others. */
async function keptStick(lab: Lab): Promise<string> {
  const target = await makePackage(lab.sample, { version: TARGET, ballast: BALLAST })
  const further = await makePackage(lab.sample, { version: FURTHER })
  const stick = `${target}.stick`
  if (!(await isThere(stick))) {
    const files = { 'target.superblock': target, 'further.superblock': further }
    await rename(await makeStick(lab.folder, 'stick', files, { size: 700 }), stick)
  }
  return stick
}

/** How long each step took, from the service's own log; and what is known of the moments after the reboot. */
async function durations(machine: Machine): Promise<Record<Moment, number>> {
  const log = await machine.run('journalctl -b -u superblockd -o cat --no-pager')
  const entered: [string, number][] = []
  for (const line of log.split('\n')) {
    const { msg, state, step, time } = /^\{/.test(line) ? JSON.parse(line) : ({} as Record<string, string>)
    if (msg === 'state') entered.push([step ?? state, Date.parse(time)])
  }
  const took = (step: string) => {
    const begun = entered.find(([name]) => name === step)?.[1] ?? 0
    const next = entered.find(([name, at]) => at >= begun && name !== step)?.[1] ?? begun
    return (next - begun) / 1000
  }
  const uptime = Number((await machine.run('cat /proc/uptime')).split(' ')[0])
  return {
    admit: took('admit'),
    stage: took('stage'),
    import: took('import'),
    arm: took('arm'),
    deploy: took('deploy'),
    settle: took('settle'),
    shutdown: 10,
    start: Math.min(60, uptime / 3),
    trying: 5,
  }
}

const JOURNAL = '/var/lib/superblock/state.json'

/** One cut, and all that has to hold afterwards; what was seen is noted in `row`. */
async function cut(lab: Lab, bench: Bench, row: Trial, slower: number): Promise<void> {
  const { moment, part } = row
  const machine = await reach(lab, bench, row)
  await sleep(part * bench.seconds[moment] * slower * 1000)
  await machine.powerCut()
  await machine.start()

  row.found = await agreed(machine)
  const ended = await machine.waitFor(
    ({ job }) => job === null || !['running', 'paused', 'trying'].includes(job.state),
    'the job to go on to where it waits or ends',
  )
  row.after = ended.job === null ? 'nothing had begun' : ended.job.state
  if (ended.job?.state === 'reboot' && row.finish) {
    const { job } = await reboot(machine)
    assert.equal(job?.state, 'done')
    row.after += ', rebooted, done'
  } else if (ended.job?.state === 'reboot') {
    await machine.request('/v1/cancel')
    await machine.waitFor(({ job }) => job?.state === 'cancelled', 'the end of what was called off')
    row.after += ', called off'
  }
  // What is seen of the journal may not be on the disk yet: then what came before it is, and before the first step nothing.
  const ends = moment === 'admit' ? /^(reboot|done|nothing had begun)/ : /^(reboot|done)/
  assert.match(row.after, ends, 'the job went on to its end')
  await agreed(machine)

  await install(machine, FURTHER)
  await installed(machine)
  await agreed(machine)
  row.after += `, ${FURTHER} installs`
  await machine.run('sync')
  await machine.powerCut()
  await checkDisk(join(machine.folder, 'disk.qcow2'))
  row.after += ', whole'
}

/** A machine at the beginning of the moment. */
async function reach(lab: Lab, bench: Bench, { moment }: Plan): Promise<Machine> {
  if (moment === 'shutdown' || moment === 'start' || moment === 'trying') {
    const machine = await lab.after('due', bench.due)
    const before = machine.bootId()
    await machine.request('/v1/reboot')
    if (moment === 'shutdown') return machine
    await machine.wentDown()
    if (moment === 'start') return machine
    await machine.rebooted(before)
    await entered(machine, '"at": "trying"')
    return machine
  }
  const machine = await lab.after('inserted', bench.inserted)
  await install(machine, TARGET)
  await entered(machine, `"step": "${moment}"`)
  return machine
}

/** Wait inside the machine, where it is seen within a tenth of a second, or that it is past. */
async function entered(machine: Machine, what: string): Promise<void> {
  const past = what.includes('step') ? '"at": "reboot"' : '"at": "done"'
  // In one process: to start others ten times a second would take a good part of an emulated processor.
  await machine.run(
    `perl -e 'until (eval { local (@ARGV, $/) = "${JOURNAL}"; <> } =~ /${what}|${past}/) { select undef, undef, undef, 0.1 }'`,
  )
}

/** Seconds in which the service may still have to learn what a running step of the job has just changed. */
const CHANGING = 60

/** What the machine runs, in which the service has to agree with ostree: `1.0 booted, job running`. */
async function agreed(machine: Machine): Promise<string> {
  for (const end = Date.now() + CHANGING * 1000; ; await sleep(2000)) {
    const { deployments, job } = await machine.status()
    const said = deployments
      .map(({ version, booted, pending, rollback }) =>
        [version, ...(booted ? ['booted'] : pending ? ['pending'] : rollback ? ['rollback'] : [])].join(' '),
      )
      .join(', ')
    const is = await order(machine)
    if (said !== is && Date.now() < end) continue
    assert.equal(said, is, 'the service says of the deployments what ostree says')
    assert.match(is, /(1\.0|2\.5) booted/)
    return `${is}, ${job ? `job ${job.state}` : 'no job'}`
  }
}
