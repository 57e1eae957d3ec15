/** What is mounted, from the kernel itself: /proc/self/mountinfo (proc_pid_mountinfo(5)). */
import { readFile, realpath } from 'node:fs/promises'
import { nameOf } from '../base/names.ts'

export interface Mount {
  /** the kernel's number for this mount; a later mount may get the number of one that is gone */
  id: number
  /** the mount that this one lies on */
  parent: number
  /** device number and folder of the filesystem that is seen at `path` */
  origin: string
  path: string
  filesystem: string
  /** what is mounted: a device node, or a name */
  source: string
}

/** Spaces, tabs, line ends and backslashes stand as octal escapes in mountinfo. */
const decoded = (field: string) =>
  field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))

/** @param text bytes as latin1: a path need not be UTF-8 */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    const dash = fields.indexOf('-', 6)
    const [id, parent, device, root, path] = fields
    const filesystem = fields[dash + 1]
    if (dash < 0 || !id || !path || filesystem === undefined) continue
    mounts.push({
      id: Number(id),
      parent: Number(parent),
      origin: `${device} ${root}`,
      path: named(decoded(path)),
      filesystem,
      source: named(decoded(fields[dash + 2] ?? '')),
    })
  }
  return mounts
}

const named = (latin1: string) => nameOf(Buffer.from(latin1, 'latin1'))

/** Is `path` somewhere below the folder `root`? */
export const isBelow = (path: string, root: string) =>
  path.length > root.length && path.startsWith(root === '/' ? '/' : `${root}/`)

/**
 * The mounts that a path leads to. One is covered by a later one on its own folder, and by one on a folder above that
 * lies on the same mount: what is below is then out of reach.
 */
export function visible(mounts: readonly Mount[]): Mount[] {
  const byId = new Map(mounts.map(mount => [mount.id, mount]))
  const siblings = new Map<number, Mount[]>()
  for (const mount of mounts) siblings.set(mount.parent, [...(siblings.get(mount.parent) ?? []), mount])
  const known = new Map<number, boolean>()
  const isVisible = (mount: Mount): boolean => {
    const before = known.get(mount.id)
    if (before !== undefined) return before
    known.set(mount.id, true) // also ends a circle, which the kernel does not make
    const isCovered =
      (siblings.get(mount.id) ?? []).some(above => above !== mount && above.path === mount.path) ||
      (siblings.get(mount.parent) ?? []).some(beside => isBelow(mount.path, beside.path))
    const below = byId.get(mount.parent)
    const is = !isCovered && (below === undefined || below === mount || isVisible(below) || below.path === mount.path)
    known.set(mount.id, is)
    return is
  }
  return mounts.filter(isVisible)
}

/** @param roots where they are links (`/media` is one on OSTree systems) those are followed. @returns the mounts at or below them */
export async function mountsBelow(roots: readonly string[]): Promise<Mount[]> {
  const real = await Promise.all(roots.map(root => realpath(root).catch(() => root)))
  const text = (await readFile('/proc/self/mountinfo')).toString('latin1')
  return visible(parseMountinfo(text)).filter(({ path }) => real.some(root => path === root || isBelow(path, root)))
}
