/** Health checks: executables that say by their exit status whether the booted release works. */
import { access, constants, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { asFailure } from '../base/failure.ts'
import { listIfThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { safe } from '../base/text.ts'

export interface Check {
  name: string
  ok: boolean
  seconds: number
  /** its last lines, safe to show */
  output: string
}

const LINES = 5

/**
 * Run every executable of the folders in the order of their names, one after another. A later folder's file of the same
 * name replaces an earlier one's, so a device can override a check of its tree. One that does not end in time has failed.
 * @param timeout seconds for each
 * @param environment beside the service's own
 */
export async function checkHealth(
  folders: readonly string[],
  timeout: number,
  environment: { [name: string]: string },
  onCheck: (done: Check[]) => void,
): Promise<Check[]> {
  const files = new Map<string, string>()
  for (const folder of folders)
    for (const name of await listIfThere(folder))
      if (await isExecutable(join(folder, name))) files.set(name, join(folder, name))
  const done: Check[] = []
  for (const name of [...files.keys()].sort()) {
    done.push(await checkOne(name, files.get(name) as string, timeout, environment))
    onCheck(done)
  }
  return done
}

async function checkOne(name: string, path: string, timeout: number, env: { [name: string]: string }): Promise<Check> {
  const started = performance.now()
  const seconds = () => Math.round((performance.now() - started) / 100) / 10
  try {
    const { stdout, stderr } = await run([path], { timeout: timeout * 1000, env })
    return { name, ok: true, seconds: seconds(), output: lastLines(stdout + stderr) }
  } catch (error) {
    return { name, ok: false, seconds: seconds(), output: lastLines(asFailure(error, `run ${name}`).message) }
  }
}

const lastLines = (text: string) =>
  text
    .trim()
    .split('\n')
    .slice(-LINES)
    .map(line => safe(line))
    .join('\n')

async function isExecutable(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
