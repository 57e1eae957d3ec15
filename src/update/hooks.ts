/** What the migration hooks are told, and what it means when one of them refuses. */
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import { type Check, inOneLine, type Terms } from '../boot/programs.ts'
import type { Config } from '../config.ts'
import type { Engine } from '../ostree/engine.ts'
import type { ReleaseName } from './snapshot.ts'

/** `return`: the device goes back by itself */
type Direction = 'update' | 'rollback' | 'return'

/** @param onLine a hook said something */
export const hookTerms = (
  config: Config,
  engine: Engine,
  direction: Direction,
  from: ReleaseName,
  to: ReleaseName,
  onLine?: () => void,
): Terms => ({
  timeout: config.hooks.timeout,
  lock: programLock(engine),
  onLine,
  environment: {
    SUPERBLOCK_DIRECTION: direction,
    SUPERBLOCK_FROM_VERSION: from.version,
    SUPERBLOCK_FROM_COMMIT: from.commit,
    SUPERBLOCK_TO_VERSION: to.version,
    SUPERBLOCK_TO_COMMIT: to.commit,
  },
})

/** Where the hooks of a release lie that is not deployed yet. */
export const hooksFolder = ({ state }: Config) => join(state, 'hooks')

/** Checks and hooks run one at a time. */
export const programLock = ({ folder }: Engine) => join(folder, 'program.lock')

/** @param doing what was asked for, as it goes on after "cannot" */
export function refusedBy({ name, output }: Check, doing: string): Failure {
  const said = inOneLine(output) || 'no reason given'
  const text = `cannot ${doing}: the hook ${safe(name, 60)} refuses: ${said}`
  return new Failure('hook-failed', text, { facts: { hook: name, said } })
}
