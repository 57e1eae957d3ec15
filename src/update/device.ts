/** What the device is: its deployments as ostree says, joined with what the history and the journal remember of them. */
import { readFile } from 'node:fs/promises'
import { type Facts, Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import type { Config } from '../config.ts'
import { commitFacts } from '../ostree/commit-facts.ts'
import type { Engine } from '../ostree/engine.ts'
import { type Deployment, deployments } from '../ostree/status.ts'
import type { Device } from '../trust.ts'
import type { Record } from './journal.ts'
import type { DeploymentInfo, HistoryEntry } from './snapshot.ts'
import type { DeploymentName, Machine } from './state.ts'

export interface DeviceState {
  /** timestamp: RFC 3339; '' of a commit that cannot be read, or of no time that a calendar has */
  deployments: (Deployment & { timestamp: string })[]
  booted: Deployment & { timestamp: string }
  /** RFC 3339: the newest commit that is deployed or ever ran */
  newest: string
  bootId: string
}

/** The later of two RFC 3339 times; an empty one is before all. */
export const later = (a: string, b: string) => (Date.parse(b) > (Date.parse(a) || 0) ? b : a)

/**
 * Ask ostree.
 * @param remembered RFC 3339: the newest release that ran here
 * @param disowned commits that an operator has gone back from for good: how new they are does not count
 * @throws Failure `not-booted` when the running system is no deployment
 */
export async function readDevice(
  engine: Engine,
  remembered: string,
  disowned: readonly string[] = [],
): Promise<DeviceState> {
  // Where nothing was ever deployed ostree would only say that it finds no repo.
  if (!(await isThere('/run/ostree-booted'))) throw notBooted()
  const list: DeviceState['deployments'] = []
  for (const deployment of await deployments(engine))
    list.push({ ...deployment, timestamp: (await commitFacts(engine.repo, deployment.commit)).timestamp })
  const booted = list.find(deployment => deployment.booted)
  if (!booted) throw notBooted()
  const counting = list.filter(({ commit, booted }) => booted || !disowned.includes(commit))
  const newest = counting.map(deployment => deployment.timestamp).reduce(later, remembered)
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  return { deployments: list, booted, newest, bootId }
}

const notBooted = () =>
  new Failure('not-booted', 'cannot work here: the running system is no OSTree deployment. See: superblock doctor')

/** @param account see Machine */
export function machineOf({ deployments: [next], booted, bootId }: DeviceState, account: string): Machine {
  return { bootId, booted, next: next ?? booted, account }
}

/** The facts that trust judges by. */
export function trustFacts(state: DeviceState, config: Config, record: Record): Device {
  const [first] = state.deployments
  return {
    compatible: config.device.compatible,
    os: state.booted.os,
    ref: config.device.ref || state.booted.ref,
    bootedCommit: state.booted.commit,
    pendingCommit: first && !first.booted && state.booted.index > first.index ? first.commit : '',
    newest: state.newest,
    epochFloor: record.epochFloor,
  }
}

export const nameOf = ({ commit, serial, version }: Deployment): DeploymentName => ({ commit, serial, version })

/**
 * What a rollback without a named target returns to: ostree's own rollback deployment, else the first that is not running, of the
 * stateroot that runs. One that was left before it was ever found good may not even start, so that it must be named, and so must one of
 * another stateroot.
 */
export function rollbackTarget<T extends Deployment>(
  list: readonly T[],
  history: readonly HistoryEntry[],
  left: Record['left'],
): T | undefined {
  const wasGood = (commit: string) => history.some(({ event, commit: of }) => event === 'good' && of === commit)
  const own = list.find(d => d.booted)?.os
  const fit = list.filter(({ os, commit }) => os === own && (left[commit] === undefined || wasGood(commit)))
  return fit.find(d => d.rollback) ?? fit.find(d => !d.booted && !d.pending)
}

/** Why a release was left; a reason that the device found itself has its code and values in the history. */
function leaving(
  commit: string,
  reason: string | undefined,
  history: readonly HistoryEntry[],
): Pick<DeploymentInfo, 'leftBecause' | 'leftCode' | 'leftFacts'> {
  if (reason === undefined) return {}
  const entry = history.findLast(one => one.event === 'fell-back' && one.commit === commit && one.text === reason)
  if (!entry) return { leftBecause: reason }
  return { leftBecause: reason, leftCode: String(entry.code), leftFacts: (entry.facts ?? {}) as Facts }
}

/** May an operator remove it? Never what runs, what starts next, what is pinned, or what a rollback would return to. */
export const mayGo = (one: Deployment, target: Deployment | undefined): boolean =>
  !one.booted && !one.pending && !one.staged && !one.pinned && one.index > 0 && one !== target

/** Deployments as a person is shown them. */
export function describeDeployments(
  state: DeviceState,
  history: readonly HistoryEntry[],
  left: Record['left'],
): DeploymentInfo[] {
  const last = (event: string, commit: string) =>
    history.findLast(entry => entry.event === event && entry.commit === commit)?.at
  const target = rollbackTarget(state.deployments, history, left)
  return state.deployments.map(d => {
    const installedAt = last('installed', d.commit)
    const lastGood = last('good', d.commit)
    return {
      ...(d.damaged === undefined ? {} : { damaged: d.damaged }),
      ...(mayGo(d, target) ? { removable: true } : {}),
      index: d.index,
      os: d.os,
      commit: d.commit,
      serial: d.serial,
      version: d.version,
      ref: d.ref,
      booted: d.booted,
      pending: d.pending,
      rollback: d === target,
      pinned: d.pinned,
      timestamp: d.timestamp,
      ...(installedAt ? { installedAt } : {}),
      ...(lastGood ? { lastGood } : {}),
      ...leaving(d.commit, left[d.commit], history),
    }
  })
}
