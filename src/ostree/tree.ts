/**
 * Folders of a commit as their objects say (ostree-core.h, OSTREE_TREE_GVARIANT_FORMAT, OSTREE_DIRMETA_GVARIANT_FORMAT), read as strictly as
 * ostree's own `ostree_validate_structureof_dirtree`, which it leaves out for what it takes in unchecked. Folders can have tens of
 * thousands of entries, so this does not go by the general parser.
 */
import { isUtf8 } from 'node:buffer'
import { constants } from 'node:fs'
import { Failure } from '../base/failure.ts'
import { offsetSize, parse, readOffset } from './gvariant.ts'
import { FORMAT } from './object.ts'

export interface TreeFile {
  name: string
  /** of the content object */
  checksum: string
}

export interface TreeFolder {
  name: string
  /** checksum of its dirtree */
  tree: string
  /** checksum of its dirmeta */
  meta: string
}

export interface Tree {
  files: TreeFile[]
  folders: TreeFolder[]
}

const CHECKSUM = 32
/** What a file system takes, in bytes. */
const NAME_LIMIT = 255

const bad = (why: string) => new Failure('corrupt-object', `cannot read a folder of the release: ${why}`)

/** @throws Failure `corrupt-object` for anything that is not exactly a folder */
export function parseTree(bytes: Buffer): Tree {
  const width = offsetSize(bytes.length)
  // Two empty arrays have nothing between them but the place where the first ends.
  const split = bytes.length > width ? readOffset(bytes, bytes.length - width, width) : 0
  if (width === 0 || split > bytes.length - width) throw bad('it does not add up')
  const tree: Tree = { files: [], folders: [] }
  const names = new Set<string>()
  const add = (name: string) => {
    if (names.size === names.add(name).size) throw bad('a name is there twice')
  }
  eachItem(bytes.subarray(0, split), 1, (name, [checksum = '']) => {
    add(name)
    tree.files.push({ name, checksum })
  })
  eachItem(bytes.subarray(split, bytes.length - width), 2, (name, [folder = '', meta = '']) => {
    add(name)
    tree.folders.push({ name, tree: folder, meta })
  })
  return tree
}

/** Each element of an array of names with `count` checksums, whose ends are listed behind them. */
function eachItem(array: Buffer, count: number, on: (name: string, checksums: string[]) => void): void {
  if (array.length === 0) return
  const width = offsetSize(array.length)
  const table = readOffset(array, array.length - width, width)
  if (table > array.length - width || (array.length - table) % width) throw bad('it does not add up')
  let start = 0
  let before: Buffer | undefined
  for (let at = table; at < array.length; at += width) {
    const end = readOffset(array, at, width)
    if (end <= start || end > table) throw bad('it does not add up')
    const item = array.subarray(start, end)
    const name = nameOf(item, count)
    if (before && Buffer.compare(before, name) >= 0) throw bad('its names are not in order')
    before = name
    on(name.toString('utf8'), checksumsOf(item, name.length + 1, count))
    start = end
  }
  if (start !== table) throw bad('it does not add up')
}

/** The name in an element, after the elements ends of all but the last part are checked against it. */
function nameOf(item: Buffer, count: number): Buffer {
  const width = offsetSize(item.length)
  const length = item.length - count * (CHECKSUM + width) - 1
  if (length < 1 || length > NAME_LIMIT) throw bad('a name or checksum has not the length that it must have')
  for (let part = 0; part < count; part++)
    if (readOffset(item, item.length - (part + 1) * width, width) !== length + 1 + part * CHECKSUM)
      throw bad('an entry does not add up')
  const name = item.subarray(0, length)
  if (item[length] !== 0 || name.includes(0) || name.includes(0x2f) || !isUtf8(name)) throw bad('a name is not allowed')
  if (length < 3 && ['.', '..'].includes(name.toString('latin1'))) throw bad('a name is not allowed')
  return name
}

function checksumsOf(item: Buffer, from: number, count: number): string[] {
  const checksums: string[] = []
  for (let at = 0; at < count; at++)
    checksums.push(item.toString('hex', from + at * CHECKSUM, from + (at + 1) * CHECKSUM))
  return checksums
}

export interface FolderMeta {
  uid: number
  gid: number
  /** with the type */
  mode: number
  /** how many */
  attributes: number
}

/** What OSTree keeps of a folder beside its content. @throws Failure `corrupt-object` for anything that is not exactly that */
export function parseFolderMeta(bytes: Buffer): FolderMeta {
  let fields: [Buffer, Buffer, Buffer, unknown[]]
  try {
    fields = parse(FORMAT.dirmeta, bytes) as typeof fields
  } catch (cause) {
    throw new Failure('corrupt-object', 'cannot read a folder of the release: its owner and mode do not add up', {
      cause,
    })
  }
  const [uid = 0, gid = 0, mode = 0] = fields.slice(0, 3).map(field => (field as Buffer).readUInt32BE())
  if ((mode & constants.S_IFMT) !== constants.S_IFDIR || !isMode(mode)) throw bad('its mode is none of a folder')
  return { uid, gid, mode, attributes: fields[3].length }
}

/** A type and permissions, and no bit that no file system can hold. */
export const isMode = (bits: number): boolean => (bits & ~(constants.S_IFMT | 0o7777)) === 0
