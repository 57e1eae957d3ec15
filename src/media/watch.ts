/** One medium as it is and as it changes: a look at all of it, and another one whenever something moved in its folders. */
import { type FSWatcher, watch as watchFolder } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { bytesOf, nameOf } from '../base/names.ts'
import { BOUNDS, type Found, type Look, scan } from './scan.ts'

export interface MediumWatch {
  /** milliseconds that a look has been waiting for the medium; 0 while none is under way */
  waiting(): number
  close(): void
}

export interface MediumEvents {
  /** a package file is there, or is another than before */
  found(file: Found): void
  /** it is no longer there */
  gone(path: string): void
  /** a look is complete */
  looked(look: Look): void
  /** the filesystem itself is gone from under the folder */
  unmounted?(): void
}

/** Milliseconds from a change to the look that follows it, and at least from one look to the next: files grow while they are copied. */
const SOON = 50
const PAUSE = 500
/** A look at a large medium takes long: so many times as long nothing is done. */
const REST = 10
/** Milliseconds between looks where the kernel tells of no changes: it has no watches left. */
const POLL = 5000
/** Folders whose changes are followed; the kernel's watches are few, and everybody's. */
const FOLLOWED = 300

/** Watch one medium from its root. */
export function watchMedium(root: string, on: MediumEvents): MediumWatch {
  /** the sign of each package, by path */
  const known = new Map<string, string>()
  const followed = new Map<string, { inode: number | undefined; watcher: FSWatcher }>()
  /** the kernel's number of the watch on the root, where somebody wants to know when that ends */
  let mark: number | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let isLooking = false
  let isStale = false
  /** milliseconds of performance.now(): when the medium last answered, when a look began and when it ended */
  const at = { step: 0, begun: 0, ended: Number.NEGATIVE_INFINITY }

  function follow(path: string, inode?: number): void {
    const before = followed.get(path)
    if (before && (before.inode ?? inode) !== inode) unfollow(path)
    else if (before) before.inode = inode
    if (closed || followed.has(path) || followed.size >= FOLLOWED) return
    try {
      const watcher = watchFolder(bytesOf(path), { encoding: 'buffer' })
      watcher.on('error', () => {}) // what cannot be followed is seen by the next look
      watcher.on('change', (_, name) => {
        if (path === root) void isMounted(nameOf(Buffer.from(name ?? '')))
        lookSoon()
      })
      followed.set(path, { inode, watcher })
    } catch {} // likewise
  }

  function unfollow(path: string): void {
    followed.get(path)?.watcher.close()
    followed.delete(path)
  }

  /** Of changes that come one after the other, as in a copy under way, each look sees many. */
  function lookSoon(): void {
    isStale = true
    if (closed || isLooking || timer !== undefined) return
    const rest = at.ended + Math.max(PAUSE, REST * (at.ended - at.begun)) - performance.now()
    timer = setTimeout(() => void lookOver(), Math.max(SOON, rest))
  }

  async function lookOver(): Promise<void> {
    timer = undefined
    isStale = false
    isLooking = true
    at.begun = at.step = performance.now()
    const here = new Set<string>()
    const folders = new Set([root])
    const look = await scan(root, {
      folder(path, inode) {
        folders.add(path)
        follow(path, inode)
      },
      found(file) {
        here.add(file.path)
        if (closed || known.get(file.path) === file.sign) return
        known.set(file.path, file.sign)
        on.found(file)
      },
      step() {
        at.step = performance.now()
      },
    })
    isLooking = false
    at.ended = performance.now()
    if (closed) return
    // What the bounds cut off may still be there.
    if (!look.beyond || known.size > BOUNDS.files) {
      for (const path of known.keys()) if (!here.has(path) && known.delete(path)) on.gone(path)
      for (const path of followed.keys()) if (!folders.has(path)) unfollow(path)
    }
    // A folder that is made anew is another one.
    if (look.unreadable?.path === root) unfollow(root)
    on.looked(look)
    if (isStale) lookSoon()
    else if (!followed.has(root)) timer = setTimeout(() => void lookOver(), POLL)
  }

  /** @param name of what changed in the root; its own where that itself did */
  async function isMounted(name: string): Promise<void> {
    if (mark !== undefined && name === basename(root) && !(await watches()).includes(mark)) on.unmounted?.()
  }

  async function begin(): Promise<void> {
    follow(root)
    if (on.unmounted && followed.has(root)) mark = Math.max(...(await watches()))
    await lookOver()
  }

  void begin()
  return {
    waiting: () => (isLooking ? performance.now() - at.step : 0),
    close() {
      closed = true
      clearTimeout(timer)
      for (const path of [...followed.keys()]) unfollow(path)
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
