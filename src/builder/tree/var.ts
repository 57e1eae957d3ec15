/**
 * What a sysroot has in /var and in the folders that become links into it. A device's /var begins empty and is never
 * updated, so each start makes what is missing there: folders by tmpfiles.d(5), files from /usr/share/factory.
 */
import type { Stats } from 'node:fs'
import { readFile, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { isThere, listIfThere } from '../../base/files.ts'
import { safe } from '../../base/text.ts'
import { getAttributes } from '../../ostree/attributes.ts'
import { find, inside, makeFolder, newPath, walk } from './inside.ts'

const FACTORY = 'usr/share/factory'
const TMPFILES = 'usr/lib/tmpfiles.d'

/** Databases of packages say what the read-only tree holds, so they stay with it. */
const DATABASES: Record<string, string> = {
  'lib/dpkg': 'usr/lib/sysimage/dpkg',
  'lib/rpm': 'usr/lib/sysimage/rpm',
  'lib/opkg': 'usr/lib/sysimage/opkg',
  'lib/pacman': 'usr/lib/sysimage/pacman',
}

/** Below these the folders are kept, but not the files: what is made again, or belongs to the computer that built it. */
const LEAVINGS = /^(cache|log|tmp|backups|lock|run|lib\/(apt\/lists|dhcp.*))(\/|$)/
/** Of no use on a device at all. */
const USELESS = /^lib\/(dracut|systemd\/random-seed|systemd\/deb-systemd-[^/]*|dbus\/machine-id)(\/|$)/

/** In the tree → in /var. What people put there is theirs, so a release has no files in it. */
const PEOPLES: [string, string][] = [
  ['home', 'home'],
  ['mnt', 'mnt'],
]
/** Files that a release brings are given to each device once. */
const GIVEN: [string, string][] = [
  ['root', 'roothome'],
  ['srv', 'srv'],
]

/** What does not come to a device, though it was in /var. */
export interface Lost {
  /** pipes, sockets and devices */
  nodes: string[]
  /** files whose capabilities systemd-tmpfiles does not copy */
  capable: string[]
}

/**
 * Empty /var and those folders, which are gone afterwards, and write what brings their contents back on a device.
 * @returns paths of what does not come back as it was
 * @throws Failure `files-in-home` with a list
 */
export async function emptyVar(tree: string): Promise<Lost> {
  await refusePeoples(tree)
  const lost: Lost = { nodes: [], capable: [] }
  const known = await knownToOthers(tree)
  const lines: string[] = []
  const add = (line: string, path: string) => {
    if (!known.has(path)) lines.push(line)
  }
  await takeDatabases(tree, lines)
  await takeOpt(tree, lines)
  for (const [from, to] of [['var', ''], ...PEOPLES, ...GIVEN] as [string, string][])
    await takeFolder(tree, from, join('/var', to), add, lost)
  await emptyLocal(tree, lines)
  const file = await newPath(tree, join(TMPFILES, 'superblock-var.conf'))
  await writeFile(file, `# What this release expects in /var; made when it was built.\n${lines.join('\n')}\n`)
  return lost
}

async function refusePeoples(tree: string): Promise<void> {
  const found: string[] = []
  for (const name of [...PEOPLES.map(([from]) => from), 'media']) {
    const folder = await ownFolder(tree, name)
    if (folder === undefined) continue
    for await (const { path, stats } of walk(folder)) if (!stats.isDirectory()) found.push(`/${name}/${path}`)
  }
  if (found.length === 0) return
  const list = found.slice(0, 10).map(path => safe(path))
  if (found.length > list.length) list.push(`and ${found.length - list.length} more`)
  throw new Failure(
    'files-in-home',
    `cannot use the sysroot: what is in /home, /mnt and /media belongs to a device's people, and updates never reach it: ${list.join(', ')}; move it below /usr, or remove it`,
  )
}

/** A folder at the top that is no link yet. */
async function ownFolder(tree: string, name: string): Promise<string | undefined> {
  const at = await inside(tree, name)
  return (await isThere(at)) && (await find(tree, name))?.path === at ? at : undefined
}

async function takeDatabases(tree: string, lines: string[]): Promise<void> {
  for (const [from, to] of Object.entries(DATABASES)) {
    const at = await find(tree, join('var', from))
    if (!at?.stats.isDirectory()) continue
    await makeFolder(tree, dirname(to))
    const target = await inside(tree, to)
    // Some distributions have moved theirs already, and /var has a link to it.
    if (at.path !== target) await rename(at.path, target)
    lines.push(`L+ /var/${from} - - - - ../../${to}`)
  }
}

/** Programs in /opt are the release's: they go where they are read-only and updated with it. */
async function takeOpt(tree: string, lines: string[]): Promise<void> {
  const opt = await ownFolder(tree, 'opt')
  if (opt === undefined) return
  for (const name of await listIfThere(opt)) {
    await makeFolder(tree, 'usr/lib/opt')
    await rename(join(opt, name), await inside(tree, join('usr/lib/opt', name)))
    lines.push(`L+ /var/opt/${escaped(name)} - - - - ../../usr/lib/opt/${plain(name)}`)
  }
  await rm(opt, { recursive: true })
}

/** /usr/local stays with the release when there is something in it, else it is the device's. */
async function emptyLocal(tree: string, lines: string[]): Promise<void> {
  const local = await ownFolder(tree, 'usr/local')
  if (local === undefined) return
  const made: string[] = []
  for await (const { path, stats } of walk(local)) {
    if (stats.isFile()) return
    if (stats.isDirectory()) made.push(folderLine(`/var/usrlocal/${path}`, stats))
    else made.push(`L /var/usrlocal/${escaped(path)} - - - - ${plain(await readlink(join(local, path)))}`)
  }
  await rm(local, { recursive: true })
  lines.push('d /var/usrlocal 0755 root root -', ...made)
}

/** Move the files of `from` to the factory, with a line for everything that is to be at `to`. */
async function takeFolder(
  tree: string,
  from: string,
  to: string,
  add: (line: string, path: string) => void,
  lost: Lost,
): Promise<void> {
  const folder = await ownFolder(tree, from)
  if (folder === undefined) return
  for await (const { path, stats } of walk(folder)) {
    const target = join(to, path)
    if (from === 'var' && USELESS.test(path)) continue
    if (stats.isDirectory()) {
      // A program expects its folder of a cache, not what it had made in there.
      if (from !== 'var' || !/^cache\/[^/]+\//.test(path)) add(folderLine(target, stats), target)
      continue
    }
    const leaving = from === 'var' && LEAVINGS.test(path)
    if (stats.isSymbolicLink()) {
      if (!leaving || !path.includes('/'))
        add(`L ${escaped(target)} - - - - ${plain(await readlink(join(folder, path)))}`, target)
    } else if (!stats.isFile()) {
      if (!leaving) lost.nodes.push(`/${from}/${path}`)
    } else if (!leaving) {
      if (await isCapable(join(folder, path))) lost.capable.push(`/${from}/${path}`)
      const kept = await inside(tree, join(FACTORY, target))
      await makeFolder(tree, join(FACTORY, dirname(target)))
      await rename(join(folder, path), kept)
      const { uid, gid } = stats
      add(`C ${escaped(target)} ${mode(stats)} ${uid} ${gid} -`, target)
    }
  }
  await rm(folder, { recursive: true })
}

/** A file system without extended attributes has no capabilities either. */
const isCapable = async (path: string) =>
  (await getAttributes(path).catch(() => [])).some(([name]) => name.toString('latin1') === 'security.capability\0')

const mode = (stats: Stats) => (stats.mode & 0o7777).toString(8).padStart(4, '0')
const folderLine = (path: string, stats: Stats) => `d ${escaped(path)} ${mode(stats)} ${stats.uid} ${stats.gid} -`

/** The last field goes to the end of the line as it is. @throws Failure `bad-sysroot` for what no line can hold */
function plain(text: string): string {
  if (/[\n\r]/.test(text))
    throw new Failure(
      'bad-sysroot',
      `cannot use the sysroot: tmpfiles.d(5) has no way to write ${safe(text)}, which is needed to bring it to /var; rename it`,
    )
  return text.replaceAll('%', '%%')
}

/** As tmpfiles.d(5) reads a path: in quotes, where it would end too early without; a percent sign begins a specifier. */
function escaped(path: string): string {
  const text = plain(path)
  return /[\s"'\\]/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : text
}

/** Paths that the sysroot's own tmpfiles take care of: a second line for one is a warning at each start. */
async function knownToOthers(tree: string): Promise<Set<string>> {
  const known = new Set<string>()
  const folder = await inside(tree, TMPFILES, true)
  for (const name of await listIfThere(folder)) {
    if (!name.endsWith('.conf')) continue
    const file = await find(tree, join(TMPFILES, name))
    if (!file?.stats.isFile()) continue
    for (const line of (await readFile(file.path, 'utf8')).split('\n')) {
      const [type = '', path = ''] = line.trim().split(/\s+/)
      if (/^[dDvqQLC]/.test(type) && !type.includes('!')) known.add(path.replace(/\/$/, ''))
    }
  }
  return known
}
