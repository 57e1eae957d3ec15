/**
 * Real filesystems as sticks: images of the kinds that technicians bring, mounted through loop devices and FUSE, on the
 * host or inside an emulated device; taken out in all the ways in which that happens. Only for root.
 */
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, readlink, rm, rmdir, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isThere } from '../../src/base/files.ts'
import { run, start } from '../../src/base/run.ts'
import type { Device } from './device.ts'

export const KINDS = ['ext4', 'vfat', 'exfat', 'ntfs'] as const
export type Kind = (typeof KINDS)[number]

/** What is missing on this machine for such sticks, or undefined when all is there. */
export async function lacking(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can mount filesystems'
  if (!(await isThere('/dev/fuse'))) return 'there is no /dev/fuse'
  if (!(await isThere('/dev/loop-control'))) return 'there are no loop devices'
  const tools = ['mkfs.ext4', 'mkfs.vfat', 'mkfs.exfat', 'mkfs.ntfs', 'fusefat', 'mount.exfat-fuse', 'ntfs-3g', 'mcopy']
  for (const tool of tools) {
    const { status } = await run(['sh', '-c', 'command -v "$0"', tool], { accept: [1, 127] })
    if (status !== 0) return `${tool} is not installed`
  }
  return undefined
}

export interface Image {
  kind: Kind
  file: string
}

const MAKE: { [kind in Kind]: string[] } = {
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-b', '4096'],
  vfat: ['mkfs.vfat'],
  exfat: ['mkfs.exfat'],
  ntfs: ['mkfs.ntfs', '-q', '-F', '-f'],
}

/** Make a filesystem in the new file `file` with everything on it that is in `folder`. */
export async function makeImage(kind: Kind, file: string, folder: string, megabytes = 64): Promise<Image> {
  await writeFile(file, '')
  await truncate(file, megabytes * 2 ** 20)
  const image = { kind, file }
  await run([...MAKE[kind], file])
  if (kind === 'vfat')
    await run([
      'sh',
      '-c',
      'cd "$0" && find . -mindepth 1 -maxdepth 1 -exec mcopy -i "$1" -s -Q {} :: ";"',
      folder,
      file,
    ])
  else {
    const at = await mkdtemp(`${file}-`)
    const mounted = await mount(image, at, { writable: true })
    await run(['cp', kind === 'ext4' ? '-a' : '-r', `${folder}/.`, at])
    await mounted.remove()
    await rm(at, { recursive: true })
  }
  return image
}

export interface Mounted {
  image: Image
  /** where it is, as the host sees it */
  path: string
  /** the process that is the filesystem, where that is none of the kernel's */
  daemon: number | undefined
  /** @param lazy as when it is pulled without asking: open files stay readable */
  remove(options?: { lazy?: boolean }): Promise<void>
  /** the filesystem's process dies; the mount stays, dead, until it is removed */
  kill(): Promise<void>
  /** the filesystem answers nothing any more, until `go` */
  hang(): void
  go(): void
}

/** The command and its arguments that run a filesystem of this kind in the foreground. */
const DAEMON: { [kind in Exclude<Kind, 'ext4'>]: (source: string, at: string, mode: string) => string[] } = {
  vfat: (file, at, mode) => ['fusefat', '-f', '-o', `${mode === 'rw' ? 'rw+' : 'ro'},allow_other`, file, at],
  exfat: (device, at, mode) => ['mount.exfat-fuse', '-d', '-o', mode, device, at],
  ntfs: (file, at, mode) => ['ntfs-3g', '-o', `${mode},no_detach`, file, at],
}

export interface MountOptions {
  writable?: boolean
  /** a process in whose mount namespace it is to be */
  inside?: number | undefined
}

/** Mount an image on a folder that is there. */
export async function mount(
  image: Image,
  at: string,
  { writable = false, inside }: MountOptions = {},
): Promise<Mounted> {
  const enter = inside === undefined ? [] : ['nsenter', '-t', String(inside), '-m', '--']
  const mode = writable ? 'rw' : 'ro'
  let loop: string | undefined
  let daemon: ReturnType<typeof start> | undefined
  if (image.kind === 'ext4') {
    const options = writable ? 'loop' : 'loop,ro,noload,nosuid,nodev,noexec'
    await run([...enter, 'mount', '-t', 'ext4', '-o', options, image.file, at])
  } else {
    // exfat-fuse takes block devices only.
    if (image.kind === 'exfat') {
      const { stdout } = await run(['losetup', '--find', '--show', ...(writable ? [] : ['--read-only']), image.file])
      loop = stdout.trim()
    }
    const argv = DAEMON[image.kind](loop ?? image.file, at, mode)
    daemon = start([...enter, ...argv], ['ignore', 'ignore', 'ignore'])
    for (const end = Date.now() + 10_000; ; await sleep(2)) {
      const { status } = await run([...enter, 'mountpoint', '-q', at], { accept: [1, 32] })
      if (status === 0) break
      if (daemon.exitCode !== null || Date.now() > end) throw new Error(`cannot mount ${image.file}: ${argv.join(' ')}`)
    }
  }
  // It frees itself when the filesystem lets go of it.
  if (loop) await run(['losetup', '--detach', loop])
  const ended = daemon && daemon.exitCode === null ? once(daemon, 'exit') : undefined
  const signal = (name: NodeJS.Signals) => {
    if (!daemon?.pid) throw new Error(`${image.kind} has no process of its own`)
    daemon.kill(name)
  }
  return {
    image,
    path: at,
    daemon: daemon?.pid,
    async remove({ lazy = false } = {}) {
      // A stick is busy while something on it is being looked at.
      const busy = async () =>
        (await run([...enter, 'umount', ...(lazy ? ['--lazy'] : []), at], { accept: [32] })).stderr
      for (const end = Date.now() + 5000; ; await sleep(20)) {
        const said = await busy()
        if (said === '') break
        if (!said.includes('busy') || Date.now() > end) throw new Error(said)
      }
      if (!lazy) await ended
    },
    async kill() {
      signal('SIGKILL')
      await ended
    },
    hang: () => signal('SIGSTOP'),
    go: () => signal('SIGCONT'),
  }
}

/** Insert an image into an emulated device that is on, under the name that its mount folder gets. */
export async function plug(device: Device, image: Image, name: string, options: MountOptions = {}): Promise<Mounted> {
  await mkdir(join(device.folder, 'shared/media', name), { recursive: true })
  const at = join(device.folder, 'root/run/superblock/media', name)
  const mounted = await mount(image, at, { ...options, inside: await initOf((await device.service.pid()) ?? 0) })
  return {
    ...mounted,
    async remove(how) {
      await mounted.remove(how)
      await rmdir(join(device.folder, 'shared/media', name)).catch(() => {})
    },
  }
}

/** The beginning of a command line that runs in the mount namespace of a device, with the host's paths and rights. */
export const inside = async (device: Device): Promise<string[]> => [
  ...['nsenter', '-t', String(await initOf((await device.service.pid()) ?? 0)), '-m', '--'],
]

/** PID 1 of the namespaces that a process is in, as the host counts: it outlives restarts of the service. */
async function initOf(pid: number): Promise<number> {
  const namespace = (one: number) => readlink(`/proc/${one}/ns/mnt`).catch(() => '')
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1])
  return (await namespace(parent)) === (await namespace(pid)) ? initOf(parent) : pid
}

/** A folder with these files on it, named after their place: path on the stick → file, or bytes. */
export async function layOut(folder: string, files: Record<string, string | Uint8Array>): Promise<string> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    if (typeof content === 'string') await cp(content, join(folder, name))
    else await writeFile(join(folder, name), content)
  }
  return folder
}

/** What a process and its children hold: to be compared before and after. */
export async function holdings(pid: number): Promise<{ descriptors: number; watches: number; children: string[] }> {
  const { stdout: descriptors } = await run(['sh', '-c', 'ls /proc/$0/fd | wc -l', String(pid)])
  const { stdout: watches } = await run([
    'sh',
    '-c',
    'cat /proc/$0/fdinfo/* 2>/dev/null | grep -c "^inotify wd"; :',
    String(pid),
  ])
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean)
  const names = await Promise.all(children.map(child => readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => 'gone')))
  const short = (line: string) =>
    line
      .split('\0')
      .filter(word => !word.startsWith('--'))
      .slice(0, 3)
      .join(' ')
  return { descriptors: Number(descriptors), watches: Number(watches), children: names.map(short).sort() }
}
