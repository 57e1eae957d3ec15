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
/** Releases that do not work, and one that does. */
const TRIAL = Object.keys(SCENARIOS).filter(name => name.startsWith('trial-'))
/** The least that must hold, in an order in which one goes on where another left the machine. */
const SMOKE = ['install', 'rollback', 'refusals', 'unplug']

const USAGE = `usage: npm run test:vm -- [smoke | trial | all | SCENARIO… | power-cut --count N --seed S [--from K] [--only K,K…] [--jobs N]
                               | broken [SCENARIO…]]
  smoke     ${SMOKE.join(', ')} (what runs without a word)
  trial     ${TRIAL.join(', ')}
  broken    what each looks for is broken first, and each has to fail
  SCENARIO  ${Object.keys(SCENARIOS).join(', ')}`

/** What is at work, for whoever interrupts it. */
let current: Lab | undefined

const now = () => new Date().toTimeString().slice(0, 8)

async function main(words: readonly string[]): Promise<number> {
  if (words[0] === 'power-cut') return cutPower(words.slice(1))
  const isBroken = words[0] === 'broken'
  const asked = isBroken ? words.slice(1) : words
  const names = (asked.length > 0 ? asked : isBroken ? Object.keys(BREAKAGES) : ['smoke']).flatMap(word =>
    word === 'smoke' ? SMOKE : word === 'trial' ? TRIAL : word === 'all' ? Object.keys(SCENARIOS) : [word],
  )
  const unknown = names.filter(name => (isBroken ? !BREAKAGES[name] : !SCENARIOS[name]))
  if (unknown.length > 0) {
    console.error(`cannot run ${unknown.join(', ')}: there is no such scenario\n${USAGE}`)
    return 2
  }
  const sample = await findSample()
  let failed = 0
  for (const name of names) if (!(await (isBroken ? fails(sample, name) : passes(sample, name)))) failed++
  console.log(`${names.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
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
  const failure =
    name === 'power-cut'
      ? await cutsThatFail(sample, how, say)
      : await play(sample, name, line => say(`${line} (${seconds()})`), how)
  const noticed = failure !== undefined && !failure.includes(how)
  say(
    noticed ? `noticed after ${seconds()}: ${failure.split('\n')[0]}` : `NOT NOTICED in ${seconds()} ${failure ?? ''}`,
  )
  return noticed
}

/** Two cuts, one of them while objects are imported. */
async function cutsThatFail(sample: Sample, breakage: string, say: (line: string) => void) {
  const { bad } = await powerCuts(sample, { count: 3, seed: 1, from: 2, only: [], jobs: 1, breakage }, say)
  return bad === 2 ? 'both power cuts are told as failed' : undefined
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

async function cutPower(words: readonly string[]): Promise<number> {
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
  const count = Number(values.count)
  const only = values.only.split(',').filter(Boolean).map(Number)
  const { good, bad } = await powerCuts(
    await findSample(),
    { count, seed: Number(values.seed), from: Number(values.from), only, jobs: Number(values.jobs) },
    line => console.log(`${now()}  ${line}`),
  )
  console.log(`${good} passed, ${bad} failed`)
  return bad === 0 ? 0 : 1
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
