/** The index: one line a member, in archive order, so that every member's place in the archive follows from it alone. */
import { createHash } from 'node:crypto'
import { Failure } from '../base/failure.ts'
import { takeTurn } from '../base/turn.ts'
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

/** Members in archive order. There may be hundreds of thousands: each is made from its line when it is asked for. */
export interface Members extends Iterable<Member> {
  readonly length: number
}

export interface Index extends Members {
  /** @param place from 0 */
  at(place: number): Member
  find(path: string): Member | undefined
  /** where the archive ends, its end marker included */
  readonly archiveSize: number
  /** @param places ascending */
  only(places: readonly number[]): Members
}

const LF = 0x0a
const LINE = /^([0-9a-f]{64}) (0|[1-9]\d{0,15}) (0|[1-9]\d{0,15}) ([\x21-\x7e]{1,100})$/
const OBJECT = /^objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.(filez|dirtree|dirmeta|commit|commitmeta)$/

/** The bytes of the index. */
export function formatIndex(members: readonly Omit<Member, 'header'>[]): Buffer {
  return Buffer.from(members.map(m => `${m.sha256} ${m.size} ${m.unpacked} ${m.path}\n`).join(''), 'latin1')
}

/**
 * @param bytes whose hash was found to be the manifest's; they are kept, and must not change
 * @param membersAt offset of the first member's tar header
 * @throws Failure `tampered` for any line, path, order, sum or set of members that the format does not allow
 */
export async function parseIndex(bytes: Buffer, manifest: Manifest, membersAt: number): Promise<Index> {
  if (bytes.at(-1) !== LF) throw wrong('its last line has no end')
  const places = makePlaces()
  let header = membersAt
  let size = 0
  let unpacked = 0
  let before = ''
  const turn = takeTurn()
  for (let at = 0; at < bytes.length; ) {
    const line = `line ${places.count() + 1}`
    const end = bytes.indexOf(LF, at)
    const member = memberOf(bytes.toString('latin1', at, end), header)
    if (!member) throw wrong(`${line} is not a hash, two sizes and a path`)
    if (before >= member.path) throw wrong(`${line} is not in ascending order of path`)
    if (member.size > LIMITS.member) throw wrong(`${line} has more bytes than a member may have`)
    checkMember(member, manifest, line)
    places.add(at, end - member.path.length, header)
    before = member.path
    header += BLOCK + padded(member.size)
    size += member.size
    unpacked += member.unpacked
    if (!Number.isSafeInteger(header + unpacked)) throw wrong('its sizes add up to more than any archive can hold')
    at = end + 1
    if (turn.isOver()) await turn.pass()
  }
  const { payload } = manifest
  if (places.count() !== payload.members || size !== payload.size || unpacked !== payload.unpacked)
    throw wrong('its sums are not those of the manifest')
  const index = indexOf(bytes, places, header + END)
  checkSet(index, manifest)
  return index
}

/** For each line where it begins, where its path begins, and its member's header: some bytes each, where an object has hundreds. */
function makePlaces() {
  let length = 0
  let table = new Float64Array(3 * 1024)
  return {
    count: () => length,
    line: (place: number): number => table[3 * place] ?? 0,
    path: (place: number): number => table[3 * place + 1] ?? 0,
    header: (place: number): number => table[3 * place + 2] ?? 0,
    add(line: number, path: number, header: number): void {
      if (3 * length === table.length) {
        const wider = new Float64Array(2 * table.length)
        wider.set(table)
        table = wider
      }
      table.set([line, path, header], 3 * length)
      length++
    },
  }
}
type Places = ReturnType<typeof makePlaces>

function indexOf(bytes: Buffer, places: Places, archiveSize: number): Index {
  const length = places.count()
  const endOf = (place: number) => (place + 1 < length ? places.line(place + 1) : bytes.length) - 1
  const at = (place: number): Member => {
    const text = bytes.toString('latin1', places.line(place), endOf(place))
    return memberOf(text, places.header(place)) as Member // as every line was found to be
  }
  return {
    length,
    archiveSize,
    at,
    find(path) {
      const wanted = Buffer.from(path, 'latin1')
      let [low, high] = [0, length]
      while (low < high) {
        const middle = (low + high) >>> 1
        const order = wanted.compare(bytes, places.path(middle), endOf(middle))
        if (order === 0) return at(middle)
        if (order < 0) high = middle
        else low = middle + 1
      }
      return undefined
    },
    only: chosen => ({
      length: chosen.length,
      *[Symbol.iterator]() {
        for (const place of chosen) yield at(place)
      },
    }),
    *[Symbol.iterator]() {
      for (let place = 0; place < length; place++) yield at(place)
    },
  }
}

function memberOf(line: string, header: number): Member | undefined {
  const [, sha256, size, unpacked, path] = LINE.exec(line) ?? []
  if (sha256 === undefined || path === undefined) return undefined
  return { sha256, size: Number(size), unpacked: Number(unpacked), path, header }
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
    if (member.size > LIMITS.memory) throw wrong(`${place} is larger than such an object may be`)
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
function checkSet(index: Index, manifest: Manifest): void {
  const isMissing = (path: string) => index.find(path) === undefined
  for (const { from } of manifest.deltas)
    if (isMissing(deltaPath(from))) throw wrong(`the delta from ${from} is missing`)
  if (index.length === manifest.deltas.length) return
  const commit = `objects/${manifest.commit.slice(0, 2)}/${manifest.commit.slice(2)}.commit`
  for (const path of ['config', `refs/heads/${manifest.ref}`, commit])
    if (isMissing(path)) throw wrong(`${path} is missing`)
}

const wrong = (why: string) =>
  new Failure('tampered', `cannot accept the package: in its index ${why}; copy the package again from its origin`)
