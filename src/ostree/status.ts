/** The deployments of a sysroot, as `ostree admin status` prints them (its JSON form is newer than the versions we run on). */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { asFailure, Failure } from '../base/failure.ts'
import { listIfThere, readIfThere } from '../base/files.ts'
import { type CommitFacts, commitFacts } from './commit-facts.ts'
import { type Engine, readAdmin } from './engine.ts'
import { deploymentFolders, isRunning, readLoader } from './loader.ts'

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
  /** it cannot be used, or not be told of, for this reason */
  damaged?: string
}

// ot-admin-builtin-status.c prints "%c %s %s.%d%s": marker, stateroot, commit, serial, flags in parentheses.
const HEAD = /^([* ]) (\S+) ([0-9a-f]{64})\.(\d+)((?: \([^()]*\))*)$/
const CHECKSUM = /^[0-9a-f]{64}$/
const DETAIL = /^ {4}(Version|origin refspec|Pinned): (.*)$/
const VERSION = '    Version: '
/** Characters of a version that are told: a commit made by other means may state anything. */
const VERSION_LIMIT = 100

/** What is known of a sysroot without ostree's output, which repeats what commits say of themselves. */
export interface Known {
  /** the version that a commit states, of whatever form; undefined where it states none or cannot be read */
  version(commit: string): string | undefined
  /** is there a folder of this deployment? */
  isThere(os: string, commit: string, serial: number): boolean
}

/**
 * @param text what `ostree admin status` printed on standard output
 * @returns in boot order; a version is passed over as it stands in its commit, however many lines it has, and so is every other
 *   line that is neither of a deployment that is there nor a detail of one
 * @throws Failure `ostree-output` when there is no deployment in it
 */
export function parseStatus(text: string, known: Known): Deployment[] {
  const list: Deployment[] = []
  if (text.trim() === 'No deployments.') return list
  for (let at = 0; at < text.length; ) {
    const current = list.at(-1)
    const version = current && known.version(current.commit)
    if (current && version !== undefined && text.startsWith(`${VERSION}${version}\n`, at)) {
      current.version = version
      at += VERSION.length + version.length + 1
      continue
    }
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end < 0 ? undefined : end)
    at = end < 0 ? text.length : end + 1
    const head = readHead(line, list.length)
    if (head) {
      const isDouble = list.some(({ os, commit, serial }) => sameAs(head, os, commit, serial))
      if (!isDouble && known.isThere(head.os, head.commit, head.serial)) list.push(head)
    } else if (current) readDetail(current, line)
  }
  if (list.length === 0)
    throw new Failure('ostree-output', 'cannot read the deployments: `ostree admin status` names none that is there')
  return list
}

const sameAs = (one: Deployment, os: string, commit: string, serial: number) =>
  one.os === os && one.commit === commit && one.serial === serial

function readHead(line: string, index: number): Deployment | undefined {
  const [, marker, os, commit, serial, flags] = HEAD.exec(line) ?? []
  if (os === undefined || commit === undefined || flags === undefined) return undefined
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
 * Ask ostree, unless nothing has changed since it was asked last. Where it cannot tell, since one boot entry or deployment is
 * damaged, they are read from the disk, and those that cannot be started say why.
 * @throws Failure `command-missing`, `ostree-output`
 */
export async function deployments(engine: Engine): Promise<Deployment[]> {
  const changed = await lastChange(engine)
  const last = said.get(engine)
  if (last?.changed === changed) return last.list
  const list = await ask(engine)
  said.set(engine, { changed, list })
  return list
}

async function ask(engine: Engine): Promise<Deployment[]> {
  const folders = await deploymentFolders(engine)
  const facts = new Map<string, CommitFacts>()
  for (const { commit } of folders) facts.set(commit, facts.get(commit) ?? (await commitFacts(engine.repo, commit)))
  const known: Known = {
    version: commit => facts.get(commit)?.version,
    isThere: (os, commit, serial) =>
      folders.some(one => one.os === os && one.commit === commit && one.serial === serial),
  }
  const list = await readAdmin(engine, 'status')
    .then(({ stdout }) => parseStatus(stdout, known))
    .catch(error => {
      if (error instanceof Failure && error.code === 'command-missing') throw error
      return fromDisk(engine, folders, asFailure(error, 'ask ostree').message)
    })
  return list.map(one => {
    const { version, damaged } = facts.get(one.commit) ?? {}
    const trouble = one.damaged ?? damaged
    return {
      ...one,
      version: (version ?? one.version).slice(0, VERSION_LIMIT),
      ...(trouble === undefined ? {} : { damaged: trouble }),
    }
  })
}

/**
 * In the order of the boot entries that can be read, the others behind them. Nothing of it is pinned or staged as far as can be
 * told: who changes anything asks ostree, which then refuses.
 */
async function fromDisk(
  engine: Engine,
  folders: Awaited<ReturnType<typeof deploymentFolders>>,
  why: string,
): Promise<Deployment[]> {
  const { entries } = await readLoader(engine)
  const named = entries.map(entry => entry.deployment.folder)
  const list: Deployment[] = []
  for (const one of [...folders].sort((a, b) => place(named, a.folder) - place(named, b.folder))) {
    const { os, commit, serial, folder } = one
    const booted = await isRunning(engine.sysroot, folder)
    const origin = await readIfThere(join(engine.sysroot, `${folder}.origin`)).catch(() => undefined)
    const refspec = /^refspec=(.*)$/m.exec(origin ?? '')?.[1] ?? ''
    const damaged = named.includes(folder) ? why : 'no boot entry that can be read starts it'
    const order = { index: list.length, booted, pending: false, rollback: false, staged: false, pinned: false }
    list.push({ ...order, os, commit, serial, version: '', ref: refspec.slice(refspec.indexOf(':') + 1), damaged })
  }
  const at = list.findIndex(one => one.booted)
  const beside = (from: number, to: number) => list.slice(from, to).find(one => one.os === list[at]?.os)
  const [pending, rollback] = at < 0 ? [] : [beside(0, at), beside(at + 1, list.length)]
  if (pending) pending.pending = true
  if (rollback) rollback.rollback = true
  return list
}

const place = (named: readonly string[], folder: string) => {
  const at = named.indexOf(folder)
  return at < 0 ? named.length : at
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
