/** What is mounted, from the kernel itself: /proc/self/mountinfo (proc_pid_mountinfo(5)). */
import { readFile } from 'node:fs/promises'

export interface Mount {
  /** the kernel's number for this mount: a new stick on the same folder has another */
  id: number
  path: string
  filesystem: string
  /** what is mounted: a device node, or a name */
  source: string
}

/** Spaces, tabs, line ends and backslashes stand as octal escapes in mountinfo. */
const decoded = (field: string) =>
  field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))

/** @param text bytes as latin1, so that a path in another encoding survives to be compared */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    const dash = fields.indexOf('-', 6)
    const [id, , , , path] = fields
    const filesystem = fields[dash + 1]
    if (dash < 0 || !id || !path || filesystem === undefined) continue
    mounts.push({
      id: Number(id),
      path: utf8(decoded(path)),
      filesystem,
      source: utf8(decoded(fields[dash + 2] ?? '')),
    })
  }
  return mounts
}

const utf8 = (latin1: string) => Buffer.from(latin1, 'latin1').toString('utf8')

/** The mounts at or below the given folders; of several on one folder the topmost, which is the one that can be seen. */
export async function mountsBelow(roots: readonly string[]): Promise<Mount[]> {
  const text = (await readFile('/proc/self/mountinfo')).toString('latin1')
  const visible = new Map<string, Mount>()
  for (const mount of parseMountinfo(text))
    if (roots.some(root => mount.path === root || mount.path.startsWith(`${root}/`))) visible.set(mount.path, mount)
  return [...visible.values()]
}
