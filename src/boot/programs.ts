/** Programs that a release or a device brings in folders, as health checks and hooks: which there are, and what one of them says. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { asFailure } from '../base/failure.ts'
import { listIfThere } from '../base/files.ts'
import { unlessAborted } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { runUnconfined } from '../base/unconfined.ts'

export interface Program {
  name: string
  path: string
}

export interface Check {
  name: string
  ok: boolean
  /** one that fails is only shown where this is false */
  required: boolean
  seconds: number
  /** its last lines, safe to show */
  output: string
}

export interface Terms {
  /** each program may take so many seconds */
  timeout: number
  environment: { [name: string]: string }
  /** see Unconfined */
  lock: string
  /** begin nothing more */
  signal?: AbortSignal | undefined
  /** a program said something */
  onLine?: (() => void) | undefined
}

/** Of what a program said, so many last lines are kept, and so many letters where they become one line. */
const LINES = 5
const LINE = 300

/** The executables of the folders in the order of their names; a later folder's replaces an earlier one's of the same name. */
export async function listPrograms(folders: readonly string[]): Promise<Program[]> {
  const found = new Map<string, string>()
  for (const folder of folders)
    for (const name of await listIfThere(folder))
      if (await isExecutable(join(folder, name))) found.set(name, join(folder, name))
  return [...found].map(([name, path]) => ({ name, path })).sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** @param name as people are shown it */
export async function runProgram(name: string, path: string, required: boolean, terms: Terms): Promise<Check> {
  const { timeout, environment: env, lock, onLine, signal } = terms
  return timed(name, required, async () => {
    const result = await runUnconfined([path], { name: `run-${name}`, seconds: timeout, env, lock, onLine, signal })
    const said = (result.stdout + result.stderr).trim()
    if (result.late) return { ok: false, output: `${said}\nno answer within ${timeout} s`.trim() }
    return { ok: result.status === 0, output: said || (result.status ? `exit status ${result.status}` : '') }
  })
}

/** A check by whatever means; an exception is a failure of it. */
export async function timed(
  name: string,
  required: boolean,
  check: () => Promise<{ ok: boolean; output: string }>,
): Promise<Check> {
  const started = performance.now()
  const { ok, output } = await check().catch(error => ({ ok: false, output: asFailure(error, `run ${name}`).message }))
  const seconds = Math.round((performance.now() - started) / 100) / 10
  return { name, ok, required, seconds, output: lastLines(output) }
}

/** What `work` gives, or undefined when nobody waits for it any more. */
export async function unlessLeft<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
  if (!signal) return work()
  if (signal.aborted) return undefined
  try {
    return await unlessAborted(work(), signal)
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}

/** What a program said in one line; of a long one the end, where the reason usually stands. */
export function inOneLine(output: string): string {
  const letters = [...safe(output.replaceAll('\n', ' / '), Number.POSITIVE_INFINITY)]
  return letters.length > LINE ? `…${letters.slice(1 - LINE).join('')}` : letters.join('')
}

const lastLines = (text: string) =>
  text
    .trim()
    .split('\n')
    .slice(-LINES)
    .map(line => safe(line))
    .join('\n')

export async function isExecutable(path: string): Promise<boolean> {
  try {
    const found = await stat(path)
    // By its mode alone: access(2) says no where the file system is mounted noexec, and a hook that cannot run must refuse.
    return found.isFile() && (found.mode & 0o111) !== 0
  } catch {
    return false
  }
}
