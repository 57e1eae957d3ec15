/** The deployments of a sysroot, as `ostree admin status` prints them (its JSON form is newer than the versions we run on). */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { listIfThere } from '../base/files.ts'
import { type Engine, readAdmin } from './engine.ts'

export interface Deployment {
  /** place in the boot order: 0 boots next */
  index: number
  /** stateroot */
  os: string
  /** 64 hex digits */
  commit: string
  /** tells deployments of one commit apart */
  serial: number
  /** the commit's; '' if it has none */
  version: string
  /** that it was deployed from, without a remote; '' if it was deployed by checksum */
  ref: string
  booted: boolean
  /** first of those before the booted one */
  pending: boolean
  /** first of those after the booted one */
  rollback: boolean
  /** becomes a deployment at shutdown only */
  staged: boolean
  pinned: boolean
}

// ot-admin-builtin-status.c prints "%c %s %s.%d%s": marker, stateroot, commit, serial, flags in parentheses.
const HEAD = /^([* ]) (\S+) ([0-9a-f]{64})\.(\d+)((?: \([^()]*\))*)$/
const CHECKSUM = /^[0-9a-f]{64}$/
const DETAIL = /^ {4}(Version|origin refspec|Pinned): (.*)$/

/**
 * @param text what `ostree admin status` printed on standard output
 * @returns in boot order; lines of details that are not known are passed over
 * @throws Failure `ostree-output` for a line that is neither a deployment nor a detail of one
 */
export function parseStatus(text: string): Deployment[] {
  const list: Deployment[] = []
  if (text.trim() === 'No deployments.') return list
  for (const line of text.split('\n')) {
    if (line === '') continue
    const current = list.at(-1)
    if (line.startsWith('    ') && current) readDetail(current, line)
    else list.push(readHead(line, list.length))
  }
  if (list.length === 0)
    throw new Failure('ostree-output', 'cannot read the deployments: `ostree admin status` is silent')
  return list
}

function readHead(line: string, index: number): Deployment {
  const [, marker, os, commit, serial, flags] = HEAD.exec(line) ?? []
  if (os === undefined || commit === undefined || flags === undefined)
    throw new Failure(
      'ostree-output',
      `cannot read the deployments: \`ostree admin status\` says ${JSON.stringify(line)}`,
    )
  return {
    index,
    os,
    commit,
    serial: Number(serial),
    version: '',
    ref: '',
    booted: marker === '*',
    pending: flags.includes('(pending)'),
    rollback: flags.includes('(rollback)'),
    staged: flags.includes('(staged)') || flags.includes('(finalization locked)'),
    pinned: false,
  }
}

function readDetail(deployment: Deployment, line: string): void {
  const [, key, value = ''] = DETAIL.exec(line) ?? []
  if (key === 'Version') deployment.version = value
  else if (key === 'origin refspec') deployment.ref = CHECKSUM.test(value) ? '' : value.slice(value.indexOf(':') + 1)
  else if (key === 'Pinned') deployment.pinned = value === 'yes'
}

/** What ostree said last of a sysroot, and when its folders had changed then. */
const said = new WeakMap<Engine, { changed: string; list: Deployment[] }>()

/**
 * Ask ostree, unless nothing has changed since it was asked last.
 * @throws Failure `command-failed`, `command-missing`, `ostree-output`
 */
export async function deployments(engine: Engine): Promise<Deployment[]> {
  const changed = await lastChange(engine)
  const last = said.get(engine)
  if (last?.changed === changed) return last.list
  const list = parseStatus((await readAdmin(engine, 'status')).stdout)
  said.set(engine, { changed, list })
  return list
}

/**
 * Everything that `ostree admin status` tells of lies in files and links that ostree replaces by renaming, which changes
 * their folder: the boot order, the deployments, their origins with the pins, and what is staged.
 */
async function lastChange({ sysroot, boot }: Engine): Promise<string> {
  const deploy = join(sysroot, 'ostree/deploy')
  const stateroots = (await listIfThere(deploy)).map(os => join(deploy, os, 'deploy'))
  const folders = [boot, join(sysroot, 'ostree'), deploy, ...stateroots, '/run/ostree']
  const times = folders.map(folder => stat(folder, { bigint: true }).then(found => `${found.ino} ${found.mtimeNs}`))
  const known = await Promise.allSettled(times)
  return known.map((time, at) => `${folders[at]} ${time.status === 'fulfilled' ? time.value : ''}`).join('\n')
}

/** The one that runs, or undefined where this sysroot is not what the device runs from. */
export function bootedOf(list: readonly Deployment[]): Deployment | undefined {
  return list.find(deployment => deployment.booted)
}

/** The name of a deployment's folder, which boot loaders and journals know it by too. */
export const deploymentId = ({ commit, serial }: Pick<Deployment, 'commit' | 'serial'>): string => `${commit}.${serial}`
