/**
 * `npm run test:vm`: the product on a booted machine. A line when a scenario begins and when it ends, at last `N passed, M
 * failed`; the exit status is 0 when none failed. What a failed one left is in .cache/vm/NAME.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PROJECT } from '../kit/project.ts'
import { findSample, type Lab, openLab } from './lab.ts'
import { powerCuts } from './power-cuts.ts'
import { auto } from './scenarios/auto.ts'
import { clock, noSpace, serviceKilled } from './scenarios/conditions.ts'
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
  clock,
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

const USAGE = `usage: npm run test:vm -- [smoke | trial | all | SCENARIO… | power-cut --count N --seed S [--from K] [--only K,K…]]
  smoke     ${SMOKE.join(', ')} (what runs without a word)
  trial     ${TRIAL.join(', ')}
  SCENARIO  ${Object.keys(SCENARIOS).join(', ')}`

/** What is at work, for whoever interrupts it. */
let current: Lab | undefined

const now = () => new Date().toTimeString().slice(0, 8)

async function main(words: readonly string[]): Promise<number> {
  if (words[0] === 'power-cut') return cutPower(words.slice(1))
  const names = (words.length === 0 ? ['smoke'] : words).flatMap(word =>
    word === 'smoke' ? SMOKE : word === 'trial' ? TRIAL : word === 'all' ? Object.keys(SCENARIOS) : [word],
  )
  const unknown = names.filter(name => !SCENARIOS[name])
  if (unknown.length > 0) {
    console.error(`cannot run ${unknown.join(', ')}: there is no such scenario\n${USAGE}`)
    return 2
  }
  const sample = await findSample()
  let failed = 0
  for (const name of names) {
    const folder = join(PROJECT, '.cache/vm', name)
    const begun = performance.now()
    const seconds = () => `${Math.round((performance.now() - begun) / 1000)} s`
    const say = (line: string) => console.log(`${now()}  ${name}: ${line}`)
    say('begins')
    const lab = await openLab(sample, folder)
    current = lab
    try {
      await SCENARIOS[name]?.(lab, line => say(`${line} (${seconds()})`))
      say(`passed in ${seconds()}`)
      await closeAll(lab)
      await rm(folder, { recursive: true })
    } catch (error) {
      failed++
      say(`FAILED after ${seconds()}: ${error instanceof Error ? error.stack : error}`)
      for (const machine of lab.machines) console.log(await machine.evidence().catch(String))
      await closeAll(lab)
    }
  }
  console.log(`${names.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

async function cutPower(words: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      count: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      from: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
    },
  })
  const count = Number(values.count)
  const only = values.only.split(',').filter(Boolean).map(Number)
  const { good, bad } = await powerCuts(
    await findSample(),
    { count, seed: Number(values.seed), from: Number(values.from), only },
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
