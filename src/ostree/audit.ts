/** Everything that the device's releases consist of, read and compared with what it must be: what is damaged, and what of it starts. */
import { join } from 'node:path'
import { takeTurn } from '../base/turn.ts'
import { damagedFiles } from './backup.ts'
import { damagedCopies } from './boot-copies.ts'
import { bootFiles } from './boot-files.ts'
import { readCommitObject } from './commit-facts.ts'
import type { Engine } from './engine.ts'
import { readLoader } from './loader.ts'
import { objectPath, plainPath } from './object.ts'
import { contentSize, readHere, readSound, statusOf } from './objects.ts'
import { findJunkRefs } from './refs.ts'
import { forgetSound, isSoundObject } from './sound.ts'
import type { Deployment } from './status.ts'
import { parseTree } from './tree.ts'

/** What is wrong with one thing. */
export interface Damage {
  /** object: of the store · boot: a copy in /boot · entry: of the boot loader · ref: a name for a commit */
  kind: 'object' | 'boot' | 'entry' | 'ref'
  /** of an object its path in an archive, `objects/xx/….filez`; of all else the file's */
  path: string
  /** where it is seen in a release, as far as that is known: `/usr/lib/x` */
  seen: string
  /** versions of the releases that have it */
  releases: string[]
  how: 'missing' | 'damaged'
}

/** Told of the bytes that were read since the last call; may throw to end it. */
export type OnRead = (bytes: number) => void

/** What was found of an object. */
interface Known {
  damage?: Damage
}

/**
 * @param folder of the service's state
 * @param deployments whose releases are looked at
 * @param onRead called often
 */
export async function audit(
  engine: Engine,
  folder: string,
  deployments: readonly Deployment[],
  onRead: OnRead = () => {},
): Promise<Damage[]> {
  forgetSound()
  const known = new Map<string, Known>()
  for (const one of new Map(deployments.map(each => [each.commit, each])).values())
    await auditRelease(engine, one, known, onRead)
  const damages = [...known.values()].flatMap(({ damage }) => damage ?? [])
  const paths = new Set([...(await damagedFiles(engine, folder)).keys(), ...(await readLoader(engine)).damaged])
  for (const path of paths) {
    const how = statusOf(path) === undefined ? 'missing' : 'damaged'
    damages.push({ kind: 'entry', path, seen: '', releases: [], how })
  }
  for (const path of await findJunkRefs(engine.repo))
    damages.push({ kind: 'ref', path, seen: '', releases: [], how: 'damaged' })
  for (const one of deployments) damages.push(...(await auditBoot(engine, one, known, onRead)))
  return damages
}

async function auditRelease(
  engine: Engine,
  { commit, version }: Deployment,
  known: Map<string, Known>,
  onRead: OnRead,
): Promise<void> {
  const look = async (path: string, seen: string): Promise<boolean> => {
    const before = known.get(path)
    if (before) {
      if (before.damage && !before.damage.releases.includes(version)) before.damage.releases.push(version)
      return !before.damage
    }
    const sound = await isSoundObject(engine.repo, path)
    onRead(contentSize(engine.repo, path) ?? 0)
    // A mode of repo whose contents cannot be judged here is ostree's own affair; what is not there at all can be said.
    const isThere = statusOf(join(engine.repo, plainPath(path))) !== undefined
    const how = !isThere ? 'missing' : sound === false ? 'damaged' : undefined
    known.set(path, how ? { damage: { kind: 'object', path, seen, releases: [version], how } } : {})
    return how === undefined
  }
  if (!(await look(objectPath(commit, 'commit'), ''))) return
  const { root } = await readCommitObject(engine.repo, commit)
  const turn = takeTurn()
  /** What was gone into for this release: another one may have other versions to name. */
  const gone = new Set<string>()
  for (let level = [{ ...root, at: '' }]; level.length > 0; ) {
    const next: typeof level = []
    for (const { tree, meta, at } of level) {
      const metaPath = objectPath(meta, 'dirmeta')
      if (!gone.has(metaPath)) {
        gone.add(metaPath)
        await look(metaPath, at || '/')
      }
      const treePath = objectPath(tree, 'dirtree')
      if (gone.has(treePath)) continue
      gone.add(treePath)
      if (!(await look(treePath, at || '/'))) continue
      const bytes = await readSound(engine.repo, treePath)
      if (!bytes) continue
      const { files, folders } = parseTree(bytes)
      for (const { name, checksum } of files) await look(objectPath(checksum, 'filez'), `${at}/${name}`)
      for (const folder of folders) next.push({ tree: folder.tree, meta: folder.meta, at: `${at}/${folder.name}` })
      if (turn.isOver()) await turn.pass()
    }
    level = next
  }
}

/** Copies of damaged kernels are judged when those are mended. */
async function auditBoot(
  engine: Engine,
  { commit, os, version, booted }: Deployment,
  known: Map<string, Known>,
  onRead: OnRead,
): Promise<Damage[]> {
  const root = await readCommitObject(engine.repo, commit).catch(() => undefined)
  const kernels = root ? await bootFiles(root.root.tree, readHere(engine.repo)).catch(() => []) : []
  const damages: Damage[] = []
  for (const kernel of kernels) {
    if (kernel.some(({ object }) => known.get(object)?.damage)) continue
    for (const { object } of kernel) onRead(contentSize(engine.repo, object) ?? 0)
    for (const { path, how } of await damagedCopies(engine, os, kernel, booted))
      damages.push({ kind: 'boot', path, seen: '', releases: [version], how })
  }
  return damages
}
