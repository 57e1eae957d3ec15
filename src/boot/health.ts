/** Health checks: what says whether the booted release works. Built in are those that every device needs; the others are programs. */
import { join } from 'node:path'
import { listIfThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { type Check, isExecutable, listPrograms, runProgram, type Terms, timed, unlessLeft } from './programs.ts'

export interface HealthPlan {
  /** folders with required.d and wanted.d in them, weakest first */
  folders: readonly string[]
  /** systemd units that must be active */
  units: readonly string[]
  /** folders that must be writable; what `remount` names may be mounted read-only, and is mounted writable for the check, as ostree does */
  writable: readonly { name: string; folder: string; remount?: string }[]
}

const KINDS = { 'required.d': true, 'wanted.d': false } as const

/**
 * Run all checks, one after another: disks, units, the required programs, the wanted ones. One that does not end in time has
 * failed.
 * @param onCheck those that are done so far
 */
export async function checkHealth(plan: HealthPlan, terms: Terms, onCheck: (done: Check[]) => void): Promise<Check[]> {
  const checks: (() => Promise<Check>)[] = [
    ...plan.writable.map(place => () => checkWritable(place, terms)),
    ...plan.units.map(unit => () => checkUnit(unit, terms)),
  ]
  for (const [kind, required] of Object.entries(KINDS))
    for (const { name, path } of await listPrograms(plan.folders.map(folder => join(folder, kind))))
      checks.push(() => runProgram(name, path, required, terms))
  const done: Check[] = []
  for (const check of checks) {
    const result = await unlessLeft(check, terms.signal)
    if (!result) break
    done.push(result)
    onCheck(done)
  }
  return done
}

/** What is never run: what lies beside the folders of these names, and what is in them and cannot be executed. */
export async function neverRun(
  folders: readonly string[],
  kinds: readonly string[] = Object.keys(KINDS),
): Promise<{ misplaced: string[]; notExecutable: string[] }> {
  const misplaced: string[] = []
  const notExecutable: string[] = []
  for (const folder of folders)
    for (const name of await listIfThere(folder))
      if (!kinds.includes(name)) misplaced.push(join(folder, name))
      else
        for (const program of await listIfThere(join(folder, name)))
          if (!(await isExecutable(join(folder, name, program)))) notExecutable.push(join(folder, name, program))
  return { misplaced, notExecutable }
}

/**
 * A file is written, flushed and removed, in a mount namespace of its own. With a source, of which only that there is one counts,
 * mount gives none of the mount's other options again, as ostree does not: there are file systems that refuse their own.
 */
const WRITE = `[ -w "$1" ] || [ -z "$2" ] || mount -o remount,rw none "$2"
file=$1/.superblock-writable
echo written >"$file" && sync "$file" && rm "$file"`

const checkWritable = ({ name, folder, remount = '' }: HealthPlan['writable'][number], { timeout }: Terms) =>
  timed(`disk:${name}`, true, async () => {
    await run(['unshare', '--mount', 'sh', '-euc', WRITE, 'sh', folder, remount], { timeout: timeout * 1000 })
    return { ok: true, output: '' }
  })

/** Milliseconds between looks at a unit that is still starting. */
const TICK = 500

const checkUnit = (unit: string, { timeout, signal }: Terms) =>
  timed(`unit:${unit}`, true, async () => {
    const end = performance.now() + timeout * 1000
    for (;;) {
      const look = ['systemctl', 'is-active', '--', unit]
      const state = (await run(look, { accept: [1, 2, 3, 4], timeout: timeout * 1000 })).stdout.trim()
      if (state === 'active') return { ok: true, output: '' }
      if (!/^(activating|reloading|inactive)$/.test(state) || performance.now() > end || signal?.aborted) {
        const { stdout } = await run(['systemctl', 'status', '--no-pager', '--lines=4', '--', unit], {
          accept: [1, 2, 3, 4],
          timeout: timeout * 1000,
        })
        return { ok: false, output: `${stdout}\n${unit} is ${state || 'not known'}` }
      }
      await new Promise(resolve => setTimeout(resolve, TICK))
    }
  })
