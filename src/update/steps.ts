/** The steps of an installation: each can be repeated after any interruption, each has its undo. */
import { Failure } from '../base/failure.ts'
import { removeTree } from '../base/files.ts'
import { makeFlusher } from '../base/flush.ts'
import { collectGarbage } from '../base/heap.ts'
import { settled } from '../base/run.ts'
import { runHooks } from '../boot/hooks.ts'
import type { Config } from '../config.ts'
import { deploy, prune, undeploy } from '../ostree/deploy.ts'
import type { Engine } from '../ostree/engine.ts'
import { applyDelta, dropRef, importCommit, refCommit } from '../ostree/import.ts'
import { takeFromCommit } from '../ostree/show.ts'
import { type Deployment, deployments } from '../ostree/status.ts'
import { warm } from '../ostree/warm.ts'
import type { Source } from '../package/read.ts'
import { type Admitted, admit, type Judges } from './admit.ts'
import { hooksFolder, hookTerms, programLock, refusedBy } from './hooks.ts'
import type { Meter } from './meter.ts'
import { makeReserve } from './reserve.ts'
import type { Counters, StepName } from './snapshot.ts'
import { stagingOf } from './staging.ts'
import type { InstallJob } from './state.ts'
import { armTrial, clearTrial } from './trial.ts'

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
}

interface Step {
  do(job: InstallJob, shop: Workshop): Promise<void>
  undo(job: InstallJob, shop: Workshop): Promise<void>
}

const nothing = async () => {}

export const steps: { [name in StepName]: Step } = {
  admit: { do: admitPackage, undo: nothing },
  stage: { do: stageMembers, undo: (job, shop) => stagingOf(shop.config.state, job.offer).drop() },
  import: { do: importRelease, undo: (job, shop) => dropRef(shop.engine, job.to.ref, job.earlierRef || undefined) },
  arm: { do: armRelease, undo: (_, shop) => clearTrial(shop.engine, shop.config.state) },
  deploy: { do: deployRelease, undo: undeployRelease },
  settle: { do: settleRelease, undo: nothing },
}

async function admitPackage(job: InstallJob, shop: Workshop): Promise<void> {
  const source = shop.source
  if (!source) throw new Failure('media-gone', `cannot read ${job.path}: the stick was removed`)
  shop.meter.begin('admit', 0)
  warm(shop.engine)
  const admitted = await admit(source, await shop.judges(), shop.engine, shop.config.state, { signers: [] })
  if ('fits' in admitted) throw new Failure(admitted.code, admitted.why, { facts: admitted.facts })
  if (admitted.id !== job.offer)
    throw new Failure('changed', `cannot install ${job.path}: it is no longer the package that was shown`)
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
    delta: plan.way === 'delta' ? wanted[0]?.path : undefined,
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
  collectGarbage() // of an index with thousands of lines, most are parsed and let go
  meter.begin(
    'stage',
    admitted.wanted.reduce((sum, member) => sum + member.size, 0),
  )
  const present = await staging.present(admitted.wanted, admitted.mode, count => {
    shop.signal.throwIfAborted()
    meter.add(count)
  })
  const missing = admitted.wanted.filter(member => !present.has(member.path))
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
    counters.membersRead += missing.length
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

/** The release may look at what is here before it is deployed, and refuse. */
async function armRelease(job: InstallJob, shop: Workshop): Promise<void> {
  shop.meter.begin('arm', 0)
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

async function deployRelease(job: InstallJob, shop: Workshop): Promise<void> {
  shop.meter.begin('deploy', 0)
  await deploy(shop.engine, job.to.os, job.to.ref, () => shop.meter.beat())
}

async function undeployRelease(job: InstallJob, shop: Workshop): Promise<void> {
  const made = await madeBy(job, shop.engine)
  if (made) await undeploy(shop.engine, made.index)
}

async function settleRelease(job: InstallJob, shop: Workshop): Promise<void> {
  shop.meter.begin('settle', 0)
  await stagingOf(shop.config.state, job.offer).drop()
  await prune(shop.engine, shop.config.install.keep, shop.isProtected)
  await makeReserve(shop.config.state, shop.config.install.reserve)
}
