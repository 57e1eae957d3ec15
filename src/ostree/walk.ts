/** What a commit's tree consists of, from its metadata alone: how much a checkout makes, and single places in it. */
import { Failure } from '../base/failure.ts'
import { takeTurn } from '../base/turn.ts'
import { objectPath } from './object.ts'
import { type FolderMeta, parseFolderMeta, parseTree, type Tree } from './tree.ts'

/** Gives metadata objects by their paths in an archive, each compared with its name; what is not to be had is left out. */
export type ReadObjects = (paths: readonly string[]) => Promise<Map<string, Buffer>>

/** What a folder with all that is in it takes when it is checked out. */
export interface Measure {
  folders: number
  /** bytes of the folders themselves */
  folderBytes: number
  files: number
  /** files without content, which get an inode of their own where others get a second name */
  empty: number
  /** bytes of the files' contents, each rounded up to whole blocks */
  fileBytes: number
}

export interface Walk {
  all: Measure
  /** of the folder at this path, or undefined where there is none */
  at(path: string): Promise<Measure | undefined>
}

/** How deep ostree goes (OSTREE_MAX_RECURSION). */
const DEPTH_LIMIT = 256
/** Bytes of a block: of the file systems that devices have. */
const BLOCK = 4096
/** What a name costs in a folder beside its letters: ext4_dir_entry_2, rounded, and the room that is left between. */
const ENTRY = 16
/** Objects that are asked for together. */
const TOGETHER = 512

export const inBlocks = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK

/** A folder, and the folders in it by their checksums. */
interface Node {
  own: Measure
  inner: string[]
  whole?: Measure & { depth: number }
}

const lacks = (path: string) =>
  new Failure(
    'tampered',
    `cannot use the package: it lacks ${path}, a part of its own release; ask its maker for a new one`,
  )

/**
 * Read every folder of a tree once, and hold each against OSTree's rules.
 * @param root checksum of the root's dirtree
 * @param sizeOf bytes of a content object, by its path in an archive; undefined when it is not to be had
 * @param onFolder told of each kind of folder once
 * @throws Failure `tampered` when something is not to be had, `corrupt-object` for what is no folder or is nested too deep
 */
export async function walkTree(
  root: { tree: string; meta: string },
  read: ReadObjects,
  sizeOf: (path: string) => number | undefined,
  onFolder: (meta: FolderMeta) => void = () => {},
): Promise<Walk> {
  const nodes = new Map<string, Node>()
  const metas = new Set([root.meta])
  const turn = takeTurn()
  for (let level = [root.tree]; level.length > 0; ) {
    const next = new Set<string>()
    for await (const [checksum, bytes] of inPortions(level, 'dirtree', read)) {
      const tree = parseTree(bytes)
      nodes.set(checksum, { own: measure(tree, sizeOf), inner: tree.folders.map(folder => folder.tree) })
      for (const folder of tree.folders) {
        metas.add(folder.meta)
        next.add(folder.tree)
      }
      if (turn.isOver()) await turn.pass()
    }
    level = [...next].filter(checksum => !nodes.has(checksum))
  }
  for await (const [, bytes] of inPortions([...metas], 'dirmeta', read)) onFolder(parseFolderMeta(bytes))
  return {
    all: total(root.tree, nodes, 0),
    async at(path) {
      const found = await lookUp(root.tree, path, read)
      return found?.folder === undefined ? undefined : total(found.folder, nodes, 0)
    },
  }
}

async function* inPortions(
  checksums: readonly string[],
  kind: 'dirtree' | 'dirmeta',
  read: ReadObjects,
): AsyncGenerator<[string, Buffer]> {
  for (let at = 0; at < checksums.length; at += TOGETHER) {
    const portion = checksums.slice(at, at + TOGETHER)
    const found = await read(portion.map(checksum => objectPath(checksum, kind)))
    for (const checksum of portion) {
      const bytes = found.get(objectPath(checksum, kind))
      if (!bytes) throw lacks(objectPath(checksum, kind))
      yield [checksum, bytes]
    }
  }
}

function measure({ files, folders }: Tree, sizeOf: (path: string) => number | undefined): Measure {
  const names = [...files, ...folders].reduce((sum, { name }) => sum + Buffer.byteLength(name) + ENTRY, 0)
  const own = { folders: 1, folderBytes: inBlocks(Math.max(1, names)), files: files.length, empty: 0, fileBytes: 0 }
  for (const { checksum } of files) {
    const path = objectPath(checksum, 'filez')
    const size = sizeOf(path)
    if (size === undefined) throw lacks(path)
    if (size === 0) own.empty++
    own.fileBytes += inBlocks(size)
  }
  return own
}

/** Folders that are the same are stored once, and checked out each time. */
function total(checksum: string, nodes: Map<string, Node>, depth: number): Measure & { depth: number } {
  const node = nodes.get(checksum) as Node
  if (depth + (node.whole?.depth ?? 0) > DEPTH_LIMIT)
    throw new Failure('corrupt-object', 'cannot use the release: its folders are nested deeper than OSTree goes')
  if (node.whole) return node.whole
  const whole = { ...node.own, depth: 0 }
  for (const inner of node.inner) {
    const below = total(inner, nodes, depth + 1)
    for (const key of ['folders', 'folderBytes', 'files', 'empty', 'fileBytes'] as const) whole[key] += below[key]
    whole.depth = Math.max(whole.depth, below.depth + 1)
  }
  node.whole = whole
  return whole
}

/**
 * What is at a path of a tree.
 * @param root checksum of a dirtree
 * @param path without a slash at its ends; '' is the root itself
 * @returns the checksum of the folder's dirtree or of the file's content, with how far the way to it led where it ends at a file;
 *   undefined where nothing is there
 * @throws Failure `tampered` when a folder on the way is not to be had
 */
export async function lookUp(
  root: string,
  path: string,
  read: ReadObjects,
): Promise<{ folder?: string; file?: string; path: string } | undefined> {
  let folder = root
  const done: string[] = []
  for (const name of path.split('/').filter(Boolean)) {
    const { files, folders } = await readTree(folder, read)
    done.push(name)
    const file = files.find(one => one.name === name)
    if (file) return { file: file.checksum, path: done.join('/') }
    const inner = folders.find(one => one.name === name)
    if (!inner) return undefined
    folder = inner.tree
  }
  return { folder, path: done.join('/') }
}

/** @throws Failure `tampered` when it is not to be had, `corrupt-object` */
export async function readTree(checksum: string, read: ReadObjects): Promise<Tree> {
  const path = objectPath(checksum, 'dirtree')
  const bytes = (await read([path])).get(path)
  if (!bytes) throw lacks(path)
  return parseTree(bytes)
}
