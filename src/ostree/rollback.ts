/** Make another deployment the one that boots next, without touching any. */
import { Failure } from '../base/failure.ts'
import { findProgram } from '../base/program.ts'
import { run, runUninterrupted } from '../base/run.ts'
import { changeAdmin, type Engine } from './engine.ts'
import type { FlipResult } from './flip.ts'
import { type Deployment, deploymentId, deployments } from './status.ts'

/** Which deployment; the stateroot only where the same commit is deployed in several. */
export type Target = Pick<Deployment, 'commit' | 'serial'> & Partial<Pick<Deployment, 'os'>>

/**
 * The target boots next; the others keep their order, nothing is deleted, no /etc changes. Repeating it is harmless.
 * @throws Failure `no-such-deployment`, `staged`, `program-missing`, `flip-failed`, `command-failed`
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
  const program = await findProgram('flip')
  const argv = [process.execPath, program, engine.sysroot, os, commit, String(serial)]
  const { stdout } = await runUninterrupted(argv, engine)
  const line = stdout.trimEnd().split('\n').at(-1) ?? ''
  const result = JSON.parse(line) as FlipResult
  if (!result.ok) throw new Failure(result.code, `cannot roll back: ${result.message}`)
}
