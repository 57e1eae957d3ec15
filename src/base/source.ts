/** Where a package's bytes come from: read by position, each byte once, by whoever can reach the medium. */
import { setMaxListeners } from 'node:events'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { errno, Failure } from './failure.ts'
import { bytesOf } from './names.ts'
import { safe } from './text.ts'

export interface Source {
  /** bytes, as it was when opened */
  readonly size: number
  /**
   * Up to `length` bytes from `position`; fewer only at the end.
   * @param into has room for them and may be used: who reads much reuses it, instead of filling the memory
   * @throws Failure `media-gone` when the medium was removed, `media-error` when it cannot be read
   */
  read(position: number, length: number, into?: Buffer): Promise<Buffer>
  close(): Promise<void>
}

const GONE = new Set(['ENODEV', 'ENXIO', 'ENOENT', 'ENOTCONN', 'ESTALE'])

/** A system error of reading `path` as the Failure for it. */
export function readFailure(error: unknown, path: string, position: number): Failure {
  if (GONE.has(errno(error) ?? ''))
    return new Failure('media-gone', `cannot read ${safe(path)}: the stick was removed; put it back to continue`, {
      cause: error,
    })
  return new Failure(
    'media-error',
    `cannot read ${safe(path)} at byte ${position}: ${reasonOf(error)}; copy it to another stick`,
    { cause: error },
  )
}

/** What a system error says, without the call and the path that Node puts behind: `EIO: i/o error`. */
export const reasonOf = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return /^E[A-Z0-9]+: [^,]+/.exec(text)?.[0] ?? safe(text)
}

/**
 * Open a package file, named as `nameOf` does: neither through a link nor anything but a regular file (a pipe must not make us wait).
 * @throws Failure `media-gone`, `media-error`, `not-a-package`
 */
export async function openFile(path: string): Promise<Source> {
  const { file, size } = await openRegular(path)
  return {
    size,
    async read(position, length, into) {
      const bytes = into?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length)
      return bytes.subarray(0, await readInto(file, path, bytes, position))
    },
    close: () => file.close(),
  }
}

/**
 * The open file itself, for who keeps its own buffers.
 * @throws as openFile
 */
export async function openRegular(path: string): Promise<{ file: FileHandle; size: number }> {
  const file = await openSafely(path)
  try {
    const status = await file.stat()
    if (!status.isFile()) throw new Failure('not-a-package', `cannot open ${safe(path)}: it is not a regular file`)
    return { file, size: status.size }
  } catch (error) {
    await file.close()
    throw error instanceof Failure ? error : readFailure(error, path, 0)
  }
}

async function openSafely(path: string): Promise<FileHandle> {
  try {
    return await open(bytesOf(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = errno(error)
    if (code === 'ELOOP')
      throw new Failure('not-a-package', `cannot open ${safe(path)}: it is a link; name the file itself`, {
        cause: error,
      })
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new Failure(
        'media-gone',
        `cannot open ${safe(path)}: it is not there; check the name, or put the stick back`,
        { cause: error },
      )
    throw readFailure(error, path, 0)
  }
}

/**
 * Fill `bytes` from `position` of the file.
 * @returns how many there were: fewer only at the end
 * @throws Failure `media-gone`, `media-error`
 */
export async function readInto(file: FileHandle, path: string, bytes: Buffer, position: number): Promise<number> {
  let filled = 0
  try {
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
  } catch (error) {
    throw readFailure(error, path, position + filled)
  }
  return filled
}

/** The same source, but a read that is under way ends when the signal says so, even if the medium never answers. */
export function abortable(source: Source, signal: AbortSignal): Source {
  setMaxListeners(0, signal) // as many as there are reads under way at once
  return {
    ...source,
    size: source.size,
    read: (position, length, into) => unlessAborted(source.read(position, length, into), signal),
  }
}

/** What `work` gives, or the signal's reason, whichever comes first. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
