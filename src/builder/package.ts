/** `package`: a commit of an archive repo, or a bare superblock, becomes a package for sticks. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { bytes } from '../base/text.ts'
import { ARCHIVE_CONFIG, applyDelta, archiveRepo, initRepo, resolveCommit } from '../ostree/commit.ts'
import { type Commit, objectsOf, readCommit } from '../ostree/contents.ts'
import type { Json } from '../package/json.ts'
import { deltaPath } from '../package/manifest.ts'
import { type NewMember, writePackage } from '../package/write.ts'
import { OTA_JSON } from './commit.ts'
import { accepted, lookAt } from './consequences.ts'
import { makeDeltas } from './delta.ts'
import { checkDraft, type Draft, timestampOf } from './draft.ts'
import { checkHoldable, sayOwner } from './holdable.ts'
import { prepareSigners, type SignerOptions } from './signers.ts'
import { readSuperblock } from './superblock-file.ts'
import { type Work, withScratch } from './work.ts'

export interface PackageOptions extends SignerOptions {
  ostreeRepo: string
  ref?: string
  /** a commit of the ref, where it is not the newest */
  rev?: string
  os: string
  compatible: string[]
  epoch: number
  notes?: string
  notesFile?: string
  from?: string[]
  fromSuperblock?: string
  out?: string
  /** also a release whose devices get their keys in another way */
  allowKeyless?: boolean
}

export interface PackageResult {
  file: string
  id: string
  size: number
  version: string
  os: string
  ref: string
  commit: string
  timestamp: string
  members: number
  deltas: { from: string; version: string; size: number }[]
  leftOut: { from: string; version: string; why: string }[]
  signatures: string[]
}

/** What a way of getting at the release found. */
interface Contents {
  /** repository in which the whole commit is; absent for a delta */
  repo?: string
  members: NewMember[]
  deltas: PackageResult['deltas']
  leftOut: PackageResult['leftOut']
}

/**
 * @throws Failure `bad-value`, `exists`, `no-commit`, `no-version`, `wrong-repo`, `wrong-ref`, `no-object`,
 *   `bad-superblock`, `bad-base`, `bad-settings`, `no-usable-key`, `unfit`, and those of the keys
 */
export async function makePackage(options: PackageOptions, work: Work): Promise<PackageResult> {
  const commit = await findCommit(options)
  const ref = refOf(options, commit)
  const draft = await makeDraft(options, commit, ref)
  checkDraft(draft)
  const out = options.out ?? `${draft.os}-${draft.version}.superblock`
  if (await isThere(out))
    throw new Failure('exists', `cannot write ${out}: there is such a file already; remove it, or use --out`)
  const sign = await prepareSigners(options, work)
  return withScratch(dirname(out), async scratch => {
    const contents =
      options.fromSuperblock === undefined
        ? await fromRepo(options, commit, ref, scratch, work)
        : await fromSuperblock(options.fromSuperblock, commit, ref, scratch, work)
    draft.deltas = contents.deltas.map(({ from }) => ({ from, path: deltaPath(from) }))
    const devices = contents.repo && (await lookAt(contents.repo, commit, draft.compatible, ref, options, work))
    const signatures: string[] = []
    const { id, manifest } = await work.progress('packing', on =>
      writePackage(out, {
        manifest: draft,
        members: contents.members,
        sign: async manifest => {
          const made = await sign(manifest, draft.timestamp)
          signatures.push(...made.map(signature => signature.fingerprint))
          if (devices && made.length > 0) await accepted(manifest, made, devices, work)
          return made
        },
        onBytes(done, total) {
          work.signal.throwIfAborted()
          on(done, total)
        },
      }),
    )
    const { os, version, timestamp } = manifest
    const release = { version, os, ref, commit: commit.checksum, timestamp }
    const { deltas, leftOut } = contents
    const { size } = await stat(out)
    return { file: out, id, size, ...release, members: manifest.payload.members, deltas, leftOut, signatures }
  })
}

export function packageText(result: PackageResult): string {
  const lines = [
    `Wrote ${result.file}: version ${result.version}, ${bytes(result.size)} in ${result.members} members.`,
    ...result.deltas.map(({ version, size }) => `With a delta from ${version}: ${bytes(size)}.`),
    ...result.leftOut.map(({ version, why }) => `Without a delta from ${version}: ${why}.`),
  ]
  if (result.signatures.length > 0) lines.push(`Signed with ${result.signatures.join(', ')}.`)
  return lines.join('\n')
}

async function findCommit(options: PackageOptions): Promise<Commit> {
  if (options.fromSuperblock !== undefined) return (await readSuperblock(options.fromSuperblock)).commit
  await archiveRepo(options.ostreeRepo)
  return readCommit(options.ostreeRepo, await resolveCommit(options.ostreeRepo, options.rev ?? options.ref ?? ''))
}

/** A commit says which refs it was made for; a package for another ref would be one that no build ever made. */
function refOf(options: PackageOptions, commit: Commit): string {
  const ref = options.ref ?? (commit.boundTo.length === 1 ? commit.boundTo[0] : undefined)
  if (ref === undefined)
    throw new Failure('wrong-ref', `cannot tell which ref ${commit.checksum} is for; name it with --ref`)
  if (commit.boundTo.length > 0 && !commit.boundTo.includes(ref))
    throw new Failure(
      'wrong-ref',
      `cannot pack ${commit.checksum} for ${ref}: it was made for ${commit.boundTo.join(', ')}`,
    )
  return ref
}

async function makeDraft(options: PackageOptions, commit: Commit, ref: string): Promise<Draft> {
  const version = commit.metadata.get('version')
  if (version === undefined)
    throw new Failure(
      'no-version',
      `cannot pack ${commit.checksum}: it has no version; commit with: superblock-builder commit --version VERSION`,
    )
  return {
    compatible: options.compatible,
    version,
    os: options.os,
    ref,
    commit: commit.checksum,
    timestamp: timestampOf(commit.timestamp),
    epoch: options.epoch,
    deltas: [],
    metadata: JSON.parse(commit.metadata.get(OTA_JSON) ?? '{}') as Record<string, Json>,
    notes: await readNotes(options),
  }
}

/** What the operator is told. @throws Failure `bad-value` */
export async function readNotes({ notes, notesFile }: Pick<PackageOptions, 'notes' | 'notesFile'>): Promise<string> {
  if (notesFile === undefined) return notes ?? ''
  try {
    return (await readFile(notesFile, 'utf8')).trimEnd()
  } catch (error) {
    throw new Failure('bad-value', `cannot read ${notesFile}: ${errno(error) ?? String(error)}`, { cause: error })
  }
}

async function fromRepo(
  options: PackageOptions,
  commit: Commit,
  ref: string,
  scratch: string,
  work: Work,
): Promise<Contents> {
  const repo = options.ostreeRepo
  const objects = await objectsOf(repo, commit)
  checkHoldable(`pack ${commit.checksum}`, objects)
  sayOwner(objects, work)
  const { deltas, leftOut } = await makeDeltas(repo, options.from ?? [], commit, objects, scratch, work)
  const members: NewMember[] = [
    ...repository(ref, commit.checksum),
    ...objects.map(({ path, unpacked }) => ({ path, unpacked, file: join(repo, path) })),
    ...deltas.map(({ from, file, unpacked }) => ({ path: deltaPath(from), file, unpacked })),
  ]
  return { repo, members, deltas, leftOut }
}

/** One that needs no base is unpacked into objects, so that any device can use it; else the delta itself is all there is. */
async function fromSuperblock(
  file: string,
  commit: Commit,
  ref: string,
  scratch: string,
  work: Work,
): Promise<Contents> {
  const { from, size, unpacked } = await readSuperblock(file)
  if (from !== undefined) {
    work.note(`The superblock is a delta: only devices that have the commit ${from} can install the package.`)
    return {
      members: [{ path: deltaPath(from), file, unpacked }],
      deltas: [{ from, version: from.slice(0, 12), size }],
      leftOut: [],
    }
  }
  const repo = join(scratch, 'repo')
  await initRepo(repo, work.signal)
  await work.progress('unpacking the superblock', () => applyDelta(repo, file, work.signal))
  const objects = await objectsOf(repo, commit)
  checkHoldable(`pack ${file}`, objects)
  sayOwner(objects, work)
  const members = objects.map(({ path, unpacked }) => ({ path, unpacked, file: join(repo, path) }))
  return { repo, members: [...repository(ref, commit.checksum), ...members], deltas: [], leftOut: [] }
}

/** What makes the objects an archive repo that ostree can be pointed at once the package is unpacked. */
function repository(ref: string, commit: string): NewMember[] {
  const member = (path: string, text: string) => ({ path, bytes: Buffer.from(text), unpacked: Buffer.byteLength(text) })
  return [member('config', ARCHIVE_CONFIG), member(`refs/heads/${ref}`, `${commit}\n`)]
}
