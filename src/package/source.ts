/** Where a package's bytes come from: read by position, each byte once, by whoever can reach the medium. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { errno, Failure } from '../base/failure.ts'

export interface Source {
  /** bytes, as it was when opened */
  readonly size: number
  /**
   * Up to `length` bytes from `position`; fewer only at the end.
   * @throws Failure `media-gone` when the medium was removed, `media-error` when it cannot be read
   */
  read(position: number, length: number): Promise<Buffer>
  close(): Promise<void>
}

const GONE = new Set(['ENODEV', 'ENXIO', 'ENOENT', 'ENOTCONN', 'ESTALE'])

/** A system error of reading `path` as the Failure for it. */
export function readFailure(error: unknown, path: string, position: number): Failure {
  if (GONE.has(errno(error) ?? ''))
    return new Failure('media-gone', `cannot read ${path}: the stick was removed; put it back to continue`, {
      cause: error,
    })
  const why = error instanceof Error ? error.message : String(error)
  return new Failure('media-error', `cannot read ${path} at byte ${position}: ${why}; copy it to another stick`, {
    cause: error,
  })
}

/**
 * Open a package file: neither through a link nor anything but a regular file (a pipe must not make us wait).
 * @throws Failure `media-gone`, `media-error`, `not-a-package`
 */
export async function openFile(path: string): Promise<Source> {
  const file = await openRegular(path)
  try {
    const status = await file.stat()
    if (!status.isFile()) throw new Failure('not-a-package', `cannot open ${path}: it is not a regular file`)
    return {
      size: status.size,
      read: (position, length) => readFrom(file, path, position, length),
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error instanceof Failure ? error : readFailure(error, path, 0)
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = errno(error)
    if (code === 'ELOOP')
      throw new Failure('not-a-package', `cannot open ${path}: it is a link; name the file itself`, { cause: error })
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new Failure('media-gone', `cannot open ${path}: it is not there; check the name, or put the stick back`, {
        cause: error,
      })
    throw readFailure(error, path, 0)
  }
}

async function readFrom(file: FileHandle, path: string, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let filled = 0
  try {
    while (filled < length) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
  } catch (error) {
    throw readFailure(error, path, position + filled)
  }
  return bytes.subarray(0, filled)
}

/**
 * Exactly `length` bytes.
 * @throws Failure `truncated` when there are fewer
 */
export async function readExactly(source: Source, position: number, length: number): Promise<Buffer> {
  const bytes = position + length > source.size ? undefined : await source.read(position, length)
  if (bytes?.length !== length) throw truncated()
  return bytes
}

export const truncated = () =>
  new Failure(
    'truncated',
    'cannot accept the package: the file ends too early; copy it again and eject the stick properly',
  )
