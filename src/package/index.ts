/** The index: one line a member, in archive order, so that every member's place in the archive follows from it alone. */
import { createHash } from 'node:crypto'
import { Failure } from '../base/failure.ts'
import { BLOCK, END, padded } from './header.ts'
import { LIMITS } from './limits.ts'
import { deltaPath, type Manifest } from './manifest.ts'

export interface Member {
  path: string
  /** of its bytes in the archive */
  sha256: string
  size: number
  /** of a `.filez` the bytes of its content, of a delta those of the objects it makes; of all others `size` */
  unpacked: number
  /** offset of its tar header in the archive */
  header: number
}

const LINE = /^([0-9a-f]{64}) (0|[1-9]\d{0,15}) (0|[1-9]\d{0,15}) ([\x21-\x7e]{1,100})$/
const OBJECT = /^objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.(filez|dirtree|dirmeta|commit|commitmeta)$/

/** The bytes of the index. */
export function formatIndex(members: readonly Omit<Member, 'header'>[]): Buffer {
  return Buffer.from(members.map(m => `${m.sha256} ${m.size} ${m.unpacked} ${m.path}\n`).join(''), 'latin1')
}

/** Where the archive ends, its end marker included. */
export function archiveSize(members: readonly Member[]): number {
  const last = members.at(-1)
  return last === undefined ? END : last.header + BLOCK + padded(last.size) + END
}

/**
 * @param bytes whose hash was found to be the manifest's
 * @param membersAt offset of the first member's tar header
 * @throws Failure `tampered` for any line, path, order, sum or set of members that the format does not allow
 */
export function parseIndex(bytes: Buffer, manifest: Manifest, membersAt: number): Member[] {
  if (bytes.at(-1) !== 0x0a) throw wrong('its last line has no end')
  const members: Member[] = []
  let header = membersAt
  let size = 0
  let unpacked = 0
  for (const line of lines(bytes)) {
    const place = `line ${members.length + 1}`
    const fields = LINE.exec(line)
    if (!fields) throw wrong(`${place} is not a hash, two sizes and a path`)
    const member = {
      sha256: String(fields[1]),
      size: Number(fields[2]),
      unpacked: Number(fields[3]),
      path: String(fields[4]),
      header,
    }
    const before = members.at(-1)
    if (before && before.path >= member.path) throw wrong(`${place} is not in ascending order of path`)
    if (member.size > LIMITS.member) throw wrong(`${place} has more bytes than a member may have`)
    checkMember(member, manifest, place)
    members.push(member)
    header += BLOCK + padded(member.size)
    size += member.size
    unpacked += member.unpacked
    if (!Number.isSafeInteger(header + unpacked)) throw wrong('its sizes add up to more than any archive can hold')
  }
  const { payload } = manifest
  if (members.length !== payload.members || size !== payload.size || unpacked !== payload.unpacked)
    throw wrong('its sums are not those of the manifest')
  checkSet(members, manifest)
  return members
}

function* lines(bytes: Buffer): Generator<string> {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at)
    yield bytes.toString('latin1', at, end)
    at = end + 1
  }
}

/** Each path is one that the manifest calls for or an object of an archive repository: nothing else can be named at all. */
function checkMember(member: Member, manifest: Manifest, place: string): void {
  const { path } = member
  const object = OBJECT.exec(path)
  if (object) {
    const [, head, tail, kind] = object
    if (kind?.startsWith('commit') && `${head}${tail}` !== manifest.commit)
      throw wrong(`${place} is of another commit than the manifest's`)
    if (kind === 'filez') return
  } else if (manifest.deltas.some(delta => delta.path === path)) {
    return
  } else if (path === 'config') {
    if (member.size > LIMITS.config) throw wrong(`${place} is larger than a config may be`)
  } else if (path === `refs/heads/${manifest.ref}`) {
    const content = createHash('sha256').update(`${manifest.commit}\n`).digest('hex')
    if (member.size !== 65 || member.sha256 !== content) throw wrong(`${place} does not name the manifest's commit`)
  } else {
    throw wrong(`${place} has a path that is not allowed`)
  }
  if (member.unpacked !== member.size) throw wrong(`${place} has two sizes that differ`)
}

/** A whole repository of the one commit, or none of it and deltas alone. */
function checkSet(members: readonly Member[], manifest: Manifest): void {
  const paths = new Set(members.map(member => member.path))
  for (const { from } of manifest.deltas)
    if (!paths.has(deltaPath(from))) throw wrong(`the delta from ${from} is missing`)
  if (paths.size === manifest.deltas.length) return
  const commit = `objects/${manifest.commit.slice(0, 2)}/${manifest.commit.slice(2)}.commit`
  for (const path of ['config', `refs/heads/${manifest.ref}`, commit])
    if (!paths.has(path)) throw wrong(`${path} is missing`)
}

const wrong = (why: string) =>
  new Failure('tampered', `cannot accept the package: in its index ${why}; copy the package again from its origin`)
