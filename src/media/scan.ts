/** One look at what package files a medium has: folder by folder from the top, bounded, following no links. */
import { lstat, opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * How far down and how many: a stick is a place to put packages on, not a tree to search. Media with more entries than
 * `watched` are not watched file by file.
 */
export const BOUNDS = { depth: 2, files: 300, entries: 100_000, watched: 2000 } as const

export interface Found {
  path: string
  /** bytes and modification time, to notice that a file was replaced or is still growing */
  size: number
  changed: number
}

/** Package files, and what macOS leaves beside them (told apart later); everything else is not looked at. */
export const isCandidate = (name: string) => name.endsWith('.superblock') || name === 'superblock'

export interface Scan {
  /** how many names were seen */
  entries: number
  /** the bounds cut it short */
  beyond: boolean
}

/**
 * Only names are read, but of candidates and folders: 20,000 pictures cost no look at each.
 * @param onError a folder could not be read; the others still are
 */
export async function scan(
  root: string,
  on: { found: (file: Found) => void; error: (error: Error) => void },
): Promise<Scan> {
  const seen: Scan & { files: number } = { entries: 0, files: 0, beyond: false }
  const folders = [{ path: root, depth: 0 }]
  try {
    const { dev } = await stat(root)
    for (const { path, depth } of folders) {
      // What is mounted on a folder of this medium is a medium of its own.
      if (depth > 0 && (await lstat(path)).dev !== dev) continue
      try {
        for await (const entry of await opendir(path, { bufferSize: 256 })) {
          if (seen.entries++ >= BOUNDS.entries || seen.files >= BOUNDS.files) return { ...seen, beyond: true }
          const inner = join(path, entry.name)
          if (entry.isDirectory() && depth < BOUNDS.depth) folders.push({ path: inner, depth: depth + 1 })
          if (!entry.isFile() || !isCandidate(entry.name)) continue
          const { size, mtimeMs } = await lstat(inner)
          seen.files++
          on.found({ path: inner, size, changed: mtimeMs })
        }
      } catch (error) {
        on.error(error as Error)
      }
    }
  } catch (error) {
    on.error(error as Error)
  }
  return seen
}
