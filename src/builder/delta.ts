/** Deltas of a package: shortcuts for devices that run a named older release, kept only where they save reading. */
import { join } from 'node:path'
import { Failure } from '../base/failure.ts'
import { bytes } from '../base/text.ts'
import { generateDelta, resolveCommit } from '../ostree/commit.ts'
import { type Commit, objectsOf, readCommit, type StoredObject } from '../ostree/contents.ts'
import { readSuperblock, stampSuperblock } from './superblock-file.ts'
import type { Work } from './work.ts'

export interface Delta {
  from: string
  version: string
  file: string
  size: number
  unpacked: number
}

export interface LeftOut {
  from: string
  version: string
  why: string
}

/**
 * Make the delta from each base that is worth its place.
 * @param bases refs or commits of the same repo
 * @param objects of the new commit
 * @param scratch folder for the files
 * @throws Failure `no-commit`, `bad-base`, `no-object`
 */
export async function makeDeltas(
  repo: string,
  bases: readonly string[],
  to: Commit,
  objects: readonly StoredObject[],
  scratch: string,
  work: Work,
): Promise<{ deltas: Delta[]; leftOut: LeftOut[] }> {
  const commits = new Set<string>()
  for (const rev of bases) commits.add(await resolveCommit(repo, rev))
  if (commits.has(to.checksum))
    throw new Failure('bad-base', `cannot make a delta from ${to.checksum}: it is the commit to be packed`)
  const deltas: Delta[] = []
  const leftOut: LeftOut[] = []
  for (const from of [...commits].sort()) {
    const base = await readCommit(repo, from)
    const version = base.metadata.get('version') ?? from.slice(0, 12)
    const has = new Set((await objectsOf(repo, base)).map(object => object.path))
    const changed = objects.filter(object => !has.has(object.path)).reduce((sum, object) => sum + object.size, 0)
    const file = join(scratch, `${from}.superblock`)
    await work.progress(`delta from ${version}`, () => generateDelta(repo, from, to.checksum, file, work.signal))
    await stampSuperblock(file, to.timestamp)
    const { size, unpacked } = await readSuperblock(file)
    if (size < changed) deltas.push({ from, version, file, size, unpacked })
    else leftOut.push({ from, version, why: `it has ${bytes(size)}, the changed objects have ${bytes(changed)}` })
  }
  return { deltas, leftOut }
}
