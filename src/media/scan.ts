/** One look at what a medium has: packages, and what is nearly one; folder by folder from the top, bounded, following no links. */
import type { Dirent } from 'node:fs'
import { lstat, opendir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errno } from '../base/failure.ts'
import { bytesOf, nameOf } from '../base/names.ts'
import { reasonOf } from '../base/source.ts'
import { isArchive, isLeftOut, isPackage, type MissCode, nearMiss } from './naming.ts'

/** How far down and how many: a stick is a place to put packages on, not a tree to search. */
export const BOUNDS = {
  depth: 2,
  /** where no package was found, they are still looked for down to here, to be told of */
  missed: 6,
  files: 300,
  entries: 100_000,
  misses: 20,
  /** milliseconds a look may take */
  time: 60_000,
} as const

export interface Found {
  path: string
  /** bytes */
  size: number
  /** is another when the file is: its size and times */
  sign: string
}

export interface Miss {
  path: string
  code: MissCode
}

export interface Look {
  /** how many names were seen, and how many of packages */
  entries: number
  files: number
  /** the bounds cut it short */
  beyond: boolean
  misses: Miss[]
  /** a folder that could not be read, or not all of it; the others were */
  unreadable?: { path: string; why: string }
}

interface On {
  found: (file: Found) => void
  /** a folder in which packages are looked for is about to be read; another one of the same path has another inode */
  folder?: (path: string, inode: number) => void
  /** the medium has answered: nothing hangs */
  step?: () => void
}

/** What an unpacked package has at its top: all of these, and one of those. */
const ALWAYS = ['manifest.json', 'index']
const EITHER = ['signatures', 'objects', 'deltas']

/** Only names are read, but of packages and folders: 20,000 pictures cost no look at each. One that fails hides no other. */
export async function scan(root: string, on: On): Promise<Look> {
  const look: Look = { entries: 0, files: 0, beyond: false, misses: [] }
  const archives: Miss[] = []
  /** names of packages that were looked at: each costs a look, whatever is behind it */
  let named = 0
  const folders = [{ path: root, depth: 0 }]
  const end = performance.now() + BOUNDS.time
  const miss = (path: string, code: MissCode, list = look.misses) =>
    void (list.length < BOUNDS.misses && list.push({ path, code }))

  async function found(path: string): Promise<void> {
    named++
    const status = await lstat(bytesOf(path)).catch(error => errno(error) ?? 'EIO')
    if (status === 'ENOENT') return
    if (typeof status !== 'string' && !status.isFile()) return miss(path, 'not-a-file')
    look.files++
    // One that cannot be looked at is offered all the same: that it cannot be opened becomes its verdict.
    if (typeof status === 'string') on.found({ path, size: 0, sign: '' })
    else on.found({ path, size: status.size, sign: `${status.size} ${status.mtimeMs} ${status.ctimeMs}` })
  }

  /** @returns false when the bounds are reached */
  async function lookInto({ path, depth }: (typeof folders)[0]): Promise<boolean> {
    const below: typeof folders = []
    const marks: string[] = []
    for await (const entry of entriesOf(path)) {
      on.step?.()
      if (look.entries++ >= BOUNDS.entries || named >= BOUNDS.files || performance.now() > end) return false
      const inner = join(path, entry.name)
      if (ALWAYS.includes(entry.name) || EITHER.includes(entry.name)) marks.push(entry.name)
      if (entry.kind === 'folder') {
        if (depth < BOUNDS.missed && !isLeftOut(entry.name)) below.push({ path: inner, depth: depth + 1 })
        continue
      }
      const code = nearMiss(entry.name)
      if (code) miss(inner, code)
      else if (isArchive(entry.name)) miss(inner, 'packed', archives)
      else if (!isPackage(entry.name)) continue
      else if (entry.kind === 'other') miss(inner, 'not-a-file')
      else if (depth > BOUNDS.depth) miss(inner, 'too-deep')
      else await found(inner)
    }
    const isUnpacked = ALWAYS.every(name => marks.includes(name)) && EITHER.some(name => marks.includes(name))
    if (isUnpacked) miss(path, 'unpacked')
    else if (depth > 0 && isPackage(basename(path))) miss(path, 'not-a-file')
    if (!isUnpacked) folders.push(...below)
    return true
  }

  let device: number | undefined
  for (const folder of folders) {
    // Deeper down there is nothing to install, only to be told of.
    if (folder.depth > BOUNDS.depth && look.files > 0) break
    try {
      const { dev, ino } = await (folder.depth === 0 ? stat : lstat)(bytesOf(folder.path))
      device ??= dev
      on.step?.()
      // What is mounted on a folder of this medium is a medium of its own.
      if (dev !== device) continue
      if (folder.depth <= BOUNDS.depth) on.folder?.(folder.path, ino)
      look.beyond = !(await lookInto(folder))
      if (look.beyond) break
    } catch (error) {
      look.unreadable ??= { path: folder.path, why: reasonOf(error) }
    }
  }
  if (look.files === 0) for (const { path, code } of archives) miss(path, code)
  return look
}

interface Entry {
  name: string
  kind: 'file' | 'folder' | 'other'
}

const kindOf = (entry: Dirent<Buffer>) => (entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : 'other')

/**
 * What is in a folder. Some file systems (ISO 9660, UDF) do not say what an entry is, so that Node looks at each itself; where
 * that fails, what it had read together with that one is lost, and all is read once more, one at a time.
 */
async function* entriesOf(path: string): AsyncGenerator<Entry> {
  let told = 0
  for (const bufferSize of [256, 1]) {
    let passed = 0
    const folder = (await opendir(bytesOf(path), { encoding: 'buffer' as BufferEncoding, bufferSize })) as unknown as {
      read(): Promise<Dirent<Buffer> | null>
      close(): Promise<void>
    }
    try {
      for (;;) {
        let entry: Entry
        try {
          const next = await folder.read()
          if (!next) return
          entry = { name: nameOf(next.name), kind: kindOf(next) }
        } catch (error) {
          const { syscall, path: of } = error as NodeJS.ErrnoException
          if (syscall !== 'lstat') throw error
          if (bufferSize > 1) break
          entry = { name: basename(of ?? ''), kind: 'file' }
        }
        if (passed++ < told) continue
        told = passed
        yield entry
      }
    } finally {
      await folder.close().catch(() => {})
    }
  }
}
