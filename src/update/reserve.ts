/** A file that is given up when the disk is full, so that the state can still be written and a rollback still done. */
import { open, stat, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../base/failure.ts'

const path = (folder: string) => join(folder, 'reserve')

/** Make the reserve again; where there is no room for it now, a later call will. */
export async function makeReserve(folder: string, size: number): Promise<void> {
  if ((await stat(path(folder)).catch(() => undefined))?.size === size) return
  await giveUpReserve(folder) // a power cut may have left part of one
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < size * 2) return
  try {
    const file = await open(path(folder), 'wx', 0o600)
    try {
      // Written, not truncated to length: a hole would give nothing back.
      await file.writeFile(Buffer.alloc(size, 0xff))
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (errno(error) !== 'ENOSPC') throw error
    await giveUpReserve(folder)
  }
}

export async function giveUpReserve(folder: string): Promise<void> {
  await unlink(path(folder)).catch(error => {
    if (errno(error) !== 'ENOENT') throw error
  })
}

/** Do a small durable write; when the disk is full, once more with the reserve given up. */
export async function evenIfFull<T>(folder: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (errno(error) !== 'ENOSPC') throw error
    await giveUpReserve(folder)
    return write()
  }
}
