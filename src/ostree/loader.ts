/** The boot loader's entries as libostree writes them: what starts, in which order and how; read straight from the disk. */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { listIfThere, readBounded, readLink } from '../base/files.ts'
import type { Engine } from './engine.ts'

/** An entry of the Boot Loader Specification, as far as it can be understood. */
export interface LoaderEntry {
  path: string
  /** the highest is started first */
  version: number
  /** kernel arguments */
  options: string[]
  /** below /boot; '' where it names none */
  kernel: string
  initramfs: string
  /** the deployment that it starts: folder in the sysroot, `ostree/deploy/OS/deploy/COMMIT.SERIAL` */
  deployment: { os: string; commit: string; serial: number; folder: string }
}

/** Bytes of an entry at most: a line of kernel arguments has some thousand. */
const LIMIT = 64 * 1024
const FOLDER = /^ostree\/deploy\/([^/]+)\/deploy\/([0-9a-f]{64})\.(\d+)$/

/**
 * The entries that count now, first to start first, and the files among them that are none.
 * @param engine of a sysroot
 */
export async function readLoader({ sysroot, boot }: Engine): Promise<{ entries: LoaderEntry[]; damaged: string[] }> {
  const folder = join(boot, 'loader/entries')
  const entries: LoaderEntry[] = []
  const damaged: string[] = []
  for (const name of (await listIfThere(folder).catch(() => [])).filter(one => one.endsWith('.conf'))) {
    const path = join(folder, name)
    const text = (await readBounded(path, LIMIT).catch(() => undefined))?.toString('utf8')
    const entry = text === undefined ? undefined : await understand(sysroot, path, text)
    if (entry) entries.push(entry)
    else damaged.push(path)
  }
  return { entries: entries.sort((a, b) => b.version - a.version), damaged }
}

async function understand(sysroot: string, path: string, text: string): Promise<LoaderEntry | undefined> {
  const key = (name: string) => new RegExp(`^${name}[ \\t]+(.+)$`, 'm').exec(text)?.[1]?.trim() ?? ''
  const version = Number(key('version'))
  const options = key('options').split(' ').filter(Boolean)
  const link = options.find(option => option.startsWith('ostree='))?.slice('ostree='.length)
  if (!Number.isSafeInteger(version) || version < 1 || link === undefined || key('linux') === '') return undefined
  const deployment = await followBootLink(sysroot, link)
  return deployment && { path, version, options, kernel: key('linux'), initramfs: key('initrd'), deployment }
}

/** Where `ostree=` leads: a link to a link's folder, `/ostree/boot.N/OS/BOOTCSUM/SERIAL` to `../../../deploy/OS/deploy/COMMIT.SERIAL`. */
async function followBootLink(sysroot: string, link: string): Promise<LoaderEntry['deployment'] | undefined> {
  const found = /^\/ostree\/boot\.[01](?:\.[01])?\/[^/]+\/[0-9a-f]{64}\/\d+$/.test(link)
  const target = found ? await readLink(join(sysroot, link)) : undefined
  if (target === undefined) return undefined
  // By its words: boot.N is a link too, to a folder that lies as deep.
  return deploymentAt(resolve(link, '..', target).slice(1))
}

/** @param folder below the sysroot */
function deploymentAt(folder: string): LoaderEntry['deployment'] | undefined {
  const [, os, commit, serial] = FOLDER.exec(folder) ?? []
  return os === undefined || commit === undefined ? undefined : { os, commit, serial: Number(serial), folder }
}

/** Every folder that looks like a deployment, whether anything starts it or not. */
export async function deploymentFolders({ sysroot }: Engine): Promise<LoaderEntry['deployment'][]> {
  const found: LoaderEntry['deployment'][] = []
  for (const os of await listIfThere(join(sysroot, 'ostree/deploy')))
    for (const name of await listIfThere(join(sysroot, 'ostree/deploy', os, 'deploy'))) {
      const deployment = deploymentAt(`ostree/deploy/${os}/deploy/${name}`)
      if (deployment) found.push(deployment)
    }
  return found
}

/** Whether the running system is this folder: ostree goes by device and inode of `/`, and so does this. */
export async function isRunning(sysroot: string, folder: string): Promise<boolean> {
  const [root, own] = await Promise.all([stat('/'), stat(join(sysroot, folder)).catch(() => undefined)])
  return own !== undefined && root.dev === own.dev && root.ino === own.ino
}
