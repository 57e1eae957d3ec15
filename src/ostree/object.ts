/** Objects of a repository by kind: the path that each has in an archive, in a plain repo, and in a package. */
import { hash } from 'node:crypto'

/** What each kind of metadata is (ostree-core.h, OSTREE_*_GVARIANT_FORMAT). */
export const FORMAT = {
  commit: '(a{sv}aya(say)sstayay)',
  dirtree: '(a(say)a(sayay))',
  dirmeta: '(uuua(ayay))',
} as const

/** `filez`: content, packed; `commitmeta`: what is attached to a commit and named by its checksum */
export type Kind = keyof typeof FORMAT | 'filez' | 'commitmeta'

const PATH = /^objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.(filez|dirtree|dirmeta|commit|commitmeta)$/

/** Bytes of a metadata object at most: a folder of some 150,000 entries. OSTree's own limit was 10 MiB for long. */
export const METADATA_LIMIT = 8 * 1024 * 1024

/** Where an object lies in an archive, and in a package: `objects/xx/….filez` */
export const objectPath = (checksum: string, kind: Kind): string =>
  `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${kind}`

/** What a path names; undefined when it is no object's. */
export function parseObjectPath(path: string): { checksum: string; kind: Kind } | undefined {
  const [, prefix, rest, kind] = PATH.exec(path) ?? []
  return kind === undefined ? undefined : { checksum: `${prefix}${rest}`, kind: kind as Kind }
}

/** Where an object of an archive repo lies in a repo that keeps content as plain files. */
export const plainPath = (path: string): string => path.replace(/\.filez$/, '.file')

/** Whether these are the bytes of the metadata object with this checksum: it is the SHA-256 of them. */
export const isNamed = (checksum: string, bytes: Buffer): boolean => hash('sha256', bytes) === checksum
