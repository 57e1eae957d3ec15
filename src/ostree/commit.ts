/** Making releases on the build host: an archive repo, commits in it, deltas between them. */

import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { repoConfig } from './storage.ts'

/** What a package carries as its repo's configuration: the same for everyone. */
export const ARCHIVE_CONFIG = repoConfig('archive-z2')

export type Tree = { dir: string } | { tar: string } | { commit: string }

export interface CommitInput {
  ref: string
  tree: Tree
  subject: string
  /** seconds since 1970 */
  timestamp: number
  parent: string | undefined
  metadata: Record<string, string>
  /** owner 0:0, no extended attributes, no setuid: what a repo of mode bare-user-only can hold */
  canonicalPermissions: boolean
  gpg?: { key: string; homedir: string | undefined } | undefined
}

/** Make an archive repo at `repo` unless one is there. @throws Failure `wrong-repo` when it is of another mode */
export async function initRepo(repo: string, signal?: AbortSignal): Promise<void> {
  if (await isThere(`${repo}/objects`)) return archiveRepo(repo)
  await run(['ostree', 'init', `--repo=${repo}`, '--mode=archive'], { signal })
}

/** @throws Failure `wrong-repo` when `repo` is not an OSTree repo of mode archive */
export async function archiveRepo(repo: string): Promise<void> {
  if (!(await isThere(`${repo}/objects`)))
    throw new Failure('wrong-repo', `cannot use ${repo}: there is no OSTree repository`)
  const { stdout } = await run(['ostree', 'config', `--repo=${repo}`, 'get', 'core.mode'])
  const mode = stdout.trim()
  if (mode !== 'archive' && mode !== 'archive-z2')
    throw new Failure(
      'wrong-repo',
      `cannot use ${repo}: its mode is ${mode}; make an archive repository from it with: superblock-builder commit --from-repo`,
    )
}

/** The commit that a ref, a checksum or `REF^` names; undefined where there is none. */
export async function findCommit(repo: string, rev: string): Promise<string | undefined> {
  const found = await run(['ostree', 'rev-parse', `--repo=${repo}`, '--', rev], { accept: [1] })
  const commit = found.stdout.trim()
  if (found.status === 0 && /^[0-9a-f]{64}$/.test(commit)) return commit
  if (/not found|has no parent/i.test(found.stderr)) return undefined
  throw new Failure('no-commit', `cannot find ${rev} in ${repo}: ${found.stderr.trim().replace(/^error: /, '')}`)
}

/** The same, where it must be there. @throws Failure `no-commit` */
export async function resolveCommit(repo: string, rev: string): Promise<string> {
  const commit = await findCommit(repo, rev)
  if (commit) return commit
  throw new Failure('no-commit', `cannot find ${rev} in ${repo}: list what is there with: ostree refs --repo=${repo}`)
}

/** Bring one commit with all it needs from another repo of any mode; no ref is set. */
export async function copyCommit(from: string, to: string, commit: string, signal?: AbortSignal): Promise<void> {
  await run(['ostree', 'pull-local', `--repo=${to}`, from, commit], { signal })
}

/** Make a commit for `ref`, which is not set yet. @returns its checksum */
export async function commitTree(repo: string, input: CommitInput, signal?: AbortSignal): Promise<string> {
  const [kind, what] = Object.entries(input.tree)[0] as [keyof Tree | 'dir' | 'tar' | 'commit', string]
  const argv = ['ostree', 'commit', `--repo=${repo}`, '--orphan', `--bind-ref=${input.ref}`]
  argv.push(`--parent=${input.parent ?? 'none'}`, `--subject=${input.subject}`, `--timestamp=@${input.timestamp}`)
  argv.push(`--tree=${kind === 'commit' ? 'ref' : kind}=${what}`)
  if (kind === 'tar') argv.push('--tar-autocreate-parents')
  if (input.canonicalPermissions) argv.push('--canonical-permissions', '--no-xattrs')
  for (const [key, value] of Object.entries(input.metadata)) argv.push(`--add-metadata-string=${key}=${value}`)
  if (input.gpg) argv.push(`--gpg-sign=${input.gpg.key}`)
  if (input.gpg?.homedir) argv.push(`--gpg-homedir=${input.gpg.homedir}`)
  return (await run(argv, { signal })).stdout.trim()
}

/** Let `ref` name a commit, whether there is such a ref already or not. */
export async function setRef(repo: string, ref: string, commit: string): Promise<void> {
  await run(['ostree', 'refs', `--repo=${repo}`, '--force', `--create=${ref}`, commit])
}

/** Write the delta between two commits of an archive repo as one file that needs no network. */
export async function generateDelta(
  repo: string,
  from: string,
  to: string,
  file: string,
  signal?: AbortSignal,
): Promise<void> {
  const argv = ['ostree', 'static-delta', 'generate', `--repo=${repo}`, '--inline', '--min-fallback-size=0']
  await run([...argv, '--set-endianness=l', `--from=${from}`, `--to=${to}`, `--filename=${file}`], { signal })
}

/** Unpack a delta that needs no base into an empty repo; no ref is set. */
export async function applyDelta(repo: string, file: string, signal?: AbortSignal): Promise<void> {
  await run(['ostree', 'static-delta', 'apply-offline', `--repo=${repo}`, file], { signal })
}
