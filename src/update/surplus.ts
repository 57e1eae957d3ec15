/** What is given back when deployments go: their checkouts, and the objects that nothing else has. */
import { readCommitObject } from '../ostree/commit-facts.ts'
import type { Engine } from '../ostree/engine.ts'
import { objectPath } from '../ostree/object.ts'
import { contentSize, readHere } from '../ostree/objects.ts'
import type { Deployment } from '../ostree/status.ts'
import { parseTree } from '../ostree/tree.ts'
import { inBlocks } from '../ostree/walk.ts'
import { treeOnDevice } from './plan.ts'
import { NOTHING, type Room, together } from './room.ts'

/**
 * At least so much room is given back. What cannot be read counts for nothing.
 * @param all the deployments that are here, those that go among them
 * @param isNeeded of an object's path: what would have to be read again gives back nothing
 */
export async function freedBy(
  engine: Engine,
  going: readonly Deployment[],
  all: readonly Deployment[],
  isNeeded: (path: string) => boolean,
): Promise<Room> {
  const kept = new Set<string>()
  for (const { commit } of all.filter(one => !going.includes(one))) await addContents(engine, commit, kept)
  let freed = NOTHING
  for (const { commit } of going) {
    if (all.some(one => one.commit === commit && !going.includes(one))) continue
    const own = new Set<string>()
    await addContents(engine, commit, own)
    const checkout = await treeOnDevice(engine, commit).then(
      ({ walk }) => ({ bytes: walk.all.folderBytes, inodes: walk.all.folders + walk.all.empty, links: walk.all.files }),
      () => NOTHING,
    )
    const objects = { bytes: 0, inodes: 0 }
    for (const path of own) {
      if (kept.has(path) || isNeeded(path)) continue
      kept.add(path)
      objects.bytes += inBlocks(contentSize(engine.repo, path) ?? 0)
      objects.inodes++
    }
    freed = together(freed, checkout, objects)
  }
  return freed
}

/** Bytes of the contents of all these releases, each counted once. */
export async function sizeOfStore(engine: Engine, deployments: readonly Deployment[]): Promise<number> {
  const contents = new Set<string>()
  for (const { commit } of deployments) await addContents(engine, commit, contents)
  let size = 0
  for (const path of contents) size += contentSize(engine.repo, path) ?? 0
  return size
}

/** Paths of the contents of a commit, as far as it can be read. */
async function addContents(engine: Engine, commit: string, to: Set<string>): Promise<void> {
  const read = readHere(engine.repo)
  const seen = new Set<string>()
  const root = await readCommitObject(engine.repo, commit).catch(() => undefined)
  for (let level = root ? [root.root.tree] : []; level.length > 0; ) {
    const next = new Set<string>()
    for (const [path, bytes] of await read(level.map(checksum => objectPath(checksum, 'dirtree')))) {
      seen.add(path)
      const { files, folders } = parseTree(bytes)
      for (const { checksum } of files) to.add(objectPath(checksum, 'filez'))
      for (const { tree } of folders) next.add(tree)
    }
    level = [...next].filter(checksum => !seen.has(objectPath(checksum, 'dirtree')))
  }
}
