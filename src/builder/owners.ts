/** Whose the files of a release are: those that the tree has where root commits it, root's where an ordinary user does. */
import { Failure } from '../base/failure.ts'
import { run } from '../base/run.ts'
import { safe } from '../base/text.ts'
import type { Tree } from '../ostree/commit.ts'
import { walk } from './tree/inside.ts'

export interface OwnerOptions {
  /** everything belongs to root, without setuid bits and extended attributes */
  canonicalPermissions?: boolean
  /** owners, modes and attributes as the tree has them, whoever commits it */
  keepOwners?: boolean
}

/**
 * Whether owners and modes are made root's: an ordinary user's tree has his own, which no device knows.
 * @throws Failure `usage`
 */
export function isCanonical({ canonicalPermissions, keepOwners }: OwnerOptions): boolean {
  if (canonicalPermissions && keepOwners)
    throw new Failure('usage', 'cannot tell what to do: give either --canonical-permissions or --keep-owners')
  return canonicalPermissions ?? !(keepOwners || process.getuid?.() === 0)
}

interface Entry {
  path: string
  mode: number
  uid: number
  gid: number
}

/** Entries that are named, the others are counted. */
const NAMED = 5

/**
 * A sentence about what becomes of the tree of an ordinary user, with what it had that gets lost.
 * @param from the repository of a tree that is a commit
 */
export async function sayOwners(tree: Tree, from: string | undefined): Promise<string> {
  const own = { users: [0, process.getuid?.()], groups: [0, process.getgid?.(), ...(process.getgroups?.() ?? [])] }
  const lost: string[] = []
  let more = 0
  await eachEntry(tree, from, ({ path, mode, uid, gid }) => {
    const foreign = !own.users.includes(uid) || !own.groups.includes(gid)
    if (!foreign && (mode & 0o7000) === 0) return
    const what = `${safe(path)} (${[...(foreign ? [`${uid}:${gid}`] : []), mode.toString(8).padStart(4, '0')].join(', ')})`
    if (lost.length < NAMED) lost.push(what)
    else more++
  })
  const said =
    'You are not root: everything in this release belongs to root, without setuid bits and extended attributes.'
  if (lost.length === 0) return said
  const list = [...lost, ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
  const next = 'dir' in tree ? 'commit it as root' : 'commit it as root or with --keep-owners'
  return `${said}\nIt was otherwise for ${list}; to keep that, ${next}.`
}

async function eachEntry(tree: Tree, from: string | undefined, look: (entry: Entry) => void): Promise<void> {
  if ('dir' in tree) {
    for await (const { path, stats } of walk(tree.dir))
      if (!stats.isSymbolicLink()) look({ path: `/${path}`, mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid })
    return
  }
  const argv =
    'tar' in tree
      ? ['tar', '--list', '--verbose', '--numeric-owner', '--quoting-style=escape', `--file=${tree.tar}`]
      : ['ostree', 'ls', `--repo=${from}`, '-R', tree.commit]
  const read = 'tar' in tree ? tarLine : repoLine
  const onLine = (line: string) => {
    const entry = read(line)
    if (entry) look(entry)
  }
  await run(argv, { last: 4096, onLine })
}

/** `-rwsr-xr-x 0/33   12 2001-09-09 01:46 ./usr/bin/su`, as GNU tar lists a file. */
function tarLine(line: string): Entry | undefined {
  const [, kind, letters = '', uid, gid, path = ''] =
    /^([-dh])([-rwxsStT]{9})\S* (\d+)\/(\d+) +\d+ \S+ \S+ \.?\/?(.*)$/.exec(line) ?? []
  if (kind === undefined) return undefined
  return { path: `/${path.replace(/ link to .*$/, '')}`, mode: modeOf(letters), uid: Number(uid), gid: Number(gid) }
}

/** The letters of ls(1): the third of each three says both whether it is executable and whether it has the special bit. */
function modeOf(letters: string): number {
  let mode = 0
  for (const [at, letter] of [...letters].entries()) {
    if (/[rwxst]/.test(letter)) mode |= 0o400 >> at
    if (/[sStT]/.test(letter)) mode |= [0o4000, 0o2000, 0o1000][(at - 2) / 3] ?? 0
  }
  return mode
}

/** `-04755 0 33     12 /usr/bin/su`, as `ostree ls` lists a file. */
function repoLine(line: string): Entry | undefined {
  const [, mode = '', uid, gid, path = ''] = /^[-d](\d+) +(\d+) +(\d+) +\d+ (\/.*)$/.exec(line) ?? []
  return path === '' ? undefined : { path, mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) }
}
