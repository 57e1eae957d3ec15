/** From an open package file to a verdict and a plan: bounded head, signatures, only then the manifest, then what it costs. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { bytes } from '../base/text.ts'
import type { Engine } from '../ostree/engine.ts'
import { bootObjects } from '../ostree/kernel.ts'
import { hasCommit, missingObjects, readObject } from '../ostree/objects.ts'
import { freeBytes, reservedBytes } from '../ostree/space.ts'
import { type StagedMode, stagedModeFor } from '../ostree/storage.ts'
import { padded, BLOCK as TAR_BLOCK } from '../package/header.ts'
import type { Member } from '../package/index.ts'
import { LIMITS } from '../package/limits.ts'
import { type Manifest, parseManifest } from '../package/manifest.ts'
import { readHead, readIndex, readMember, type Source } from '../package/read.ts'
import { type Keyring, type Signer, verifySignatures } from '../package/signature.ts'
import { type Device, judge, judgeSignatures, type Refused, refuse } from '../trust.ts'
import type { Plan } from './snapshot.ts'
import { alreadyStaged, stagedSize } from './staging.ts'

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
  wanted: Member[]
  /** bytes that the import will write: what ostree does not take as it was staged */
  imported: number
  /** members that planning has read already, by path: nothing is read twice */
  read: Map<string, Buffer>
  /** bytes that were read for all this: the head, and members that planning needed */
  bytesRead: number
}

/** Deploying writes a merged /etc, folders and links beside the objects themselves. */
const CHECKOUT_SLACK = 16 * 1024 * 1024
const BLOCK = 4096
const onDisk = (size: number) => Math.ceil(size / BLOCK) * BLOCK + BLOCK

export interface Judges {
  device: Device
  keyring: Keyring
  required: number
  allowDowngrade: boolean
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
  const checked = await verifySignatures(head.manifest, head.signatures, keyring)
  const trusted = judgeSignatures(checked, keyring.keys.length, head.signatures.length, required)
  if (!trusted.fits) return trusted
  const manifest = parseManifest(head.manifest)
  examined.manifest = manifest
  examined.signers = checked.signers
  const verdict = judge(manifest, checked.signers, required, device, { downgrade: judges.allowDowngrade })
  if (!verdict.fits) return verdict

  const members = await readIndex(source, head, manifest)
  const objects = members.filter(member => member.path.startsWith('objects/'))
  const missing = await missingObjects(
    engine.repo,
    objects.map(member => member.path),
  )
  const needed = objects.filter(member => missing.has(member.path))
  const objectBytes = objects.length > 0 ? total(needed) : Number.POSITIVE_INFINITY
  const delta = await usableDelta(manifest, members, objectBytes, engine)
  if (objects.length === 0 && !delta)
    return refuse(
      'needs-base',
      `it only updates from ${bases(manifest)}, which this device does not have. Use a full package`,
      { bases: bases(manifest) },
    )
  const wanted = delta ? [delta] : needed

  const read = new Map<string, Buffer>()
  const spaceOnBoot =
    delta && objects.length === 0 ? 0 : await bootSpace(manifest, members, missing, source, engine, read)
  const shared = (await stat(engine.repo)).dev === (await stat(folder)).dev
  const mode = await stagedModeFor(engine, folder)
  const linked = !delta && mode !== 'archive-z2'
  const written = sum(wanted, member => stagedSize(member, mode))
  // Beside the unpacked objects the one that is being unpacked.
  const packed = linked ? wanted.reduce((most, { size }) => Math.max(most, size), 0) : 0
  const staged = sum(wanted, member => onDisk(stagedSize(member, mode))) + packed
  const unpacked = needed.length > 0 ? sum(needed, member => onDisk(member.unpacked)) : (delta?.unpacked ?? 0)
  const imported = linked ? 0 : unpacked
  const plan: Plan = {
    way: delta ? 'delta' : 'objects',
    members: wanted.length,
    bytesToRead: total(wanted),
    bytesToWrite: written + imported,
    spaceOnSysroot: (shared ? staged : 0) + imported + CHECKOUT_SLACK,
    spaceOnBoot,
  }
  const there = Math.min(staged, await alreadyStaged(folder, head.id))
  const short = await lackOfSpace(plan, shared ? 0 : staged, there, engine, folder)
  if (short) return short
  const planned = [...read.values()].reduce((all, { length }) => all + TAR_BLOCK + padded(length), 0)
  const bytesRead = (members[0]?.header ?? source.size) + planned
  return { id: head.id, manifest, signers: checked.signers, plan, mode, wanted, imported, read, bytesRead }
}

/** The delta from a commit that is here, when reading it costs less than reading the missing objects. */
async function usableDelta(manifest: Manifest, members: Member[], objectBytes: number, engine: Engine) {
  let best: Member | undefined
  for (const { from, path } of manifest.deltas) {
    const member = members.find(candidate => candidate.path === path)
    if (member && member.size < Math.min(objectBytes, best?.size ?? Number.POSITIVE_INFINITY))
      if (await hasCommit(engine.repo, from)) best = member
  }
  return best
}

const sum = (members: readonly Member[], of: (member: Member) => number) =>
  members.reduce((all, member) => all + of(member), 0)
const total = (members: readonly Member[]) => sum(members, ({ size }) => size)
const bases = (manifest: Manifest) => manifest.deltas.map(delta => delta.from.slice(0, 8)).join(', ')

/** Bytes that a kernel and initramfs new to this device will take on /boot; 0 when it has them. */
async function bootSpace(
  manifest: Manifest,
  members: readonly Member[],
  missing: ReadonlySet<string>,
  source: Source,
  engine: Engine,
  read: Map<string, Buffer>,
): Promise<number> {
  const byPath = new Map(members.map(member => [member.path, member]))
  const files = await bootObjects(manifest.commit, async path => {
    const member = byPath.get(path)
    if (!missing.has(path)) return readObject(engine.repo, path)
    if (!member || member.size > LIMITS.memory) return undefined
    const content = read.get(path) ?? (await readMember(source, member))
    read.set(path, content)
    return content
  })
  if (!files) throw new Failure('tampered', 'cannot plan the installation: the package lacks a part of its own tree')
  if (!files.some(path => missing.has(path))) return 0
  return files.reduce((all, path) => all + onDisk(byPath.get(path)?.unpacked ?? 0), 0)
}

/**
 * @param onVar bytes that staging takes where it does not share the file system of /sysroot
 * @param there those of them that it has already
 */
async function lackOfSpace(
  plan: Plan,
  onVar: number,
  there: number,
  engine: Engine,
  folder: string,
): Promise<Refused | undefined> {
  const say = (what: string, need: number, have: number) =>
    refuse(
      'no-space',
      `it needs ${bytes(need)} on ${what}, ${bytes(have)} are free. Remove something, then try again`,
      {
        ...{ where: what, need, free: have },
      },
    )
  const sysroot = Math.max(0, (await freeBytes(engine.repo)) - (await reservedBytes(engine.repo)))
  const onSysroot = plan.spaceOnSysroot - (onVar > 0 ? 0 : there)
  if (sysroot < onSysroot) return say('/sysroot', onSysroot, sysroot)
  const room = onVar > 0 ? await freeBytes(folder) : 0
  if (room < onVar - there) return say('/var', onVar - there, room)
  const free = await freeBytes(join(engine.sysroot, 'boot'))
  if (free < plan.spaceOnBoot) return say('/boot', plan.spaceOnBoot, free)
  return undefined
}
