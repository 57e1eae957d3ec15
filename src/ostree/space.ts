/** How much room there is: on a file system, and for ostree, which always leaves a part of it free. */
import { statfs } from 'node:fs/promises'
import type { Engine } from './engine.ts'
import { readConfig } from './storage.ts'

const MEBIBYTE = 1024 * 1024

/** Bytes that can be written to the file system of `path`. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

/**
 * Bytes that ostree leaves free: 3 % of the file system unless the repo's config says otherwise; a size wins over a
 * percentage (ostree.repo-config(5)). An import that would go below fails.
 */
export async function reservedBytes(repo: string): Promise<number> {
  const core = (await readConfig(repo)).get('core') ?? new Map<string, string>()
  const size = /^(\d+)([MGT])B$/.exec(core.get('min-free-space-size') ?? '')
  if (size && Number(size[1]) > 0) return Number(size[1]) * MEBIBYTE * 1024 ** 'MGT'.indexOf(size[2] ?? '')
  const percent = Number(core.get('min-free-space-percent') ?? (core.has('min-free-space-size') ? 0 : 3))
  const { blocks, bsize } = await statfs(repo)
  return Math.floor(blocks * bsize * (percent / 100))
}

/** Bytes that an import or a deployment may take on the sysroot before ostree refuses. */
export async function spaceFor(engine: Engine): Promise<number> {
  return Math.max(0, (await freeBytes(engine.repo)) - (await reservedBytes(engine.repo)))
}
