/**
 * What is kept for a full disk, so that the state can still be written and a rollback still done: a file that is given up, and a
 * file that the journal takes the place of.
 */
import { constants } from 'node:fs'
import { lstat, open, rename, statfs, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { diskTrouble } from '../base/disk.ts'
import { errno } from '../base/failure.ts'
import { removeTree, replaceFile, syncFolder } from '../base/files.ts'

const path = (folder: string) => join(folder, 'reserve')
const spareOf = (folder: string) => join(folder, 'state.spare')
/** Bytes: many times a journal. */
const SPARE = 64 * 1024
/** Bytes that others are left, when there is hardly any room. */
const LEAST = 64 * 1024

const isFull = (error: unknown) => diskTrouble(error) === 'full'

/**
 * Make reserve and spare again; where there is no room for them now, a later call will.
 * @returns whether both are there
 */
export async function makeReserve(folder: string, size: number): Promise<boolean> {
  const hasSpare = await fill(spareOf(folder), SPARE)
  return (await fill(path(folder), size)) && hasSpare
}

/** Nothing is half there: what is of another size is made anew. */
async function fill(file: string, size: number): Promise<boolean> {
  const found = await lstat(file).catch(() => undefined)
  if (found?.isFile() && found.size === size) return true
  await removeTree(file)
  const { bavail, bsize } = await statfs(dirname(file))
  if (bavail * bsize < size + LEAST) return false
  try {
    const made = await open(file, 'wx', 0o600)
    try {
      // Written, not truncated to length: a hole would give nothing back.
      await made.writeFile(Buffer.alloc(size, 0xff))
      await made.sync()
    } finally {
      await made.close()
    }
    return true
  } catch (error) {
    if (!isFull(error)) throw error
    await removeTree(file)
    return false
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
    if (!isFull(error)) throw error
    await giveUpReserve(folder)
    return write()
  }
}

/**
 * Replace a file in the folder in one step; when the disk is full by way of the spare, which has its room already, and only then with the
 * reserve given up.
 */
export async function replaceEvenIfFull(folder: string, file: string, data: string): Promise<void> {
  try {
    await replaceFile(file, data)
  } catch (error) {
    if (!isFull(error)) throw error
    if (!(await replaceBySpare(folder, file, Buffer.from(data))))
      await evenIfFull(folder, () => replaceFile(file, data))
  }
}

/** @returns whether there was a spare */
async function replaceBySpare(folder: string, file: string, data: Buffer): Promise<boolean> {
  if (data.length > SPARE) return false
  const spare = await open(spareOf(folder), constants.O_RDWR | constants.O_NOFOLLOW).catch(() => undefined)
  if (!spare) return false
  try {
    if ((await spare.stat()).size !== SPARE) return false
    await spare.write(data, 0, data.length, 0)
    await spare.truncate(data.length)
    await spare.sync()
  } finally {
    await spare.close()
  }
  await rename(spareOf(folder), file)
  await syncFolder(folder)
  // What was cut off, and the file that was replaced, are room for the next one.
  await fill(spareOf(folder), SPARE).catch(() => {})
  return true
}
