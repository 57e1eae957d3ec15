/** A USB stick for an emulated device: a folder, mounted read-only while it is inserted. */
import { copyFile, mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

export interface Stick {
  /** the name of its mount folder */
  name: string
  folder: string
}

/** Make a stick in `parent` with copies of `files` on it. */
export async function makeStick(parent: string, name: string, files: readonly string[] = []): Promise<Stick> {
  const folder = join(parent, name)
  await mkdir(folder, { recursive: true })
  for (const file of files) await copyFile(file, join(folder, basename(file)))
  return { name, folder }
}
