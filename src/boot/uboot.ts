/**
 * A trial for U-Boot in a file of one sector on the partition that its script boot.scr is on. FAT has no journal and the
 * script no checksum, so the file keeps its size and place and is written over: a power cut leaves the old sector, the new
 * one or, byte by byte, some of both, and each of those means a trial as it was, as it will be, or none.
 */
import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { isThere, syncFolder } from '../base/files.ts'
import type { BootLoader, Trial } from './bootloader.ts'

/** Bytes: a sector, as `env export -s` in boot.cmd pads it too. */
const SIZE = 512

/** Where the partition with U-Boot's script may be mounted. */
const PLACES = ['efi', 'boot/efi']

/** The path of the trial's file beside boot.scr, or undefined where there is no boot.scr. */
export async function findTrialFile(sysroot: string): Promise<string | undefined> {
  for (const place of PLACES)
    if (await isThere(join(sysroot, place, 'boot.scr'))) return join(sysroot, place, 'trial.env')
  return undefined
}

/** The sector of a trial, or of none; what is not used is NUL, where U-Boot's `env import -t` stops reading. */
export function trialSector(trial: Trial | undefined): Buffer {
  const text = trial ? `trial_id=${trial.id}\ntrial_tries=${trial.tries}\n` : ''
  if (text.length >= SIZE) throw new Error('the release_id is too long')
  const sector = Buffer.alloc(SIZE)
  sector.write(text, 'latin1')
  return sector
}

/** What the script will take a sector for: lines up to the first NUL (U-Boot: lib/hashtable.c, himport_r). */
export function parseSector(sector: Buffer): Trial | undefined {
  const [text = ''] = sector.toString('latin1').split('\0', 1)
  const value = (name: string) => new RegExp(`^[ \t]*${name}=(.*)$`, 'm').exec(text)?.[1] ?? ''
  const id = value('trial_id')
  return id ? { id, tries: Number(value('trial_tries')) || 0 } : undefined
}

/** @param path of the file; it is made where there is none */
export const trialFile = (path: string): BootLoader => ({
  name: 'U-Boot',
  // A release without an id is not told from others, so nothing is counted.
  arm: ({ release }, tries) => write(path, release === '' ? undefined : { id: release, tries }),
  clear: () => write(path, undefined),
  async read() {
    try {
      return parseSector(await readFile(path))
    } catch (error) {
      if (errno(error) === 'ENOENT') return undefined
      throw failure('read', path, error)
    }
  },
})

async function write(path: string, trial: Trial | undefined): Promise<void> {
  try {
    const sector = trialSector(trial)
    const isNew = !(await isThere(path))
    if (isNew && trial === undefined) return
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644)
    try {
      if ((await file.readFile()).equals(sector)) return
      const { bytesWritten } = await file.write(sector, 0, SIZE, 0)
      if (bytesWritten !== SIZE) throw new Error('the write was cut short')
      if ((await file.stat()).size !== SIZE) await file.truncate(SIZE)
      await file.sync()
    } finally {
      await file.close()
    }
    if (isNew) await syncFolder(dirname(path))
  } catch (error) {
    throw failure('write', path, error)
  }
}

function failure(doing: string, path: string, error: unknown): Failure {
  const why = error instanceof Error ? error.message : String(error)
  return new Failure('uboot-env', `cannot ${doing} ${path}: ${why}; see that the partition is mounted and not full`, {
    cause: error,
  })
}
