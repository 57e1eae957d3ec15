/** Migration hooks: programs of a release that prepare the data in /var for it, or refuse. */
import { join } from 'node:path'
import { type Check, listPrograms, runProgram, type Terms, unlessLeft } from './programs.ts'

/** When they run: docs/integration.md says with which rights and environment. */
export const HOOK_KINDS = ['pre-deploy', 'post-boot', 'pre-rollback'] as const
export type HookKind = (typeof HOOK_KINDS)[number]

/**
 * Run the hooks of a kind in the order of their names, up to the first that fails. They may be run again after a power cut.
 * @param folder that holds `pre-deploy.d` and the others
 */
export async function runHooks(
  folder: string,
  kind: HookKind,
  terms: Terms,
  onHook: (done: Check[]) => void = () => {},
): Promise<{ done: Check[]; failed?: Check }> {
  const done: Check[] = []
  for (const { name, path } of await listPrograms([join(folder, `${kind}.d`)])) {
    const environment = { ...terms.environment, SUPERBLOCK_HOOK: kind }
    const run = () => runProgram(`${kind}.d/${name}`, path, true, { ...terms, environment })
    const result = await unlessLeft(run, terms.signal)
    if (!result) break
    done.push(result)
    onHook(done)
    if (!result.ok) return { done, failed: result }
  }
  return { done }
}
