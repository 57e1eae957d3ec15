/** `commit`: a folder, a tar archive or a commit of another repo becomes a release in an archive repo. */
import { open, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { gunzipSync, constants as zlib } from 'node:zlib'
import { errno, Failure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import {
  type CommitInput,
  commitTree,
  copyCommit,
  findCommit,
  initRepo,
  resolveCommit,
  setRef,
  type Tree,
} from '../ostree/commit.ts'
import { type Commit, history, objectsOf, readCommit } from '../ostree/contents.ts'
import { type Json, parseJson, sortKeys } from '../package/json.ts'
import { dateOf } from './dates.ts'
import { explainDisk } from './disk.ts'
import { checkRelease, timestampOf } from './draft.ts'
import { checkFollowed } from './follow.ts'
import { withGpgHome } from './gpg.ts'
import { checkHoldable, sayOwner } from './holdable.ts'
import { isCanonical, type OwnerOptions, sayOwners } from './owners.ts'
import { checkTree, KARGS } from './tree/check.ts'
import { commitView, folderView } from './tree/view.ts'
import type { Work } from './work.ts'

/** Where a commit keeps the file given with --ota-json. */
export const OTA_JSON = 'superblock.ota-json'
/** One argument of a command may have 128 KiB; a manifest 256 KiB. */
const OTA_JSON_LIMIT = 64 * 1024
/** With all its white space; what is larger is not even read. */
const OTA_JSON_FILE_LIMIT = 1024 * 1024
const OTA_JSON_DEPTH = 30
/** Bytes: a kernel's command line has a page. */
const KARGS_LIMIT = 4096

export interface CommitOptions extends OwnerOptions {
  /** folder, `.tar`, `.tar.gz`; with `fromRepo` a ref or commit of it */
  input: string
  fromRepo?: string
  ostreeRepo: string
  ref: string
  version: string
  otaJson?: string
  subject?: string
  /** seconds since 1970 */
  timestamp?: number
  /** seconds since 1970, where no `timestamp` is given; now without it */
  buildTime?: number | undefined
  /** also a system that no device could start from */
  allowUnbootable?: boolean
  /** also a release whose devices get their keys in another way */
  allowKeyless?: boolean
  gpgSign?: string
  gpgHomedir?: string
}

export interface CommitResult {
  commit: string
  ref: string
  version: string
  timestamp: string
  parent: string | null
  repo: string
}

/**
 * @throws Failure `usage`, `bad-value`, `bad-tree`, `not-bootable`, `bad-settings`, `no-usable-key`, `unfit`,
 *   `bad-ota-json`, `version-taken`, `wrong-repo`, `no-commit`, `command-failed`
 */
export async function commit(options: CommitOptions, work: Work): Promise<CommitResult> {
  const { ostreeRepo: repo, ref, version } = options
  checkRelease(ref, version)
  const canonical = isCanonical(options)
  const metadata: Record<string, string> = { version }
  if (options.otaJson !== undefined) metadata[OTA_JSON] = await readOtaJson(options.otaJson)
  const source = await findTree(options)
  const doing = `commit ${options.input}`
  const keyless = options.allowKeyless ? 'allowed' : 'files'
  if ('dir' in source) {
    if (!options.allowUnbootable) await checkTree(source.dir, tmpdir(), work)
    await checkFollowed(doing, folderView(source.dir), keyless, work)
  }
  if (canonical && !options.canonicalPermissions)
    work.note(
      await sayOwners(source, options.fromRepo).catch(error => {
        throw explained(error, options.input, repo)
      }),
    )
  await initRepo(repo, work.signal).catch(error => {
    throw explainDisk(error, repo)
  })
  const head = await findCommit(repo, ref)
  const parent = head === undefined ? undefined : await readCommit(repo, head)
  if (parent) await refuseTaken(repo, ref, parent, version)
  const timestamp = dateOf(options.timestamp, options.buildTime, parent, work)
  const made = await work.progress('committing', async () => {
    if ('commit' in source && options.fromRepo !== undefined)
      await copyCommit(options.fromRepo, repo, source.commit, work.signal)
    const commitAs = (gpg?: CommitInput['gpg']) =>
      commitTree(
        repo,
        {
          ...{ ref, tree: source, metadata, timestamp, parent: parent?.checksum, gpg },
          subject: options.subject ?? `Release ${version}`,
          canonicalPermissions: canonical,
        },
        work.signal,
      ).catch(error => {
        throw explained(error, options.input, repo)
      })
    const { gpgSign: key, gpgHomedir } = options
    return key === undefined ? commitAs() : withGpgHome(gpgHomedir, homedir => commitAs({ key, homedir }))
  })
  const now = await readCommit(repo, made)
  // What is in an archive, or in another repository, can be looked at only now. Until its ref is set nothing is released.
  if (!('dir' in source)) await checkFollowed(doing, commitView(repo, now), keyless, work)
  const objects = await objectsOf(repo, now)
  checkHoldable(doing, objects)
  sayOwner(objects, work)
  if (parent) await compare(repo, parent, now, work)
  work.signal.throwIfAborted()
  await setRef(repo, ref, made)
  return { commit: made, ref, version, timestamp: timestampOf(now.timestamp), parent: parent?.checksum ?? null, repo }
}

/** What people would not expect of a release, beside the one before it. */
async function compare(repo: string, parent: Commit, now: Commit, work: Work): Promise<void> {
  const before = parent.metadata.get('version') ?? parent.checksum
  if (parent.root.tree === now.root.tree && parent.root.meta === now.root.meta)
    work.note(`The files are the same as in version ${before}.`)
  const kargs = async (commit: Commit) => {
    const found = await commitView(repo, commit).find(`/${KARGS}`)
    return found === undefined || found === 'elsewhere' ? '' : (await found.read(KARGS_LIMIT)).toString().trim()
  }
  const [old, own] = [await kargs(parent), await kargs(now)]
  if (old !== own)
    work.note(
      `The kernel arguments differ from those of version ${before}: devices drop "${safe(old)}" and take "${safe(own)}"; those that were added on a device stay.`,
    )
}

export const commitText = (result: CommitResult) => `Committed version ${result.version} on ${result.ref}:
  ${result.commit}
  of ${result.timestamp}, in ${result.repo}
Make a package of it with: superblock-builder package --ostree-repo ${result.repo} --ref ${result.ref} …`

/** A device tells its boot entries apart by the version, so no two commits of what it follows may share one. */
async function refuseTaken(repo: string, ref: string, head: Commit, version: string): Promise<void> {
  for await (const before of history(repo, head.checksum))
    if (before.metadata.get('version') === version)
      throw new Failure(
        'version-taken',
        `cannot commit version ${version}: ${ref} has it already, as ${before.checksum}; give the new one a version of its own`,
      )
}

async function findTree(options: CommitOptions): Promise<Tree> {
  const { input, fromRepo } = options
  if (fromRepo !== undefined) return { commit: await resolveCommit(fromRepo, input) }
  const bad = (why: string, cause?: unknown) => new Failure('bad-tree', `cannot commit ${input}: ${why}`, { cause })
  const status = await stat(input).catch(error => {
    throw bad(errno(error) === 'ENOENT' ? 'there is no such file or folder' : (errno(error) ?? String(error)), error)
  })
  if (status.isDirectory()) return { dir: input }
  if (status.isFile() && (await isTar(input))) return { tar: input }
  throw bad('it is neither a folder nor a .tar or .tar.gz archive; name a commit of a repository with --from-repo')
}

/**
 * The archive reader that ostree uses takes many formats, one of which (mtree) pulls in files of this computer by name;
 * so only what is tar by its own magic word reaches it.
 */
async function isTar(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0)
    const start = buffer.subarray(0, bytesRead)
    return unzipped(start).toString('latin1', 257, 262) === 'ustar'
  } finally {
    await file.close()
  }
}

/** The start of a gzip file's content; anything else as it is. */
function unzipped(start: Buffer): Buffer {
  if (start[0] !== 0x1f || start[1] !== 0x8b) return start
  try {
    return gunzipSync(start, { finishFlush: zlib.Z_SYNC_FLUSH }) // it is cut short on purpose
  } catch {
    return Buffer.alloc(0)
  }
}

/** The file's object in a fixed form. @throws Failure `bad-ota-json` */
export async function readOtaJson(path: string): Promise<string> {
  const bad = (why: string, cause?: unknown) => new Failure('bad-ota-json', `cannot use ${path}: ${why}`, { cause })
  let value: Json
  try {
    const status = await stat(path)
    if (!status.isFile()) throw bad('it is no file')
    if (status.size > OTA_JSON_FILE_LIMIT) throw bad(`it has more than ${OTA_JSON_LIMIT} bytes`)
    value = parseJson(await readFile(path), OTA_JSON_DEPTH)
  } catch (error) {
    if (error instanceof Failure && error.code === 'bad-ota-json') throw error
    if (errno(error) === 'ENOENT') throw bad('there is no such file', error)
    throw bad(errno(error) ?? (error instanceof Error ? error.message : String(error)), error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('it does not hold a JSON object')
  const text = JSON.stringify(sortKeys(value))
  if (Buffer.byteLength(text) > OTA_JSON_LIMIT) throw bad(`it has more than ${OTA_JSON_LIMIT} bytes`)
  return text
}

/** ostree's reasons, with what to do about them. */
function explained(error: unknown, input: string, repo: string): unknown {
  if (!(error instanceof Failure)) return error
  // How ostree ends, with 2022.7 and with 2025.2, when it is to make one of an archive root's.
  if (/commit_modifier_apply: code should not be reached|OSTree-ERROR.*unexpected file type/.test(error.message)) {
    const why = 'it has devices, pipes or sockets; take them out of it first'
    return new Failure('bad-tree', `cannot commit ${input}: ${why}`, { cause: error })
  }
  const why = error.message.replace(/^.*exit status \d+: /s, '')
  const advice = [
    [/Unsupported file type|Not a regular file or symlink/, 'take devices, pipes and sockets out of it first'],
    [/Invalid uplink|Processing deferred hardlink/, 'an entry of the archive points outside of it'],
    [/[Tt]runcated|end of file/, 'the archive is cut short'],
  ] as const
  const disk = explainDisk(error, repo)
  if (disk !== error) return disk
  const next = advice.find(([said]) => said.test(why))?.[1]
  return next ? new Failure('bad-tree', `cannot commit ${input}: ${why}; ${next}`, { cause: error }) : error
}
