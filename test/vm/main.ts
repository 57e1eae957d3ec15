/**
 * `npm run test:vm`: the product on a booted machine. A line when a scenario begins and when it ends, at last `N passed, M
 * failed`; the exit status is 0 when none failed. What a failed one left is in .cache/vm/NAME.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PROJECT } from '../kit/project.ts'
import { BREAKAGES, type Breakage } from './breakages.ts'
import { findSample, type Lab, openLab, type Sample } from './lab.ts'
import { powerCuts } from './power-cuts.ts'
import { auto } from './scenarios/auto.ts'
import { noSpace, serviceKilled, clock as wrongClock } from './scenarios/conditions.ts'
import { firmware } from './scenarios/firmware.ts'
import { install } from './scenarios/install.ts'
import { filesystems, inbox, twoSticks } from './scenarios/media.ts'
import { refusals } from './scenarios/refusals.ts'
import { rollback } from './scenarios/rollback.ts'
import { failingCheck, hang, panic, trialCuts, uboot } from './scenarios/trial.ts'
import { unplug } from './scenarios/unplug.ts'
import type { TrialOptions } from './trials.ts'

export type Scenario = (lab: Lab, say: (line: string) => void) => Promise<void>

const SCENARIOS: Record<string, Scenario> = {
  install,
  rollback,
  refusals,
  unplug,
  auto,
  'two-sticks': twoSticks,
  filesystems,
  inbox,
  clock: wrongClock,
  'no-space': noSpace,
  'service-killed': serviceKilled,
  firmware,
  'trial-check': failingCheck,
  'trial-panic': panic,
  'trial-hang': hang,
  'trial-cuts': trialCuts,
  'trial-uboot': uboot,
}
/** What is tried many times, each time otherwise; and which of them show that something is broken. */
const REPEATED = {
  // Two cuts, one of them while objects are imported.
  'power-cut': { run: powerCuts, broken: { count: 3, from: 2 } },
} as const
const isRepeated = (name: string | undefined): name is keyof typeof REPEATED => Object.hasOwn(REPEATED, name ?? '')
/** Releases that do not work, and one that does. */
const TRIAL = Object.keys(SCENARIOS).filter(name => name.startsWith('trial-'))
/** The least that must hold, in an order in which one goes on where another left the machine. */
const SMOKE = ['install', 'rollback', 'refusals', 'unplug']

const USAGE = `usage: npm run test:vm -- [smoke | trial | all | SCENARIO… | broken [SCENARIO…]
                      | power-cut [--count N] [--seed S] [--from K | --only K,K…] [--jobs N]]
  smoke      ${SMOKE.join(', ')} (what runs without a word)
  trial      ${TRIAL.join(', ')}
  all        every SCENARIO
  broken     what each looks for is broken first, and each has to fail
  power-cut  the power is cut N times (20) in the middle of an installation, at moments that the seed S (1) chooses
             --from goes on after an interruption, --only repeats some, --jobs has so many machines (1) side by side
  SCENARIO   ${Object.keys(SCENARIOS).join(', ')}`

/** What is at work, for whoever interrupts it. */
let current: Lab | undefined

const now = () => new Date().toTimeString().slice(0, 8)

/** What is asked for. @throws Error that names the word which is wrong */
function understand(words: readonly string[]): () => Promise<{ good: number; bad: number }> {
  const [first] = words
  if (isRepeated(first)) {
    const options = trialsOf(words.slice(1))
    return async () => REPEATED[first].run(await findSample(), options, line => console.log(`${now()}  ${line}`))
  }
  const isBroken = first === 'broken'
  const asked = isBroken ? words.slice(1) : words
  const names = (asked.length > 0 ? asked : isBroken ? Object.keys(BREAKAGES) : ['smoke']).flatMap(word =>
    word === 'smoke' ? SMOKE : word === 'trial' ? TRIAL : word === 'all' ? Object.keys(SCENARIOS) : [word],
  )
  const unknown = names.filter(name => (isBroken ? !BREAKAGES[name] : !SCENARIOS[name]))
  if (unknown.length > 0) throw new Error(`there is no scenario ${unknown.join(', ')}`)
  return async () => {
    const sample = await findSample()
    let bad = 0
    for (const name of names) if (!(await (isBroken ? fails(sample, name) : passes(sample, name)))) bad++
    return { good: names.length - bad, bad }
  }
}

async function main(words: readonly string[]): Promise<number> {
  if (words[0] === '--help') {
    console.log(USAGE)
    return 0
  }
  const isCheck = words[0] === '--check'
  let work: ReturnType<typeof understand>
  try {
    work = understand(isCheck ? words.slice(1) : words)
  } catch (error) {
    console.error(`cannot run this: ${(error as Error).message}\n${USAGE}`)
    return 2
  }
  if (isCheck) return 0
  const { good, bad } = await work()
  console.log(`${good} passed, ${bad} failed`)
  return bad === 0 ? 0 : 1
}

const clock = () => {
  const begun = performance.now()
  return () => `${Math.round((performance.now() - begun) / 1000)} s`
}
const sayOf = (name: string) => (line: string) => console.log(`${now()}  ${name}: ${line}`)

async function passes(sample: Sample, name: string): Promise<boolean> {
  const [say, seconds] = [sayOf(name), clock()]
  say('begins')
  const failure = await play(sample, name, line => say(`${line} (${seconds()})`))
  say(failure ? `FAILED after ${seconds()}: ${failure}` : `passed in ${seconds()}`)
  return failure === undefined
}

/** Whether a scenario notices that what it looks for is broken. */
async function fails(sample: Sample, name: string): Promise<boolean> {
  const [say, seconds] = [sayOf(`broken ${name}`), clock()]
  const { what, how } = BREAKAGES[name] as Breakage
  say(what)
  const failure = isRepeated(name)
    ? await trialsThatFail(sample, name, how, say)
    : await play(sample, name, line => say(`${line} (${seconds()})`), how)
  const noticed = failure !== undefined && !failure.includes(how)
  say(
    noticed ? `noticed after ${seconds()}: ${failure.split('\n')[0]}` : `NOT NOTICED in ${seconds()} ${failure ?? ''}`,
  )
  return noticed
}

/** Each of two has to fail. */
async function trialsThatFail(
  sample: Sample,
  name: keyof typeof REPEATED,
  breakage: string,
  say: (line: string) => void,
): Promise<string | undefined> {
  const { run, broken } = REPEATED[name]
  const { bad } = await run(sample, { ...broken, seed: 1, only: [], jobs: 1, breakage }, say)
  return bad === 2 ? 'both trials are told as failed' : undefined
}

/** @returns why the scenario failed; then its machines have told what there is to tell */
async function play(
  sample: Sample,
  name: string,
  say: (line: string) => void,
  breakage?: string,
): Promise<string | undefined> {
  const folder = join(PROJECT, '.cache/vm', name)
  const lab = await openLab(sample, folder, { breakage })
  current = lab
  try {
    await SCENARIOS[name]?.(lab, say)
    await closeAll(lab)
    await rm(folder, { recursive: true })
    return undefined
  } catch (error) {
    if (!breakage) for (const machine of lab.machines) console.log(await machine.evidence().catch(String))
    await closeAll(lab)
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

/** @throws Error of an option that is not known or is no number */
function trialsOf(words: readonly string[]): TrialOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      count: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      from: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
      jobs: { type: 'string', default: '1' },
    },
  })
  const number = (name: string, text: string) => {
    if (!/^[0-9]{1,9}$/.test(text) || text === '0') throw new Error(`--${name} wants a number from 1, not "${text}"`)
    return Number(text)
  }
  return {
    count: number('count', values.count),
    seed: number('seed', values.seed),
    from: number('from', values.from),
    only: values.only
      .split(',')
      .filter(Boolean)
      .map(text => number('only', text)),
    jobs: number('jobs', values.jobs),
  }
}

async function closeAll(lab: Lab): Promise<void> {
  for (const machine of lab.machines) await machine.powerCut()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, async () => {
    for (const machine of current?.machines ?? []) console.log(await machine.evidence().catch(String))
    process.exit(130)
  })

process.exitCode = await main(process.argv.slice(3))
