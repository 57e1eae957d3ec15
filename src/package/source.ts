/** Exactly as many bytes as the format says, or the refusal. */
import { Failure } from '../base/failure.ts'
import type { Source } from '../base/source.ts'

/**
 * Exactly `length` bytes.
 * @throws Failure `truncated` when there are fewer
 */
export async function readExactly(source: Source, position: number, length: number, into?: Buffer): Promise<Buffer> {
  const bytes = position + length > source.size ? undefined : await source.read(position, length, into)
  if (bytes?.length !== length) throw truncated()
  return bytes
}

export const truncated = () =>
  new Failure(
    'truncated',
    'cannot accept the package: the file ends too early; wait if it is still being copied, else copy it again and eject the stick properly',
  )
