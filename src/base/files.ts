/** Durable files: what these functions wrote is there whole after a power cut, or not at all. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, readFile, readlink, rename, rm, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errno } from './failure.ts'

/** Flush a folder's entries, so that a rename or unlink in it survives a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Replace `path` by `data` in one step; the random name and O_EXCL keep a planted link from being followed. */
export async function replaceFile(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`)
  const file = await open(temporary, 'wx', mode)
  try {
    await file.writeFile(data)
    await file.sync()
    await file.close()
    await rename(temporary, path)
  } catch (error) {
    await file.close().catch(() => {})
    await unlink(temporary).catch(() => {})
    throw error
  }
  await syncFolder(dirname(path))
}

/** Remove what a killed process left in a folder of files that have a name for a moment only, as those of replaceFile. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await listIfThere(folder))
    if (/^\.[0-9a-f]{16}\.tmp$|^(output|read)-[0-9a-f]{16}$/.test(name)) await unlink(join(folder, name))
}

/**
 * Append one line and flush it; on failure (a full disk) the file is as it was before. A torn last line from an earlier
 * power cut must be mended by the caller first.
 */
export async function appendLine(path: string, line: string, mode = 0o600): Promise<void> {
  const file = await open(path, 'a', mode)
  try {
    const { size } = await file.stat()
    try {
      await file.writeFile(`${line}\n`)
      await file.sync()
    } catch (error) {
      await file.truncate(size)
      throw error
    }
  } finally {
    await file.close()
  }
  await syncFolder(dirname(path))
}

/** The file's text, or undefined where there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw error
  }
}

/**
 * A regular file's bytes, or undefined where nothing has this name. A pipe or a device is not waited for.
 * @param limit bytes
 * @throws Error when it is no regular file or has more bytes; system errors
 */
export async function readBounded(path: string, limit: number): Promise<Buffer | undefined> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw error
  }
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Error(`${path} is not a file`)
    if (found.size > limit) throw new Error(`${path} has more than ${limit} bytes`)
    const buffer = Buffer.alloc(found.size)
    let filled = 0
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return buffer.subarray(0, filled)
  } finally {
    await file.close()
  }
}

/** Where a link leads, or undefined where there is none. */
export async function readLink(path: string): Promise<string | undefined> {
  return readlink(path).catch(() => undefined)
}

/** The folder's entry names in a fixed order; none where there is no such folder. */
export async function listIfThere(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return []
    throw error
  }
}

/** Whether anything, a dangling link included, has this name. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return false
    throw error
  }
}

/** A folder only its owner can enter; parents are made as needed. */
export async function privateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
}

export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

/** Move what cannot be used out of the way, for who wants to look at it. @returns its new name */
export async function setAside(path: string): Promise<string> {
  const aside = `${path}.damaged`
  await removeTree(aside)
  await rename(path, aside)
  return aside
}
