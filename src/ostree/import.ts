/** Bring a commit into the device's repo under its ref, and take it out again. */

import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { readIfThere } from '../base/files.ts'
import { changeFiles, changeRepo, type Engine, type OnPulse } from './engine.ts'
import { mendObjects } from './mend.ts'
import { contentOf, hasCommit, statusOf } from './objects.ts'
import { linkablePath } from './storage.ts'
import { type Leftover, sweep } from './tidy.ts'

/**
 * Import from a repo that need hold only the objects that the device lacks. Those of an archive ostree checks; unpacked ones
 * were checked when they were unpacked. A commit that is here with parts of it gone, as a power cut within a prune leaves it,
 * is made whole again, and an object that is here and damaged is mended. Repeating it is harmless.
 * @param source absolute path of a private repo
 * @throws Failure `command-failed` for an object that is missing or not what its name says, `ref-mismatch`
 */
export async function importCommit(
  engine: Engine,
  source: string,
  commit: string,
  ref: string,
  onPulse?: OnPulse,
): Promise<void> {
  const staged = await contentOf(source)
  const mended = await mendObjects(engine, source, staged)
  const isHere = await hasCommit(engine.repo, commit)
  const isWhole = isHere && mended && areHere(engine.repo, staged)
  if (isHere && !isWhole) await markPartial(engine, commit)
  if (!isWhole) {
    // Trusted, ostree gives each object a second name, instead of copying and hashing it once more.
    const linkable = await linkablePath(engine, source)
    const from = linkable === undefined ? ['--untrusted', source] : [linkable]
    await changeRepo(engine, ['pull-local'], [...from, commit], onPulse)
  }
  await pointRef(engine, commit, ref)
}

const areHere = (repo: string, paths: readonly string[]) =>
  paths.every(path => statusOf(join(repo, path)) !== undefined)

/** Make ostree look for the rest of a commit that it has for complete, with the mark that its own pulls and fsck set. */
async function markPartial(engine: Engine, commit: string): Promise<void> {
  await changeFiles(engine, ': >"$1"', join(engine.repo, 'state', `${commit}.commitpartial`))
}

/**
 * Import by an inline static delta whose base is here. ostree checks no signature on this way, and the file is mapped:
 * it must be a private copy of verified bytes.
 * @throws Failure `command-failed`, `ref-mismatch` when the delta makes another commit
 */
export async function applyDelta(
  engine: Engine,
  file: string,
  commit: string,
  ref: string,
  onPulse?: OnPulse,
): Promise<void> {
  // Also when the commit is here: what parts of it may be gone comes back, and what is here is passed over.
  await changeRepo(engine, ['static-delta', 'apply-offline'], [file], onPulse)
  if (!(await hasCommit(engine.repo, commit)))
    throw new Failure('ref-mismatch', `cannot import ${commit}: the delta makes another commit; make the package again`)
  await pointRef(engine, commit, ref)
}

/**
 * Undo an import: the ref goes back to `to`, or away, and what nothing refers to is removed. Repeating it is harmless.
 * @returns what could not be removed
 * @throws Failure `command-failed`
 */
export async function dropRef(engine: Engine, ref: string, to?: string): Promise<Leftover[]> {
  if (to !== undefined) await pointRef(engine, to, ref)
  // `refs --delete` takes a prefix, so ask first whether there is a ref of exactly this name.
  else if ((await refCommit(engine, ref)) !== undefined) await changeRepo(engine, ['refs'], ['--delete', ref])
  return sweep(engine)
}

/**
 * The commit that a ref names, or undefined where there is no such ref, or a power cut has left its file empty or with junk. A ref
 * is a file, and to read it costs no process.
 */
export async function refCommit(engine: Engine, ref: string): Promise<string | undefined> {
  const path = join(engine.repo, 'refs/heads', ref)
  const text = await readIfThere(path).catch(error => {
    if (errno(error) === 'EISDIR') return undefined // other refs begin with its name
    throw error
  })
  const [commit] = /^[0-9a-f]{64}(?=\n$)/.exec(text ?? '') ?? []
  return commit
}

async function pointRef(engine: Engine, commit: string, ref: string): Promise<void> {
  const before = await refCommit(engine, ref)
  if (before === commit) return
  // It is only a name for what takes its place, but ostree does not get past one that names nothing.
  const path = join(engine.repo, 'refs/heads', ref)
  if (before === undefined && (await isFile(path))) await changeFiles(engine, 'rm -f -- "$1"', path)
  await changeRepo(engine, ['refs'], ['--force', `--create=${ref}`, commit])
  const now = await refCommit(engine, ref)
  if (now !== commit) throw new Failure('ref-mismatch', `cannot set the ref ${ref}: it names ${now}, not ${commit}`)
}

const isFile = (path: string) =>
  lstat(path).then(
    found => !found.isDirectory(),
    () => false,
  )
