/** What every verb needs to run ostree on one sysroot: where it is, and where its uninterrupted commands keep lock and output. */
import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunResult, run, runUninterrupted } from '../base/run.ts'

export interface Engine {
  /** `/` on a device */
  sysroot: string
  repo: string
  /** where kernels go */
  boot: string
  /** held by every command that changes the sysroot, also by one that outlived the service: see `settled` */
  lock: string
  /** private folder for the outputs of uninterrupted commands */
  folder: string
}

/** @param folder private and existing, best on a tmpfs: a frozen or full disk must not keep a command from starting */
export function openEngine(folder: string, sysroot = '/'): Engine {
  return {
    sysroot,
    repo: join(sysroot, 'ostree/repo'),
    boot: join(sysroot, 'boot'),
    lock: join(folder, 'engine.lock'),
    folder,
  }
}

const admin = (engine: Engine, verb: string, rest: readonly string[]) => [
  ...['ostree', 'admin', verb, `--sysroot=${engine.sysroot}`],
  ...rest,
]

/** Run `ostree admin VERB` that only reads. */
export const readAdmin = (engine: Engine, verb: string, ...rest: string[]): Promise<RunResult> =>
  run(admin(engine, verb, rest))

/** Called while a command is seen to work, with the bytes it has written so far. */
export type OnPulse = (written: number) => void

/** Run `ostree admin VERB` that changes the sysroot: to its end, whatever becomes of us. */
export const changeAdmin = (engine: Engine, verb: string, rest: readonly string[], onPulse?: OnPulse) =>
  runUninterrupted(admin(engine, verb, rest), engine, { onPulse })

/** Run an ostree verb that changes the sysroot's repo: to its end, whatever becomes of us. */
export const changeRepo = (engine: Engine, verb: readonly string[], rest: readonly string[], onPulse?: OnPulse) =>
  runUninterrupted(['ostree', ...verb, `--repo=${engine.repo}`, ...rest], engine, { onPulse })

/**
 * Change files of the sysroot for which ostree has no verb: in a mount namespace of its own, where /sysroot can be written even if
 * it is mounted read-only, and to its end, whatever becomes of us.
 * @param script for sh; its arguments are "$1" and so on
 */
export const changeFiles = (engine: Engine, script: string, ...rest: string[]): Promise<RunResult> => {
  const writable = 'w=$1; s=$2; shift 2; [ -w "$w" ] || mount -o remount,rw none "$s"; '
  const where = [join(engine.repo, 'objects'), join(engine.sysroot, 'sysroot')]
  return runUninterrupted(['unshare', '--mount', 'sh', '-euc', `${writable}${script}`, 'sh', ...where, ...rest], engine)
}

/**
 * Replace small files of the sysroot, each in one step.
 * @param texts by absolute path
 * @throws Failure `command-failed`
 */
export async function copyTexts(engine: Engine, texts: ReadonlyMap<string, string>): Promise<void> {
  const text = join(engine.folder, 'text')
  for (const [path, content] of texts) {
    await writeFile(text, content, { mode: 0o644 })
    await changeFiles(engine, 'cp -- "$1" "$2.new"; sync "$2.new"; mv -f -- "$2.new" "$2"; sync -f "$2"', text, path)
  }
  await unlink(text).catch(() => {})
}
