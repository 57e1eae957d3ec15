/**
 * Which files of a commit go to /boot, found without a checkout: those that `get_kernel_from_tree` of ostree-sysroot-deploy.c
 * looks for.
 */
import { objectPath } from './object.ts'
import { lookUp, type ReadObjects, readTree } from './walk.ts'

export interface BootFile {
  /** in the tree */
  path: string
  /** its content, as an archive has it: `objects/xx/….filez` */
  object: string
  /** bytes; 0 where that is not known */
  size: number
}

const MODULES = 'usr/lib/modules'
/** Beside a kernel: what is copied with it, and the folder of device trees. */
const BESIDE = ['vmlinuz', 'initramfs.img', 'initramfs', 'devicetree', '.vmlinuz.hmac', 'aboot.img']
const TREES = 'dtb'
/** Where trees of long ago had them, with a checksum behind the name. */
const LEGACY = ['usr/lib/ostree-boot', 'boot']
const LEGACY_FILE = /^(vmlinuz|initramfs|devicetree)-.*[0-9a-f]{64}$/

type SizeOf = (object: string) => number | undefined

/**
 * @param root checksum of the tree's root
 * @param sizeOf bytes of a content object, by its path in an archive
 * @returns for each kernel its files, of which ostree takes one kernel's; none when nothing of it can be started
 * @throws Failure `tampered` when a folder on the way is not to be had
 */
export async function bootFiles(
  root: string,
  read: ReadObjects,
  sizeOf: SizeOf = () => undefined,
): Promise<BootFile[][]> {
  const bootFile = (path: string, checksum: string): BootFile => {
    const object = objectPath(checksum, 'filez')
    return { path, object, size: sizeOf(object) ?? 0 }
  }
  async function allFiles(path: string, tree: string): Promise<BootFile[]> {
    const { files, folders } = await readTree(tree, read)
    const found = files.map(file => bootFile(`${path}/${file.name}`, file.checksum))
    for (const folder of folders) found.push(...(await allFiles(`${path}/${folder.name}`, folder.tree)))
    return found
  }
  const modules = (await lookUp(root, MODULES, read))?.folder
  const kernels: BootFile[][] = []
  for (const { name, tree } of modules === undefined ? [] : (await readTree(modules, read)).folders) {
    const { files, folders } = await readTree(tree, read)
    if (!files.some(file => file.name === 'vmlinuz')) continue
    const at = `${MODULES}/${name}`
    const beside = files.filter(file => BESIDE.includes(file.name))
    const trees = folders.find(folder => folder.name === TREES)
    kernels.push([
      ...beside.map(file => bootFile(`${at}/${file.name}`, file.checksum)),
      ...(trees ? await allFiles(`${at}/${TREES}`, trees.tree) : []),
    ])
  }
  if (kernels.length > 0) return kernels
  for (const path of LEGACY) {
    const folder = (await lookUp(root, path, read))?.folder
    if (folder === undefined) continue
    const found = (await readTree(folder, read)).files.filter(file => LEGACY_FILE.test(file.name))
    if (found.some(file => file.name.startsWith('vmlinuz-')))
      return [found.map(file => bootFile(`${path}/${file.name}`, file.checksum))]
  }
  return []
}
