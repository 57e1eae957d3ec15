/**
 * The boot loader of an emulated device: picks the boot entry as the generated grub.cfg would, trial countdown included, or as
 * the product's script for U-Boot does.
 */
import { open, readdir, readFile, readlink } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { isThere } from '../../src/base/files.ts'
import { run } from '../../src/base/run.ts'
import { PROJECT } from './project.ts'

export interface BootEntry {
  title: string
  /** of the entry: the highest is the default */
  version: number
  /** kernel arguments */
  options: string
  /** `<commit>.<serial>` */
  id: string
  os: string
  /** the deployment's folder */
  folder: string
  /** what is loaded: the kernel, and with it the initramfs */
  files: string[]
}

/** The menu, default first. */
export async function readEntries(sysroot: string): Promise<BootEntry[]> {
  const folder = join(sysroot, 'boot/loader/entries')
  const files = (await readdir(folder)).filter(name => name.endsWith('.conf')).sort()
  const entries = await Promise.all(files.map(async name => readEntry(sysroot, join(folder, name))))
  return entries.sort((a, b) => b.version - a.version)
}

async function readEntry(sysroot: string, path: string): Promise<BootEntry> {
  const text = await readFile(path, 'utf8')
  const key = (name: string) => new RegExp(`^${name}[ \t]+(.*)$`, 'm').exec(text)?.[1] ?? ''
  const options = key('options')
  const bootlink = /(?:^| )ostree=(\S+)/.exec(options)?.[1]
  if (!bootlink) throw new Error(`cannot boot ${path}: it has no ostree= argument`)
  const files = ['linux', 'initrd'].map(key).filter(Boolean)
  const link = join(sysroot, bootlink)
  const folder = resolve(link, '..', await readlink(link))
  const os = basename(resolve(folder, '../..'))
  const inBoot = files.map(file => join(sysroot, 'boot', file.replace(/^\/boot/, '')))
  return {
    title: key('title'),
    version: Number(key('version')),
    options,
    id: basename(folder),
    os,
    folder,
    files: inBoot,
  }
}

/** Whether a boot loader can load it: of a kernel it looks at the begin, of an initramfs at nothing. */
async function loads({ files: [kernel = '', ...others] }: BootEntry): Promise<boolean> {
  const [begin = 0] = await readFile(kernel).catch(() => Buffer.alloc(0))
  const there = await Promise.all(others.map(file => isThere(file)))
  return begin !== 0 && there.every(Boolean)
}

/**
 * The entry that U-Boot boots now, by its script itself.
 * @param esp the partition with trial.env
 * @param environment U-Boot's own variables
 */
export async function chooseByUboot(sysroot: string, esp: string, ...environment: string[]): Promise<BootEntry> {
  const script = join(PROJECT, 'boot/uboot/boot.cmd')
  const { stdout } = await run(['sh', join(PROJECT, 'test/kit/uboot.sh'), script, esp, sysroot, ...environment])
  const bootlink = (text: string) => /(?:^| )ostree=(\S+)/m.exec(text)?.[1]
  const entry = (await readEntries(sysroot)).find(one => bootlink(one.options) === bootlink(stdout))
  if (!entry) throw new Error(`cannot boot ${sysroot}: the script starts ${stdout}`)
  if (!(await loads(entry))) throw new Error(`cannot boot ${sysroot}: ${entry.files} cannot be loaded`)
  return entry
}

/**
 * The entry that boots now. While the default is on trial its tries are counted down, and at 0 the entry below boots; so does it
 * when the default cannot be loaded.
 * @param menu GRUB's own menu, which lies beside the entries and is made from them
 */
export async function chooseEntry(sysroot: string, menu?: readonly BootEntry[]): Promise<BootEntry> {
  const [first, second] = menu ?? (await readEntries(sysroot))
  if (!first) throw new Error(`cannot boot ${sysroot}: there is no boot entry`)
  const order = (await isOver(sysroot, first)) ? [second, first] : [first, second]
  for (const entry of order) if (entry && (await loads(entry))) return entry
  throw new Error(`cannot boot ${sysroot}: no kernel can be loaded`)
}

/** Whether a trial of this entry has no start left; else one is taken. GRUB writes into the block where it lies, so this does too. */
async function isOver(sysroot: string, { id }: BootEntry): Promise<boolean> {
  const path = join(sysroot, 'boot/grub/grubenv')
  const block = await readFile(path, 'latin1').catch(() => '')
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(block)?.[1] ?? ''
  if (value('trial_id') !== id) return false
  const tries = Number(value('trial_tries'))
  if (!(tries > 0)) return true
  const size = Buffer.byteLength(block, 'latin1')
  const counted = block.replace(/^trial_tries=.*$/m, `trial_tries=${tries - 1}`).replace(/#+$/, '')
  const file = await open(path, 'r+')
  try {
    await file.write(counted.padEnd(size, '#').slice(0, size), 0, 'latin1')
    await file.sync()
  } finally {
    await file.close()
  }
  return false
}
