/**
 * A tree as its device will see it, whether it is a folder still or a commit already: /etc is the release's default, links are
 * followed in the tree, and what will be the device's own is known not to be known.
 */
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, Failure } from '../../base/failure.ts'
import { type Commit, fileOf, folderOf, treeOf } from '../../ostree/contents.ts'

export interface Found {
  kind: 'file' | 'folder' | 'other'
  /** permission bits */
  mode: number
  /** bytes */
  size: number
  /** a file's content up to so many bytes */
  read(most: number): Promise<Buffer>
}

export interface View {
  /** What is at a path of the device; undefined: nothing; `elsewhere`: that depends on the device. */
  find(path: string): Promise<Found | 'elsewhere' | undefined>
  /** Names in a folder, in order; none where there is no such folder. */
  list(path: string): Promise<string[]>
}

/** One name of the tree, no link followed; the path is from its top. */
type Entry = (Found & { target?: undefined }) | { kind: 'link'; target: string }
interface Source {
  entry(path: string): Promise<Entry | undefined>
  names(path: string): Promise<string[]>
}

/** As many links as the kernel follows. */
const LINKS = 40
/** At the top: made by each device for itself. */
const ELSEWHERE = /^(var|home|srv|mnt|media|root|run|tmp|proc|sys|dev|sysroot|boot|efi|ostree)$/
/** Where `sysroot` has programs of /opt, which a device finds through a link in /var. */
const OPT = 'usr/lib/opt'

/** The tree in a folder. */
export const folderView = (tree: string): View =>
  view({
    async entry(path) {
      const at = join(tree, path)
      const stats = await lstat(at).catch(absent)
      if (!stats) return undefined
      if (stats.isSymbolicLink()) return { kind: 'link', target: await readlink(at) }
      return {
        kind: stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'other',
        mode: stats.mode & 0o7777,
        size: stats.size,
        read: most => start(at, most),
      }
    },
    names: async path => (await readdir(join(tree, path)).catch(absent)) ?? [],
  })

function absent(error: unknown): undefined {
  if (errno(error) !== 'ENOENT' && errno(error) !== 'ENOTDIR') throw error
}

async function start(path: string, most: number): Promise<Buffer> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, most)))
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** The tree of a commit in an archive repo. */
export function commitView(repo: string, commit: Commit): View {
  const trees = new Map<string, ReturnType<typeof treeOf>>()
  const tree = (checksum: string) => {
    const known = trees.get(checksum) ?? treeOf(repo, checksum)
    trees.set(checksum, known)
    return known
  }
  const folder = async (path: string) => {
    let at: Commit['root'] | undefined = commit.root
    for (const name of path.split('/').filter(Boolean))
      at = at && (await tree(at.tree)).folders.find(([one]) => one === name)?.[1]
    return at
  }
  return view({
    async entry(path) {
      const below = await folder(path)
      if (below)
        return { kind: 'folder', mode: (await folderOf(repo, below.meta)).mode & 0o7777, size: 0, read: noBytes }
      const parts = path.split('/').filter(Boolean)
      const above = await folder(parts.slice(0, -1).join('/'))
      const content = above && (await tree(above.tree)).files.find(([name]) => name === parts.at(-1))?.[1]
      if (content === undefined) return undefined
      const { mode, target, size, read } = await fileOf(repo, content)
      return target === '' ? { kind: 'file', mode: mode & 0o7777, size, read } : { kind: 'link', target }
    },
    async names(path) {
      const at = await folder(path)
      if (!at) return []
      const { files, folders } = await tree(at.tree)
      return [...files, ...folders].map(([name]) => name)
    },
  })
}

const noBytes = async () => Buffer.alloc(0)

function view(source: Source): View {
  /** Where a path of the device is in the tree, all links followed. */
  async function resolve(path: string): Promise<string | 'elsewhere'> {
    const left = path.split('/').filter(Boolean)
    const done: string[] = []
    for (let links = 0; left.length > 0; ) {
      const name = left.shift() as string
      if (name === '.') continue
      if (name === '..') {
        done.pop()
        continue
      }
      const top = done.length === 0
      const inOpt = top && (name === 'opt' || (name === 'var' && left[0] === 'opt'))
      if (inOpt && (await source.entry('opt'))?.kind !== 'folder' && (await source.entry(OPT))) {
        left.splice(0, name === 'opt' ? 0 : 1)
        done.push(...OPT.split('/'))
        continue
      }
      if (top && ELSEWHERE.test(name)) return 'elsewhere'
      if (top && name === 'etc' && !(await source.entry('etc'))) done.push('usr')
      done.push(name)
      const entry = await source.entry(done.join('/'))
      if (entry?.kind !== 'link') continue
      if (++links > LINKS) throw new Failure('bad-tree', `cannot use ${path} of the tree: its links lead in a circle`)
      done.pop()
      if (entry.target.startsWith('/')) done.length = 0
      left.unshift(...entry.target.split('/').filter(Boolean))
    }
    return `/${done.join('/')}`
  }
  return {
    async find(path) {
      const at = await resolve(path)
      if (at === 'elsewhere') return at
      const entry = await source.entry(at)
      return entry?.kind === 'link' ? undefined : entry
    },
    async list(path) {
      const at = await resolve(path)
      return at === 'elsewhere' ? [] : (await source.names(at)).sort()
    },
  }
}
