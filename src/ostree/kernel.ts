/** Which files of a commit go to /boot, found without a checkout: the path to the kernel through the tree objects. */
import { parse } from './gvariant.ts'

/** Reads a commit or dirtree object by its checksum; undefined where it is not to be had. */
export type ReadObject = (path: string) => Promise<Buffer | undefined>

/** Where a tree may keep its kernel and initramfs (ostree's own order of looking). */
const FOLDERS = ['usr/lib/modules/*', 'usr/lib/ostree-boot', 'boot'] as const
const BOOT_FILE = /^(vmlinuz|vmlinux|initramfs|initrd|devicetree|aboot\.img)/

const objectPath = (checksum: string, kind: string) => `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${kind}`

/**
 * The content objects that ostree copies to /boot for this commit, as archive member paths (`objects/xx/….filez`).
 * @returns undefined where a tree object on the way cannot be read
 */
export async function bootObjects(commit: string, read: ReadObject): Promise<string[] | undefined> {
  const commitObject = await read(objectPath(commit, 'commit'))
  if (!commitObject) return undefined
  const fields = parse('(a{sv}aya(say)sstayay)', commitObject) as unknown[]
  const root = await readTree((fields[6] as Buffer).toString('hex'), read)
  if (!root) return undefined
  for (const folder of FOLDERS) {
    const trees = await descend(root, folder.split('/'), read)
    if (!trees) return undefined
    const found = trees.flatMap(tree =>
      [...tree.files].filter(([name]) => BOOT_FILE.test(name)).map(([, checksum]) => objectPath(checksum, 'filez')),
    )
    if (found.length > 0) return [...new Set(found)]
  }
  return []
}

interface Tree {
  files: Map<string, string>
  folders: Map<string, string>
}

/** A dirtree object: names with the checksums of their contents (ostree-core.h, OSTREE_TREE_GVARIANT_FORMAT). */
async function readTree(checksum: string, read: ReadObject): Promise<Tree | undefined> {
  const data = await read(objectPath(checksum, 'dirtree'))
  if (!data) return undefined
  const [files, folders] = parse('(a(say)a(sayay))', data) as [[string, Buffer][], [string, Buffer, Buffer][]]
  return {
    files: new Map(files.map(([name, content]) => [name, content.toString('hex')])),
    folders: new Map(folders.map(([name, tree]) => [name, tree.toString('hex')])),
  }
}

async function descend(from: Tree, path: string[], read: ReadObject): Promise<Tree[] | undefined> {
  let trees = [from]
  for (const name of path) {
    const below: Tree[] = []
    for (const tree of trees)
      for (const [folder, checksum] of tree.folders) {
        if (name !== '*' && folder !== name) continue
        const next = await readTree(checksum, read)
        if (!next) return undefined
        below.push(next)
      }
    trees = below
  }
  return trees
}
