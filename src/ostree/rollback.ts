/** Make another deployment the one that boots next, without touching any. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { run, runUninterrupted } from '../base/run.ts'
import { changeAdmin, type Engine } from './engine.ts'
import type { FlipResult } from './flip.ts'
import { type Deployment, deploymentId, deployments } from './status.ts'

/** Which deployment; the stateroot only where the same commit is deployed in several. */
export type Target = Pick<Deployment, 'commit' | 'serial'> & Partial<Pick<Deployment, 'os'>>

/**
 * The target boots next; the others keep their order, nothing is deleted, no /etc changes. Repeating it is harmless.
 * @throws Failure `no-such-deployment`, `staged`, `flip-missing`, `flip-failed`, `command-failed`
 */
export async function setDefault(engine: Engine, target: Target): Promise<void> {
  const list = await deployments(engine)
  const found = find(list, target)
  if (found.index === 0) return
  if (list.some(one => one.staged))
    throw new Failure(
      'staged',
      'cannot roll back: an update is staged for the next shutdown; finish or undeploy it first',
    )
  if (await hasSetDefault()) await changeAdmin(engine, 'set-default', [String(found.index)])
  else await flip(engine, found)
  const now = await deployments(engine)
  if (find(now, found).index !== 0)
    throw new Failure('flip-failed', `cannot roll back: ${deploymentId(found)} is still not the first; see the log`)
}

function find(list: readonly Deployment[], target: Target): Deployment {
  const same = (one: Deployment) =>
    one.commit === target.commit && one.serial === target.serial && (target.os ?? one.os) === one.os
  const found = list.find(same)
  if (!found)
    throw new Failure('no-such-deployment', `cannot roll back to ${deploymentId(target)}: there is no such deployment`)
  return found
}

/** `ostree admin set-default` came with 2023.6. */
async function hasSetDefault(): Promise<boolean> {
  return /^ +set-default /m.test((await run(['ostree', 'admin', '--help'])).stdout)
}

async function flip(engine: Engine, { os, commit, serial }: Deployment): Promise<void> {
  const program = await findFlip()
  const argv = [process.execPath, program, engine.sysroot, os, commit, String(serial)]
  const { stdout } = await runUninterrupted(argv, engine)
  const line = stdout.trimEnd().split('\n').at(-1) ?? ''
  const result = JSON.parse(line) as FlipResult
  if (!result.ok) throw new Failure(result.code, `cannot roll back: ${result.message}`)
}

/** The program is built beside the others; this code may be in one of them, in a chunk below, or in its own source. */
async function findFlip(): Promise<string> {
  const here = dirname(fileURLToPath(import.meta.url))
  const places = [here, dirname(here), join(here, '../../dist')].map(folder => join(folder, 'flip.js'))
  for (const path of places) if (await isThere(path)) return path
  throw new Failure('flip-missing', `cannot roll back: flip.js is not beside this program; install superblock again`)
}
