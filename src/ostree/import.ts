/** Bring a commit into the device's repo under its ref, and take it out again. */
import { join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { readIfThere } from '../base/files.ts'
import { runUninterrupted } from '../base/run.ts'
import { changeAdmin, changeRepo, type Engine, type OnPulse } from './engine.ts'
import { contentOf, hasCommit, missingObjects } from './objects.ts'
import { linkablePath } from './storage.ts'

/**
 * Import from a repo that need hold only the objects that the device lacks. Those of an archive ostree checks; unpacked ones
 * were checked when they were unpacked. A commit that is here with parts of it gone, as a power cut within a prune leaves it,
 * is made whole again. Repeating it is harmless.
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
  const isHere = await hasCommit(engine.repo, commit)
  const isWhole = isHere && (await missingObjects(engine.repo, await contentOf(source))).size === 0
  if (isHere && !isWhole) await markPartial(engine, commit)
  if (!isWhole) {
    // Trusted, ostree gives each object a second name, instead of copying and hashing it once more.
    const linkable = await linkablePath(engine, source)
    const from = linkable === undefined ? ['--untrusted', source] : [linkable]
    await changeRepo(engine, ['pull-local'], [...from, commit], onPulse)
  }
  await pointRef(engine, commit, ref)
}

/**
 * Make ostree look for the rest of a commit that it has for complete, with the mark that its own pulls and fsck set.
 * /sysroot may be mounted read-only, which ostree's commands undo for themselves; there is none that only sets the mark.
 */
async function markPartial(engine: Engine, commit: string): Promise<void> {
  const script = '[ -w "$1" ] || mount -o remount,rw "$2"; : >"$1/$3.commitpartial"'
  const where = [join(engine.repo, 'state'), join(engine.sysroot, 'sysroot'), commit]
  await runUninterrupted(['unshare', '--mount', 'sh', '-euc', script, 'sh', ...where], engine)
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
 * @throws Failure `command-failed`
 */
export async function dropRef(engine: Engine, ref: string, to?: string): Promise<void> {
  if (to !== undefined) await pointRef(engine, to, ref)
  // `refs --delete` takes a prefix, so ask first whether there is a ref of exactly this name.
  else if ((await refCommit(engine, ref)) !== undefined) await changeRepo(engine, ['refs'], ['--delete', ref])
  await changeAdmin(engine, 'cleanup', [])
}

/** The commit that a ref names, or undefined where there is no such ref. A ref is a file, and to read it costs no process. */
export async function refCommit(engine: Engine, ref: string): Promise<string | undefined> {
  const path = join(engine.repo, 'refs/heads', ref)
  const text = await readIfThere(path).catch(error => {
    if (errno(error) === 'EISDIR') return undefined // other refs begin with its name
    throw error
  })
  if (text === undefined) return undefined
  const [commit] = /^[0-9a-f]{64}(?=\n$)/.exec(text) ?? []
  if (commit === undefined)
    throw new Failure('command-failed', `cannot look up the ref ${ref}: ${path} holds no commit`)
  return commit
}

async function pointRef(engine: Engine, commit: string, ref: string): Promise<void> {
  if ((await refCommit(engine, ref)) === commit) return
  await changeRepo(engine, ['refs'], ['--force', `--create=${ref}`, commit])
  const now = await refCommit(engine, ref)
  if (now !== commit) throw new Failure('ref-mismatch', `cannot set the ref ${ref}: it names ${now}, not ${commit}`)
}
