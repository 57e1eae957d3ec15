/** From an open package file to a verdict and a plan: bounded head, signatures, only then the manifest, then what it costs. */
import { surplusOf } from '../ostree/deploy.ts'
import type { Engine } from '../ostree/engine.ts'
import { etcChanges, etcConflict } from '../ostree/etc.ts'
import { hasCommit, lacking } from '../ostree/objects.ts'
import { bootedOf, type Deployment } from '../ostree/status.ts'
import { type StagedMode, stagedModeFor } from '../ostree/storage.ts'
import type { Index, Member, Members } from '../package/index.ts'
import { type Manifest, parseManifest } from '../package/manifest.ts'
import { readHead, readIndex, type Source } from '../package/read.ts'
import { type Keyring, type Signer, verifySignatures } from '../package/signature.ts'
import { type Device, judge, judgeSignatures, type Refused, refuse } from '../trust.ts'
import { needsOf, placesOf, roomTaken, treeOnDevice } from './plan.ts'
import { type Release, readRelease } from './release.ts'
import { type Needs, NOTHING, noRoom, shortage } from './room.ts'
import type { Plan } from './snapshot.ts'
import { stagedSize, stagingFolder } from './staging.ts'
import { freedBy } from './surplus.ts'

/** What one look at a package found out, as far as the look got. */
export interface Examined {
  /** SHA-256 of the manifest's bytes; absent when there is no readable head */
  id?: string
  signers: Signer[]
  /** present once enough signatures were good */
  manifest?: Manifest
}

export interface Admitted extends Required<Examined> {
  plan: Plan
  /** how objects are staged */
  mode: StagedMode
  /** members still to be copied from the stick, in the order they lie there */
  wanted: Members
  /** bytes that the import will write: what ostree does not take as it was staged */
  imported: number
  /** members that planning has read already, by path: nothing is read twice */
  read: ReadonlyMap<string, Buffer>
  /** bytes that were read for all this: the head, and members that planning needed */
  bytesRead: number
  /** releases that go before anything is staged, since there would be no room for it else */
  surplus: Deployment[]
}

/** What a package is judged by. */
export interface Judges {
  device: Device
  keyring: Keyring
  required: number
  allowDowngrade: boolean
  /** what is on the device, in boot order */
  deployments: readonly Deployment[]
  /** how many of them are kept */
  keep: number
  /** SHA-256 of the manifest that was shown: no other is looked at any further */
  shown?: string
}

/**
 * Everything that can be known before anything is written.
 * @param folder on whose file system staging writes
 * @returns the refusal, or what installing takes; `examined` is filled as far as the look got
 * @throws Failure of the reader (`truncated`, `tampered`, `media-gone`…)
 */
export async function admit(
  source: Source,
  judges: Judges,
  engine: Engine,
  folder: string,
  examined: Examined,
): Promise<Admitted | Refused> {
  const { device, keyring, required } = judges
  const head = await readHead(source)
  examined.id = head.id
  if (judges.shown !== undefined && head.id !== judges.shown)
    return refuse('changed', 'it is no longer the package that was shown')
  const checked = await verifySignatures(head.manifest, head.signatures, keyring)
  const trusted = judgeSignatures(checked, keyring.keys.length, head.signatures.length, required)
  if (!trusted.fits) return trusted
  const manifest = parseManifest(head.manifest)
  examined.manifest = manifest
  examined.signers = checked.signers
  const verdict = judge(manifest, checked.signers, required, device, { downgrade: judges.allowDowngrade })
  if (!verdict.fits) return verdict

  const index = await readIndex(source, head, manifest)
  const mode = await stagedModeFor(engine, folder)
  const contents = await contentsOf(manifest, index, source, engine, mode)
  if ('fits' in contents) return contents
  const { wanted, delta, release } = contents
  const tree = release ?? (await treeOnDevice(engine, device.bootedCommit))
  const changes = await etcChanges(engine)
  if (release) {
    const conflict = await etcConflict('/etc', changes, release.typeInEtc)
    if (conflict) return inTheWay(conflict)
  }
  const needs = await needsOf(
    engine,
    { wanted, mode, ...tree, ...(delta && { delta: delta.unpacked }) },
    judges.deployments,
    changes,
  )
  const room = await findRoom(engine, folder, head.id, needs, judges, path => index.find(path) !== undefined)
  if ('fits' in room) return room

  const linked = !delta && mode !== 'archive-z2'
  const imported = linked ? 0 : sum(wanted, member => member.unpacked)
  const plan: Plan = {
    way: delta ? 'delta' : 'objects',
    members: wanted.length,
    bytesToRead: sum(wanted, ({ size }) => size),
    bytesToWrite: sum(wanted, member => stagedSize(member, mode)) + imported,
    spaceOnSysroot: needs.sysroot.bytes + needs.state.bytes,
    spaceOnBoot: needs.boot.bytes,
    ...(room.surplus.length > 0 && { removes: room.surplus.map(({ version, commit }) => ({ version, commit })) }),
  }
  return {
    ...{ id: head.id, manifest, signers: checked.signers, plan, mode, wanted, imported },
    ...{ read: release?.read ?? new Map(), surplus: room.surplus },
    bytesRead: (index.at(0).header ?? source.size) + (release?.bytesRead ?? 0),
  }
}

/** What is to be read of a package on this device, and the release in it, unless it is a delta's alone. */
async function contentsOf(
  manifest: Manifest,
  index: Index,
  source: Source,
  engine: Engine,
  mode: StagedMode,
): Promise<{ wanted: Members; delta?: Member; release?: Release } | Refused> {
  const isDelta = (member: Member) => manifest.deltas.some(({ path }) => path === member.path)
  if (index.length === manifest.deltas.length) {
    const delta = await usableDelta(manifest, index, Number.POSITIVE_INFINITY, engine)
    if (delta) return { wanted: onlyOne(delta), delta }
    const bases = manifest.deltas.map(({ from }) => from.slice(0, 8)).join(', ')
    return refuse('needs-base', `it only updates from ${bases}, which this device does not have. Use a full package`, {
      bases,
    })
  }
  const release = await readRelease(manifest, engine, mode, { index, source })
  if ('fits' in release) return release
  const objects = (await lacking(engine.repo, index, path => release.unsound.has(path))).filter(place => {
    const member = index.at(place)
    return member.path.startsWith('objects/') && !isDelta(member)
  })
  const wanted = index.only(objects)
  const delta = await usableDelta(
    manifest,
    index,
    sum(wanted, ({ size }) => size),
    engine,
  )
  // A delta takes what the device has for sound.
  return delta && release.unsound.size === 0 ? { wanted: onlyOne(delta), delta, release } : { wanted, release }
}

const onlyOne = (member: Member): Members => [member]

const sum = (members: Iterable<Member>, of: (member: Member) => number): number => {
  let all = 0
  for (const member of members) all += of(member)
  return all
}

/** The delta from a commit that is here, when reading it costs less than reading the missing objects. */
async function usableDelta(manifest: Manifest, index: Index, objectBytes: number, engine: Engine) {
  let best: Member | undefined
  for (const { from, path } of manifest.deltas) {
    const member = index.find(path)
    if (member && member.size < Math.min(objectBytes, best?.size ?? Number.POSITIVE_INFINITY))
      if (await hasCommit(engine.repo, from)) best = member
  }
  return best
}

const IN_THE_WAY = {
  'folder-in-release': 'is a file here and a folder in the release',
  'file-in-release': 'is a folder with changes here and a file in the release',
  'special-file': 'is neither a file nor a folder, and cannot be carried over',
} as const

/** @param conflict what ostree would stop at in the middle of the deployment */
export const inTheWay = ({ path, why }: { path: string; why: keyof typeof IN_THE_WAY }): Refused =>
  refuse('etc-conflict', `${path} ${IN_THE_WAY[why]}. Move it away, then try again`, { path, why })

/**
 * Is there room? What the end of the installation would remove anyway goes first where there is none else.
 * @returns which releases have to go first, or the refusal
 */
async function findRoom(
  engine: Engine,
  folder: string,
  id: string,
  needs: Needs,
  { deployments, keep }: Judges,
  isNeeded: (path: string) => boolean,
): Promise<{ surplus: Deployment[] } | Refused> {
  const places = await placesOf(engine, folder)
  const own = await stagingFolder(folder, id)
  const staged = own === undefined ? NOTHING : await roomTaken(own)
  const taken = { state: atMost(staged, needs.state) }
  if (!(await shortage(places, needs, taken))) return { surplus: [] }
  const booted = bootedOf(deployments)
  const surplus = surplusOf(deployments, keep - 1, one => one.commit === booted?.commit)
  const freed = surplus.length > 0 ? await freedBy(engine, surplus, deployments, isNeeded) : NOTHING
  const short = await shortage(places, needs, { ...taken, sysroot: freed })
  if (!short) return { surplus }
  const removable = deployments
    .filter(one => !one.booted && !one.pinned && one.index > 0)
    .map(one => one.version || one.commit.slice(0, 8))
  return noRoom(short, removable)
}

const atMost = (a: { bytes: number; inodes: number }, b: { bytes: number; inodes: number }) => ({
  bytes: Math.min(a.bytes, b.bytes),
  inodes: Math.min(a.inodes, b.inodes),
})
