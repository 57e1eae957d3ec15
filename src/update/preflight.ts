/** A release that is on the device by now is looked at once more, before it is deployed: whatever ostree would stop at has a name here. */
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { mendBoot } from '../ostree/boot-copies.ts'
import { readCommitObject } from '../ostree/commit-facts.ts'
import type { Engine } from '../ostree/engine.ts'
import { etcChanges, etcConflict } from '../ostree/etc.ts'
import { plainPath } from '../ostree/object.ts'
import { readHere } from '../ostree/objects.ts'
import { isSoundObject } from '../ostree/sound.ts'
import type { Deployment } from '../ostree/status.ts'
import { lookUp } from '../ostree/walk.ts'
import { commitMismatch } from '../package/manifest.ts'
import { inTheWay } from './admit.ts'
import { needsOf, placesOf, treeOnDevice } from './plan.ts'
import { failIfShort, noRoom, shortage } from './room.ts'
import type { InstallJob } from './state.ts'

/**
 * @param folder of the service's state
 * @param deployments that are here, those that would be replaced not among them
 * @throws Failure `wrong-commit`, `unbootable`, `store-damaged`, `etc-conflict`, `no-space`, `no-inodes`
 */
export async function checkRelease(
  engine: Engine,
  folder: string,
  to: InstallJob['to'],
  deployments: readonly Deployment[],
): Promise<void> {
  const commit = await readCommitObject(engine.repo, to.commit)
  const mismatch = commitMismatch({ ...commit, version: commit.metadata.get('version') }, to)
  if (mismatch !== undefined)
    throw new Failure('wrong-commit', `cannot install version ${to.version}: ${mismatch}; ask its maker for a new one`)
  const tree = await treeOnDevice(engine, to.commit)
  const kernels = tree.boot.flat()
  if (kernels.length === 0)
    throw new Failure('unbootable', `cannot install version ${to.version}: it has no kernel`, {
      facts: { reason: 'it has no kernel' },
    })
  for (const { path, object } of kernels) await checkBootFile(engine, path, object)

  const read = readHere(engine.repo)
  const changes = await etcChanges(engine)
  const conflict = await etcConflict('/etc', changes, async place => {
    const whole = `usr/etc/${place}`
    const found = await lookUp(commit.root.tree, whole, read)
    return found?.path !== whole ? undefined : found.file === undefined ? 'folder' : 'file'
  })
  if (conflict) failIfShort(inTheWay(conflict))

  const contents = { wanted: [], mode: 'bare' as const, ...tree }
  const needs = await needsOf(engine, contents, deployments, changes)
  const short = await shortage(await placesOf(engine, folder), needs)
  if (short) failIfShort(noRoom(short, []))
  for (const kernel of tree.boot) await mendBoot(engine, to.os, kernel, false)
}

/** What goes to /boot is not believed by its name. */
async function checkBootFile(engine: Engine, path: string, object: string): Promise<void> {
  const isFile = await lstat(join(engine.repo, plainPath(object))).then(
    found => found.isFile(),
    () => false,
  )
  if (!isFile)
    throw new Failure('unbootable', `cannot install the release: its ${path} is no file`, {
      facts: { reason: `${path} is no file` },
    })
  if ((await isSoundObject(engine.repo, object)) === false)
    throw new Failure(
      'store-damaged',
      `cannot install the release: ${path} is damaged in the device's store; repair it first: superblock repair`,
      { facts: { seen: path, releases: '', count: 1 } },
    )
}
