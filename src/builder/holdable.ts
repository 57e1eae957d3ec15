/** What no device could hold of a commit, said before it is packed: file systems, and the bounds of those who read packages. */
import { Failure } from '../base/failure.ts'
import { bytes, safe } from '../base/text.ts'
import type { StoredObject } from '../ostree/contents.ts'
import { nameTrouble } from '../ostree/metadata.ts'
import { LIMITS } from '../package/limits.ts'
import type { Work } from './work.ts'

/** Things that are named, the others are counted. */
const NAMED = 5
/** -1, by which chown(2) means: leave it as it is. */
const NOBODY = 0xffffffff
const TYPE = 0o170000
const FILE = 0o100000
const LINK = 0o120000

/**
 * @param objects of the commit
 * @throws Failure `unfit`
 */
export function checkHoldable(doing: string, objects: readonly StoredObject[]): void {
  const found = objects.flatMap(object => {
    const why = trouble(object)
    return why === undefined ? [] : [`${safe(object.place) || object.path}: ${why}`]
  })
  if (found.length === 0) return
  const list = [...found.slice(0, NAMED), ...(found.length > NAMED ? [`and ${found.length - NAMED} more`] : [])]
  throw new Failure('unfit', `cannot ${doing}: no device could hold it: ${list.join('; ')}`)
}

/** A system in which nothing is root's was committed by an ordinary user, whose ids mean nobody, or somebody else, on a device. */
export function sayOwner(objects: readonly StoredObject[], work: Work): void {
  const owners = new Set(objects.flatMap(({ is }) => (is ? [is.uid] : [])))
  if (owners.size > 0 && !owners.has(0))
    work.note(
      `WARNING: nothing in this release belongs to root, but to the user ${[...owners].slice(0, NAMED).join(', ')}. Was it committed by an ordinary user? superblock-builder commit makes it root's, also from a repository (--from-repo).`,
    )
}

function trouble({ path, place, size, is }: StoredObject): string | undefined {
  if (size > LIMITS.memory && !path.endsWith('.filez'))
    return `it has too many entries, or too long metadata (${bytes(size)}; devices take ${bytes(LIMITS.memory)})`
  for (const name of place.split('/').filter(Boolean)) {
    const wrong = nameTrouble(name)
    if (wrong) return wrong
  }
  if (!is) return undefined
  if (is.uid === NOBODY || is.gid === NOBODY) return `its owner is ${is.uid}:${is.gid}, which no file can have`
  if ((is.mode & ~(TYPE | 0o7777)) !== 0) return `its mode is 0${is.mode.toString(8)}, which no file can have`
  if (path.endsWith('.filez') && ![FILE, LINK].includes(is.mode & TYPE)) return 'it is neither a file nor a link'
  return undefined
}
