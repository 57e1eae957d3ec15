/** Metadata objects: commits, trees and folders, named by the SHA-256 of their bytes, and what they may say (ostree-core.h). */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { Failure } from '../base/failure.ts'
import { parse, type Value } from './gvariant.ts'

/** ostree-core.h, OSTREE_*_GVARIANT_FORMAT */
export const FORMAT = {
  commit: '(a{sv}aya(say)sstayay)',
  dirtree: '(a(say)a(sayay))',
  dirmeta: '(uuua(ayay))',
} as const

/** Owner and mode, with the file type. */
export interface Folder {
  uid: number
  gid: number
  mode: number
}

/** Names with the checksums of what they are. */
export interface Tree {
  files: [name: string, content: string][]
  folders: [name: string, below: { tree: string; meta: string }][]
}

export const corrupt = (checksum: string, why: string) =>
  new Failure('corrupt-object', `cannot use the object ${checksum}: ${why}`)

/** The object's fields. @throws Failure `corrupt-object`, `bad-variant` */
export function checked(checksum: string, bytes: Buffer, type: string): Value[] {
  if (createHash('sha256').update(bytes).digest('hex') !== checksum)
    throw corrupt(checksum, 'its content does not match its name')
  return parse(type, bytes) as Value[]
}

export function hex(checksum: Value | undefined): string {
  if (!Buffer.isBuffer(checksum) || checksum.length !== 32)
    throw new Failure('corrupt-object', 'cannot read an object: a checksum in it does not have 32 bytes')
  return checksum.toString('hex')
}

/** @throws Failure `corrupt-object` */
export const readTree = (checksum: string, bytes: Buffer): Tree => treeFrom(checked(checksum, bytes, FORMAT.dirtree))

function treeFrom([files, folders]: Value[]): Tree {
  return {
    files: (files as [string, Buffer][]).map(([name, content]) => [name, hex(content)]),
    folders: (folders as [string, Buffer, Buffer][]).map(([name, tree, meta]) => [
      name,
      { tree: hex(tree), meta: hex(meta) },
    ]),
  }
}

/** @throws Failure `corrupt-object` */
export const readFolder = (checksum: string, bytes: Buffer): Folder =>
  folderFrom(checked(checksum, bytes, FORMAT.dirmeta))

function folderFrom([uid, gid, mode]: Value[]): Folder {
  const [owner, group, bits] = [uid, gid, mode].map(value => (value as Buffer).readUInt32BE())
  return { uid: owner ?? 0, gid: group ?? 0, mode: bits ?? 0 }
}

/** Bytes of a name: what every file system of Linux takes (NAME_MAX of limits.h). */
const NAME = 255

/** What is wrong with a name in a tree; undefined when nothing is. */
export function nameTrouble(name: string): string | undefined {
  const size = Buffer.byteLength(name)
  if (size > NAME) return `its name has ${size} bytes, and no file system takes more than ${NAME}`
  if (name === '' || name === '.' || name === '..' || name.includes('/')) return 'it has a name that no file can have'
  return undefined
}

/**
 * Whether the bytes of a metadata object have the form of their kind, which ostree takes for granted in what it links.
 * @param path as in a package
 */
export function isMetadata(path: string, bytes: Buffer): boolean {
  const kind = path.slice(path.lastIndexOf('.') + 1)
  if (kind !== 'commit' && kind !== 'dirtree' && kind !== 'dirmeta') return true
  try {
    const fields = parse(FORMAT[kind], bytes) as Value[]
    if (kind === 'dirtree') return isTree(treeFrom(fields))
    if (kind === 'dirmeta') return folderFrom(fields).mode >> 12 === constants.S_IFDIR >> 12
    const [, parent, , , , , tree, meta] = fields
    if ((parent as Buffer).length > 0) hex(parent)
    return hex(tree) !== '' && hex(meta) !== ''
  } catch {
    return false
  }
}

/** Names that a folder can have, each once. */
function isTree({ files, folders }: Tree): boolean {
  const names = [...files, ...folders].map(([name]) => name)
  return new Set(names).size === names.length && names.every(name => nameTrouble(name) === undefined)
}
