/**
 * The power is cut again and again in the middle of an installation, at moments that a seed chooses, and each time the
 * machine has to come up by itself, know what it runs, end or undo what was under way, and be able to install once more.
 */
import assert from 'node:assert/strict'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isThere } from '../../src/base/files.ts'
import { checkDisk } from './disk.ts'
import type { Lab, Preparation, Sample } from './lab.ts'
import type { Machine } from './machine.ts'
import { type Moment, type Plan, planOf, type Trial, table } from './moments.ts'
import { install, installed, offered, order, reboot } from './operate.ts'
import { makePackage } from './releases.ts'
import { makeStick } from './sticks.ts'
import { runTrials, type TrialOptions } from './trials.ts'

/** The release that is being installed when the power fails: enough to read and import for every moment to be hit. */
const TARGET = '2.5'
const BALLAST = [
  { count: 30, size: 2 ** 20 },
  { count: 300, size: 4000 },
]
/** The one that has to be installable afterwards, whatever became of the first. */
const FURTHER = '2.6'

/** @returns how many held and how many did not */
export const powerCuts = (sample: Sample, options: TrialOptions, say: (line: string) => void) =>
  runTrials<Trial>(
    {
      name: 'power-cut',
      screen: false,
      plan: (seed, count) => planOf(seed, count).map(plan => ({ ...plan, ...UNTRIED })),
      async prepare(lab) {
        const bench = await prepare(lab)
        say(
          Object.entries(bench.seconds)
            .map(([moment, seconds]) => `${moment} ${seconds.toFixed(1)} s`)
            .join(', '),
        )
        // What machines side by side take longer for. One that is cut too late is cut in the step that follows.
        const slower = options.jobs > 1 ? 1.5 : 1
        return (lab, row) => cut(lab, bench, row, slower)
      },
      brief: ({ moment, part, found, after }) => `${moment} at ${Math.round(part * 100)} %: ${found}; ${after}`,
      table,
    },
    sample,
    options,
    say,
  )

const UNTRIED = { ok: false, found: '', after: '', seconds: 0, why: '' }

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
