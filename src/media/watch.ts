/** Package files on one medium, as they come and go: a first look, then one chokidar watcher a mount, bounded, following no links. */
import { type FSWatcher as TopWatcher, watch as watchFolder } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { basename, relative, sep } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import { BOUNDS, type Found, isCandidate, scan } from './scan.ts'

export interface MediumWatch {
  close(): Promise<void>
}

export interface MediumEvents {
  /** a package file is there, or is another than before */
  found(file: Found): void
  /** it is no longer there */
  gone(path: string): void
  /** a look is complete; `beyond` says that the bounds cut it short */
  ready(beyond: boolean): void
  /** something on the medium does not let itself be read */
  error(error: Error): void
  /** the filesystem itself is gone from under the folder */
  unmounted?(): void
}

/**
 * Milliseconds of quiet before a file that changed, or a medium that is too large for a watcher, is looked at once more:
 * of changes in quick succession chokidar tells the first.
 */
const QUIET = 500

/** Watch one medium from its root. */
export function watchMedium(root: string, on: MediumEvents): MediumWatch {
  const known = new Map<string, string>()
  let beyond = false
  let closed = false
  let watcher: FSWatcher | undefined
  let top: TopWatcher | undefined
  let later: NodeJS.Timeout | undefined
  const settling = new Map<string, NodeJS.Timeout>()

  function found(file: Found): void {
    const sign = `${file.size} ${file.changed}`
    if (closed || known.get(file.path) === sign) return
    if (!known.has(file.path) && known.size >= BOUNDS.files) {
      beyond = true
      return
    }
    known.set(file.path, sign)
    on.found(file)
    if (watcher) settle(file.path)
  }

  /** Look again until the file stays as it is. */
  function settle(path: string): void {
    clearTimeout(settling.get(path))
    const timer = setTimeout(async () => {
      settling.delete(path)
      const status = await lstat(path).catch(() => undefined)
      if (status?.isFile() && known.has(path)) found({ path, size: status.size, changed: status.mtimeMs })
    }, QUIET)
    settling.set(path, timer)
  }

  function gone(path: string): void {
    if (!closed && known.delete(path)) on.gone(path)
  }

  /** Look at everything; what was known and is there no more has gone. @returns how many entries there are */
  async function lookOver(): Promise<number> {
    const here = new Set<string>()
    const seen = await scan(root, {
      found(file) {
        here.add(file.path)
        found(file)
      },
      error: error => !closed && on.error(error),
    })
    beyond = seen.beyond
    if (!beyond) for (const path of known.keys()) if (!here.has(path)) gone(path)
    if (!closed) on.ready(beyond)
    return seen.entries
  }

  async function begin(): Promise<void> {
    try {
      top = watchFolder(root)
      top.on('error', on.error)
      const number = on.unmounted && (await newestWatch())
      top.on('change', async (_, name) => {
        if (number !== undefined && name === basename(root) && !(await hasWatch(number))) on.unmounted?.()
      })
    } catch (error) {
      on.error(error as Error)
    }
    const entries = await lookOver()
    if (closed) return
    if (entries > BOUNDS.watched)
      top?.on('change', () => {
        clearTimeout(later)
        later = setTimeout(() => void lookOver(), QUIET)
      })
    else watcher = follow()
  }

  function follow(): FSWatcher {
    const listed = new Set<string>()
    const report = (path: string, stats?: { size: number; mtimeMs: number }) => {
      listed.add(path)
      if (stats) found({ path, size: stats.size, changed: stats.mtimeMs })
    }
    return watch(root, {
      followSymlinks: false,
      depth: BOUNDS.depth,
      alwaysStat: true,
      ignorePermissionErrors: true,
      // Called for every entry, first without its stat: a name that cannot be a package is let go of once it is known
      // to be no folder, so that holiday pictures cost no watch each.
      ignored: (path, stats) => {
        if (path === root || stats === undefined) return false
        if (stats.isDirectory()) return relative(root, path).split(sep).length > BOUNDS.depth
        return !(stats.isFile() && isCandidate(basename(path)))
      },
    })
      .on('add', report)
      .on('change', report)
      .on('unlink', gone)
      .on('ready', () => {
        // What went between the first look and this one.
        if (!beyond) for (const path of known.keys()) if (!listed.has(path)) gone(path)
      })
      .on('error', error => on.error(error instanceof Error ? error : new Error(String(error))))
  }

  void begin()
  return {
    async close() {
      closed = true
      for (const timer of [later, ...settling.values()]) clearTimeout(timer)
      top?.close()
      await watcher?.close()
    },
  }
}

/** The numbers of this process's inotify watches (proc_pid_fdinfo(5)); the kernel takes them away with a filesystem. */
async function watches(): Promise<number[]> {
  for (const name of await readdir('/proc/self/fd')) {
    if ((await readlink(`/proc/self/fd/${name}`).catch(() => '')) !== 'anon_inode:inotify') continue
    const text = await readFile(`/proc/self/fdinfo/${name}`, 'utf8')
    return [...text.matchAll(/^inotify wd:([0-9a-f]+) /gm)].map(found => Number.parseInt(found[1] ?? '', 16))
  }
  return []
}

const newestWatch = async () => Math.max(...(await watches()))
const hasWatch = async (number: number) => (await watches()).includes(number)
