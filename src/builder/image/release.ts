/** What an image must know of the release that it carries, read from the repository. */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { run } from '../../base/run.ts'
import { archiveRepo, resolveCommit } from '../../ostree/commit.ts'
import { objectsOf, readCommit } from '../../ostree/contents.ts'
import { readFromCommit } from '../../ostree/show.ts'
import { KARGS, PREPARE_ROOT } from '../tree/check.ts'

export type Architecture = 'x86_64' | 'arm64'

export interface Release {
  commit: string
  version: string
  architecture: Architecture
  initramfs: boolean
  /** that the tree names */
  kernelArguments: string[]
  /** program that writes GRUB's menu; '' where the tree has none */
  generator: string
  /** whether /tmp leads to a folder of the disk */
  tmpOnDisk: boolean
  /** bytes and number of its files once they are on a disk with blocks of 4 KiB */
  size: number
  files: number
  /** bytes of them that are copied to /boot */
  bootSize: number
}

/** e_machine of elf(5). */
const MACHINES: Record<number, Architecture> = { 62: 'x86_64', 183: 'arm64' }

/** @throws Failure `wrong-repo`, `no-commit`, `not-bootable`, `wrong-architecture` */
export async function readRelease(repo: string, ref: string, scratch: string): Promise<Release> {
  await archiveRepo(repo)
  const checksum = await resolveCommit(repo, ref)
  const commit = await readCommit(repo, checksum)
  const version = commit.metadata.get('version')
  if (version === undefined)
    throw new Failure(
      'no-version',
      `cannot make an image of ${ref}: the commit has no version; commit with: superblock-builder commit`,
    )
  const boot = await list(repo, checksum, '/usr/lib/modules')
  const kernel = boot.find(({ path }) => /^\/usr\/lib\/modules\/[^/]+\/vmlinuz$/.test(path))
  if (!kernel)
    throw new Failure(
      'not-bootable',
      `cannot make an image of ${ref}: it has no kernel in /usr/lib/modules; convert its sysroot with: superblock-builder sysroot`,
    )
  const folder = kernel.path.slice(0, -'vmlinuz'.length)
  const bootFiles = boot.filter(
    ({ path }) =>
      path.startsWith(folder) && /^(vmlinuz|initramfs\.img|devicetree|dtb\/.*)$/.test(path.slice(folder.length)),
  )
  const objects = await objectsOf(repo, commit)
  return {
    commit: checksum,
    version,
    architecture: await architectureOf(repo, checksum, scratch),
    initramfs: bootFiles.some(({ path }) => path.endsWith('/initramfs.img')),
    kernelArguments: (await readFromCommit(repo, checksum, `/${KARGS}`)).split(/\s+/).filter(Boolean),
    generator: await readFromCommit(repo, checksum, '/usr/sbin/grub-mkconfig'),
    tmpOnDisk: (await list(repo, checksum, '/tmp')).some(({ kind }) => kind === 'l'),
    size: objects.reduce((sum, { unpacked }) => sum + Math.ceil(unpacked / 4096) * 4096, 0),
    files: objects.length,
    bootSize: bootFiles.reduce((sum, { size }) => sum + size, 0),
  }
}

/** Lines as `-00644 0 0   12142528 /usr/lib/modules/6.12/vmlinuz`; none where there is no such path. */
async function list(repo: string, commit: string, path: string) {
  const { stdout } = await run(['ostree', 'ls', `--repo=${repo}`, '-R', commit, path], { accept: [1] })
  return [...stdout.matchAll(/^([-dl])\d+ +\d+ +\d+ +(\d+) (\/\S*)/gm)].map(([, kind, size, name]) => ({
    kind,
    size: Number(size),
    path: name as string,
  }))
}

async function architectureOf(repo: string, commit: string, scratch: string): Promise<Architecture> {
  const folder = join(scratch, 'program')
  await mkdir(folder)
  const subpath = `--subpath=/${PREPARE_ROOT.slice(0, PREPARE_ROOT.lastIndexOf('/'))}`
  await run(['ostree', 'checkout', `--repo=${repo}`, '--user-mode', '--union', subpath, commit, folder])
  const file = await open(join(folder, 'ostree-prepare-root')).catch(error => {
    throw new Failure('not-bootable', `cannot make an image: the release has no /${PREPARE_ROOT}`, { cause: error })
  })
  try {
    const head = Buffer.alloc(20)
    await file.read(head, 0, head.length, 0)
    const found = MACHINES[head.readUInt16LE(18)]
    if (head.toString('latin1', 0, 4) !== '\x7fELF' || !found)
      throw new Failure('wrong-architecture', 'cannot make an image: the release is neither for x86-64 nor for arm64')
    return found
  } finally {
    await file.close()
  }
}
