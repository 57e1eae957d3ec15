/** The steps of an installation: each can be repeated after any interruption, each has its undo. */
import { asFailure, Failure } from '../base/failure.ts'
import { removeTree } from '../base/files.ts'
import { makeFlusher } from '../base/flush.ts'
import { collectGarbage } from '../base/heap.ts'
import { settled } from '../base/run.ts'
import { runHooks } from '../boot/hooks.ts'
import type { Config } from '../config.ts'
import { deploy, prune } from '../ostree/deploy.ts'
import type { Engine } from '../ostree/engine.ts'
import { etcState } from '../ostree/etc.ts'
import { applyDelta, dropRef, importCommit, refCommit } from '../ostree/import.ts'
import { takeFromCommit } from '../ostree/show.ts'
import { type Deployment, deployments } from '../ostree/status.ts'
import { type Leftover, undeploy } from '../ostree/tidy.ts'
import { warm } from '../ostree/warm.ts'
import type { Source } from '../package/read.ts'
import { type Admitted, admit, type Judges } from './admit.ts'
import { hooksFolder, hookTerms, programLock, refusedBy } from './hooks.ts'
import type { Meter } from './meter.ts'
import { checkRelease } from './preflight.ts'
import { makeReserve } from './reserve.ts'
import type { Counters, StepName } from './snapshot.ts'
import { only, stagingOf } from './staging.ts'
import type { InstallJob } from './state.ts'
import { armTrial, clearTrial, isArmed } from './trial.ts'

export interface Workshop {
  engine: Engine
  config: Config
  meter: Meter
  signal: AbortSignal
  /** the package's file, open for the time of admit and stage */
  source: Source | undefined
  judges: () => Promise<Judges>
  admitted?: Admitted
  /** Change what is journalled of the job. */
  update(change: Partial<InstallJob>): Promise<void>
  /** deployments that must stay */
  isProtected: (deployment: Deployment) => boolean
  tidied: (left: readonly Leftover[]) => void
}

interface Step {
  do(job: InstallJob, shop: Workshop): Promise<void>
  undo(job: InstallJob, shop: Workshop): Promise<void>
}

const nothing = async () => {}

export const steps: { [name in StepName]: Step } = {
  admit: { do: admitPackage, undo: nothing },
  stage: { do: stageMembers, undo: (job, shop) => stagingOf(shop.config.state, job.offer).drop() },
  import: {
    do: importRelease,
    undo: async (job, shop) => shop.tidied(await dropRef(shop.engine, job.to.ref, job.earlierRef || undefined)),
  },
  arm: { do: armRelease, undo: (_, shop) => clearTrial(shop.engine, shop.config.state) },
  deploy: { do: deployRelease, undo: undeployRelease },
  settle: { do: settleRelease, undo: nothing },
}

async function admitPackage(job: InstallJob, shop: Workshop): Promise<void> {
  const source = shop.source
  if (!source) throw new Failure('media-gone', `cannot read ${job.path}: the stick was removed`)
  shop.meter.begin('admit', 0)
  warm(shop.engine)
  const judges = { ...(await shop.judges()), shown: job.offer }
  const admitted = await admit(source, judges, shop.engine, shop.config.state, { signers: [] })
  if ('fits' in admitted)
    throw new Failure(admitted.code, `cannot install ${job.path}: ${admitted.why}`, { facts: admitted.facts })
  const { manifest, plan, wanted, imported } = admitted
  shop.admitted = admitted
  await shop.update({
    to: {
      version: manifest.version,
      commit: manifest.commit,
      ref: manifest.ref,
      os: manifest.os,
      epoch: manifest.epoch,
      timestamp: manifest.timestamp,
    },
    earlierRef: (await refCommit(shop.engine, manifest.ref)) ?? '',
    delta: plan.way === 'delta' ? [...wanted][0]?.path : undefined,
    unpacked: imported,
    counters: {
      ...job.counters,
      bytesRead: job.counters.bytesRead + admitted.bytesRead,
      membersSkipped: manifest.payload.members - wanted.length,
    },
  })
}

async function stageMembers(job: InstallJob, shop: Workshop): Promise<void> {
  const { source, admitted, meter } = shop
  if (!source || !admitted) throw new Failure('media-gone', `cannot read ${job.path}: the stick was removed`)
  const staging = stagingOf(shop.config.state, job.offer)
  collectGarbage() // what planning left
  meter.begin('stage', admitted.plan.bytesToRead)
  const lacking = await staging.lacking(admitted.wanted, admitted.mode, count => {
    shop.signal.throwIfAborted()
    meter.add(count)
  })
  const missing = { [Symbol.iterator]: () => only(admitted.wanted, (_, place) => lacking.has(place)) }
  const counters: Counters = { ...job.counters }
  try {
    await staging.fill(source, missing, admitted.mode, admitted.read, {
      read(count) {
        shop.signal.throwIfAborted()
        meter.add(count)
        counters.bytesRead += count
      },
      written(count) {
        shop.signal.throwIfAborted()
        meter.beat()
        counters.bytesWritten += count
      },
    })
    counters.membersRead += lacking.size
  } finally {
    await shop.update({ counters })
  }
}

async function importRelease(job: InstallJob, shop: Workshop): Promise<void> {
  const { engine, meter } = shop
  meter.begin('import', job.unpacked)
  collectGarbage() // what reading the package left, since ostree needs its share now
  const staging = stagingOf(shop.config.state, job.offer)
  const flusher = makeFlusher(engine.repo)
  const onPulse = (written: number) => {
    meter.set(written)
    flusher.written(written)
  }
  if (job.delta) await applyDelta(engine, staging.pathOf(job.delta), job.to.commit, job.to.ref, onPulse)
  else await importCommit(engine, staging.repo, job.to.commit, job.to.ref, onPulse)
  await flusher.end()
  const { counters } = job
  await shop.update({ counters: { ...counters, bytesWritten: counters.bytesWritten + meter.read().bytesDone } })
}

/** The device looks at the release before it is deployed, and the release at what is here: each may refuse. */
async function armRelease(job: InstallJob, shop: Workshop): Promise<void> {
  shop.meter.begin('arm', 0)
  await checkRelease(shop.engine, shop.config.state, job.to, await deployments(shop.engine))
  await prepare(job, shop)
  await armTrial(shop.engine, job.to, shop.config)
}

/** Run the hooks that the new release has for this moment; they lie in its commit, and nowhere else yet. */
async function prepare({ from, to }: InstallJob, { engine, config, meter }: Workshop): Promise<void> {
  const folder = hooksFolder(config)
  // One that a killed service left behind still runs in it.
  await settled(programLock(engine))
  try {
    if (!(await takeFromCommit(engine, to.commit, config.hooks.folder, folder))) return
    const { failed } = await runHooks(
      folder,
      'pre-deploy',
      hookTerms(config, engine, 'update', from, to, () => meter.beat()),
    )
    if (failed) throw refusedBy(failed, `install version ${to.version}`)
  } finally {
    await removeTree(folder)
  }
}

/** The new deployment, when it is there and the next to be booted. */
async function madeBy(job: InstallJob, engine: Engine): Promise<Deployment | undefined> {
  const [first] = await deployments(engine)
  return first && first.commit === job.to.commit && !first.booted ? first : undefined
}

/** What was deployed before the site changed /etc once more is deployed anew. */
async function deployRelease(job: InstallJob, shop: Workshop): Promise<void> {
  const { engine, config, meter } = shop
  meter.begin('deploy', 0)
  const etc = await etcState('/etc')
  const made = await madeBy(job, engine)
  if (made && job.etc !== undefined && job.etc !== etc) {
    const others = (await deployments(engine)).filter(one => one !== made)
    await checkRelease(engine, config.state, job.to, others)
    shop.tidied(await undeploy(engine, made.index))
  }
  if (job.etc !== etc) await shop.update({ etc })
  // A release never starts without its trial, whoever has ended that meanwhile.
  if (!(await isArmed(engine, job.to, config.state))) await armTrial(engine, job.to, config)
  await deploy(engine, job.to.os, job.to.ref, () => meter.beat())
}

async function undeployRelease(job: InstallJob, shop: Workshop): Promise<void> {
  const made = await madeBy(job, shop.engine)
  if (made) shop.tidied(await undeploy(shop.engine, made.index))
}

/** The release is deployed, and nothing that is only tidied up takes that back. */
async function settleRelease(job: InstallJob, { config, engine, meter, isProtected, tidied }: Workshop): Promise<void> {
  meter.begin('settle', 0)
  const left: Leftover[] = []
  const staging = stagingOf(config.state, job.offer)
  await staging
    .drop()
    .catch(error => left.push({ path: config.state, why: asFailure(error, 'drop the staging').message }))
  await prune(engine, config.install.keep, isProtected).then(
    pruned => left.push(...pruned.left),
    error => left.push({ path: engine.repo, why: asFailure(error, 'remove old releases').message }),
  )
  tidied(left)
  await makeReserve(config.state, config.install.reserve).catch(() => {})
}
