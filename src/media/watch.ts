/** Package files on one medium, as they come and go: one chokidar watcher a mount, bounded, following no links. */
import { basename, relative, sep } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'

/** How far down and how many: a stick is a place to put packages on, not a tree to search. */
export const BOUNDS = { depth: 2, files: 300, entries: 20_000 } as const

export interface Found {
  path: string
  /** bytes and modification time, to notice that a file was replaced or is still growing */
  size: number
  changed: number
}

export interface MediumWatch {
  close(): Promise<void>
}

/** Package files, and what macOS leaves beside them (told apart later); everything else is not looked at. */
export const isCandidate = (name: string) => name.endsWith('.superblock') || name === 'superblock'

/**
 * Watch one medium from its root.
 * @param onFound a package file is there, or is another than before
 * @param onGone it is no longer there
 * @param onReady the first look is complete; `beyond` says that the bounds cut it short
 * @param onError the medium does not let itself be read
 */
export function watchMedium(
  root: string,
  on: {
    found: (file: Found) => void
    gone: (path: string) => void
    ready: (beyond: boolean) => void
    error: (error: Error) => void
  },
): MediumWatch {
  const known = new Set<string>()
  let seen = 0
  let beyond = false
  const watcher: FSWatcher = watch(root, {
    followSymlinks: false,
    depth: BOUNDS.depth,
    alwaysStat: true,
    ignorePermissionErrors: true,
    // Called for every entry, first without its stat: a name that cannot be a package is let go of once it is known
    // to be no folder, so that 20,000 holiday pictures cost no watch each.
    ignored: (path, stats) => {
      if (path === root) return false
      if (stats === undefined) {
        seen++
        if (seen > BOUNDS.entries * 2) beyond = true
        return beyond
      }
      if (stats.isDirectory()) return relative(root, path).split(sep).length > BOUNDS.depth
      return !(stats.isFile() && isCandidate(basename(path)))
    },
  })
  const report = (path: string, stats?: { size: number; mtimeMs: number }) => {
    if (!stats) return
    if (!known.has(path) && known.size >= BOUNDS.files) {
      beyond = true
      return
    }
    known.add(path)
    on.found({ path, size: stats.size, changed: stats.mtimeMs })
  }
  watcher
    .on('add', report)
    .on('change', report)
    .on('unlink', path => {
      if (known.delete(path)) on.gone(path)
    })
    .on('ready', () => on.ready(beyond))
    .on('error', error => on.error(error instanceof Error ? error : new Error(String(error))))
  return { close: () => watcher.close() }
}
