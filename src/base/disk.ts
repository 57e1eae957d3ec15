/** What is wrong with a disk that was written to. */
import { errno } from './failure.ts'

/** @param error a system error, or the failure of a program with what it said */
export function diskTrouble(error: unknown): 'full' | 'read-only' | 'failing' | undefined {
  const code = errno(error)
  const said = error instanceof Error ? error.message : ''
  if (code === 'ENOSPC' || code === 'EDQUOT' || /No space left on device|Disk quota exceeded|min-free-space/.test(said))
    return 'full'
  if (code === 'EROFS' || /Read-only file system/.test(said)) return 'read-only'
  if (code === 'EIO' || /Input\/output error/.test(said)) return 'failing'
  return undefined
}
