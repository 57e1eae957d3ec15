/** A program that runs on an emulated device: one verb of the engine, its arguments and its result as JSON. */
import { mkdir } from 'node:fs/promises'
import { asFailure } from '../../src/base/failure.ts'
import { settled } from '../../src/base/run.ts'
import { loadConfig } from '../../src/config.ts'
import { commitFacts } from '../../src/ostree/commit-facts.ts'
import * as deploying from '../../src/ostree/deploy.ts'
import { openEngine } from '../../src/ostree/engine.ts'
import { applyDelta, dropRef, importCommit, refCommit } from '../../src/ostree/import.ts'
import { lacking } from '../../src/ostree/objects.ts'
import { setDefault, type Target } from '../../src/ostree/rollback.ts'
import { deploymentId, deployments } from '../../src/ostree/status.ts'
import { stagedModeFor } from '../../src/ostree/storage.ts'
import { thawBoot } from '../../src/ostree/thaw.ts'
import * as tidying from '../../src/ostree/tidy.ts'
import { armTrial, clearTrial, readTrial } from '../../src/update/trial.ts'

const folder = '/run/superblock/engine'
const engine = openEngine(folder)

const verbs = {
  deployments: () => deployments(engine),
  commitFacts: (commit: string) => commitFacts(engine.repo, commit),
  lacking: async (objects: { path: string; size: number; unpacked: number }[]) =>
    (await lacking(engine.repo, objects)).map(place => objects[place]?.path),
  stagedMode: (at: string) => stagedModeFor(engine, at),
  refCommit: (ref: string) => refCommit(engine, ref).then(commit => commit ?? null),
  importCommit: (source: string, commit: string, ref: string) => importCommit(engine, source, commit, ref),
  applyDelta: (file: string, commit: string, ref: string) => applyDelta(engine, file, commit, ref),
  dropRef: (ref: string, to?: string) => dropRef(engine, ref, to),
  async arm(os: string, commit: string) {
    const config = await loadConfig()
    await mkdir(config.state, { recursive: true })
    await armTrial(engine, { os, commit }, config)
  },
  readTrial: () => readTrial(engine).then(trial => trial ?? null),
  clearTrial: async () => clearTrial(engine, (await loadConfig()).state),
  deploy: (os: string, ref: string) => deploying.deploy(engine, os, ref),
  undeploy: (index: number) => tidying.undeploy(engine, index),
  cleanup: () => tidying.sweep(engine),
  pin: (index: number) => deploying.pin(engine, index),
  unpin: (index: number) => deploying.unpin(engine, index),
  prune: (keep: number, protectedIds: string[]) =>
    deploying.prune(engine, keep, one => protectedIds.includes(deploymentId(one))).then(({ gone }) => gone),
  setDefault: (target: Target) => setDefault(engine, target),
  settled: () => settled(engine.lock),
  thawBoot: () => thawBoot('/'),
}

export type Verbs = typeof verbs

const [verb = '', args = '[]'] = process.argv.slice(2)
try {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const run = verbs[verb as keyof Verbs] as (...args: unknown[]) => Promise<unknown>
  console.log(JSON.stringify({ value: (await run(...JSON.parse(args))) ?? null }))
} catch (error) {
  const { code, message } = asFailure(error, verb)
  console.log(JSON.stringify({ code, message }))
}
