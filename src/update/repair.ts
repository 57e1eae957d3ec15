/**
 * The device's store mended: everything is read, and what is damaged or missing comes back, from copies on the device or from packages that
 * have it. Nothing of it needs a reboot, and repeating it is harmless.
 */
import { join } from 'node:path'
import { asFailure, Failure } from '../base/failure.ts'
import { removeTree } from '../base/files.ts'
import { abortable, type Source, unlessAborted } from '../base/source.ts'
import { counts, findBootLoader } from '../boot/bootloader.ts'
import { audit, type Damage } from '../ostree/audit.ts'
import { restoreFiles } from '../ostree/backup.ts'
import { mendBoot } from '../ostree/boot-copies.ts'
import { bootFiles } from '../ostree/boot-files.ts'
import { readCommitObject } from '../ostree/commit-facts.ts'
import { changeFiles } from '../ostree/engine.ts'
import { type Copy, copyInto } from '../ostree/mend.ts'
import { plainPath } from '../ostree/object.ts'
import { readHere } from '../ostree/objects.ts'
import { forgetSound, isSoundObject } from '../ostree/sound.ts'
import { readConfig } from '../ostree/storage.ts'
import type { PlainMode } from '../ostree/unpack.ts'
import type { Member } from '../package/index.ts'
import { parseManifest } from '../package/manifest.ts'
import { readHead, readIndex } from '../package/read.ts'
import { verifySignatures } from '../package/signature.ts'
import { judgeSignatures } from '../trust.ts'
import { type Core, causeOf } from './core.ts'
import { stagingOf } from './staging.ts'
import type { RepairJob, State } from './state.ts'
import { sizeOfStore } from './surplus.ts'

export interface Repairs {
  run(job: RepairJob): Promise<State>
  abort(): void
}

/** Staging of what is brought for a repair, beside those of packages. */
const SCRATCH = 'repair'

export function makeRepairs(core: Core): Repairs {
  const { config, engine, log, meter, recordOnce } = core
  let aborter = new AbortController()

  async function run(job: RepairJob): Promise<State> {
    aborter = new AbortController()
    try {
      const before = await look()
      const left = before.length === 0 ? [] : await mend(job, before)
      return end(job, before.length - left.length, left)
    } catch (error) {
      if (aborter.signal.aborted) return { at: 'cancelled', job, cause: { code: 'cancelled', text: 'cancelled' } }
      const cause = causeOf(asFailure(error, 'repair the store'))
      await recordOnce('failed', job, { version: job.to.version, ...cause })
      return { at: 'failed', job, cause }
    }
  }

  async function look(): Promise<Damage[]> {
    const { deployments } = await core.device()
    meter.begin('check', await sizeOfStore(engine, deployments))
    return audit(engine, config.state, deployments, count => {
      aborter.signal.throwIfAborted()
      meter.add(count)
    })
  }

  /** @returns what is left */
  async function mend(job: RepairJob, damages: readonly Damage[]): Promise<Damage[]> {
    meter.begin('repair', 0)
    log.info({ damages }, 'this is damaged')
    for (const path of await restoreFiles(engine, config.state)) log.info({ path }, 'put back')
    for (const { kind, path } of damages) if (kind === 'ref') await changeFiles(engine, 'rm -f -- "$1"', path)
    const objects = damages.filter(({ kind }) => kind === 'object').map(({ path }) => path)
    for (const path of packagesOf(job)) {
      const missing = await stillDamaged(objects)
      if (missing.length === 0) break
      await bring(path, missing).catch(error => {
        aborter.signal.throwIfAborted()
        log.warn({ err: error, path }, 'nothing could be taken from this package')
      })
    }
    await mendLoader()
    forgetSound()
    const { deployments } = await core.device()
    for (const { commit, os } of deployments) {
      const root = await readCommitObject(engine.repo, commit).catch(() => undefined)
      const kernels = root ? await bootFiles(root.root.tree, readHere(engine.repo)).catch(() => []) : []
      for (const kernel of kernels)
        if (await areSound(kernel.map(({ object }) => object))) await mendBoot(engine, os, kernel, true)
    }
    return look()
  }

  /** GRUB's block is made anew where it cannot be read; no trial is on, or there would be another job. */
  async function mendLoader(): Promise<void> {
    const loader = await findBootLoader(engine.sysroot)
    if (counts(loader)) await loader.read().catch(() => loader.clear())
  }

  const areSound = async (objects: readonly string[]) => {
    for (const object of objects) if ((await isSoundObject(engine.repo, object)) !== true) return false
    return true
  }

  async function stillDamaged(objects: readonly string[]): Promise<string[]> {
    forgetSound()
    const damaged: string[] = []
    for (const path of objects) if ((await isSoundObject(engine.repo, path)) !== true) damaged.push(path)
    return damaged
  }

  /** The package that was named, else every one that is trusted; what was installed already can mend best. */
  function packagesOf(job: RepairJob): string[] {
    if (job.path !== '') return [job.path]
    return core
      .offers()
      .list()
      .filter(({ release }) => release !== undefined)
      .map(({ path }) => path)
  }

  /** Bring those of these objects that a package has. */
  async function bring(path: string, objects: readonly string[]): Promise<void> {
    const { signal } = aborter
    const source = abortable(await unlessAborted(core.open(path), signal), signal)
    const staging = stagingOf(config.state, SCRATCH)
    try {
      const members = await membersOf(source, objects)
      if (members.length === 0) return
      meter.begin(
        'repair',
        members.reduce((sum, { size }) => sum + size, 0),
      )
      const mode = await modeOf()
      await staging.drop()
      await staging.fill(source, members, mode, new Map(), {
        read(count) {
          signal.throwIfAborted()
          meter.add(count)
        },
        written: () => meter.beat(),
      })
      const copies = members.map(({ path: object }): Copy => {
        const plain = plainPath(object)
        return { from: join(staging.repo, plain), to: join(engine.repo, plain) }
      })
      await copyInto(engine, copies)
    } finally {
      await source.close()
      await removeTree(join(staging.repo, '..')).catch(() => {})
    }
  }

  /** Members of a package whose signatures suffice, in the order they lie there. */
  async function membersOf(source: Source, objects: readonly string[]): Promise<Member[]> {
    const head = await readHead(source)
    const { keyring, required } = await core.judges(false)
    const checked = await verifySignatures(head.manifest, head.signatures, keyring)
    const trusted = judgeSignatures(checked, keyring.keys.length, head.signatures.length, required)
    if (!trusted.fits)
      throw new Failure(trusted.code, `cannot use the package: ${trusted.why}`, { facts: trusted.facts })
    const index = await readIndex(source, head, parseManifest(head.manifest))
    return objects.flatMap(path => index.find(path) ?? []).sort((a, b) => a.header - b.header)
  }

  /** Objects are put into the repo as files, so it must keep them as such. */
  async function modeOf(): Promise<PlainMode> {
    const mode = (await readConfig(engine.repo)).get('core')?.get('mode') ?? 'bare'
    if (mode === 'bare' || mode === 'bare-user-only') return mode
    throw new Failure('store-damaged', `cannot mend a store of mode ${mode}: install a full package`)
  }

  async function end(job: RepairJob, mended: number, left: readonly Damage[]): Promise<State> {
    const problem = damageProblem(left)
    core.problem('store-damaged', problem)
    await recordOnce('repaired', job, { version: job.to.version, mended, left: left.length })
    const done: RepairJob = { ...job, mended, left: left.length }
    if (!problem) return { at: 'done', job: done }
    return { at: 'failed', job: done, cause: { code: 'store-damaged', text: problem.text, facts: problem.facts } }
  }

  return { run, abort: () => aborter.abort(new Failure('cancelled', 'cancelled')) }
}

/** What is damaged, in one sentence; undefined where nothing is. */
export function damageProblem(damages: readonly Damage[]) {
  const [first] = damages
  if (!first) return undefined
  const releases = [...new Set(damages.flatMap(damage => damage.releases))].sort().join(', ')
  const seen = first.seen || first.path
  const of = releases === '' ? '' : ` of version ${releases}`
  const rest = damages.length - 1
  const more = rest > 0 ? ` and ${rest} more` : ''
  return {
    text: `the device's store of releases is damaged: ${seen}${more}${of}`,
    next: `Insert a stick with a package${of || ' of the release that runs'}, then: superblock repair`,
    facts: { seen, count: damages.length, releases },
  }
}
