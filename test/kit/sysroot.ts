/** Throw-away OSTree trees, repos and sysroots, made without root so that a killed ostree cannot freeze the host's file system. */
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../src/base/run.ts'

/** What every ostree command needs that changes a rootless sysroot. */
export const rootlessEnv = { OSTREE_SYSROOT_DEBUG: 'mutable-deployments,no-xattrs' } as const

/** The command line that runs `argv` as root of a user and mount namespace of its own, for root and others alike. */
export const rootless = (argv: readonly string[]): string[] => ['unshare', '-rm', ...argv]

/** Kernel arguments that `makeSysroot` gives its first deployment. */
export const KERNEL_ARGUMENTS = ['root=LABEL=root', 'rw', 'console=ttyS0'] as const

const FOLDERS = [
  ...['boot', 'dev', 'efi', 'proc', 'run', 'sys', 'sysroot', 'tmp', 'var'],
  ...['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'usr/etc', 'usr/share'],
]
const LINKS: Record<string, string> = {
  bin: 'usr/bin',
  sbin: 'usr/sbin',
  lib: 'usr/lib',
  lib64: 'usr/lib64',
  ostree: 'sysroot/ostree',
  home: 'var/home',
  root: 'var/roothome',
  opt: 'var/opt',
  srv: 'var/srv',
  mnt: 'var/mnt',
  media: 'run/media',
}

export interface TreeOptions {
  version: string
  /** more files, or other contents for the usual ones: path in the tree → text or bytes; `#!` first makes it a program */
  files?: Record<string, string | Uint8Array>
}

/** Make a tiny tree that ostree can deploy: kernel, initramfs, /usr/etc, os-release and the usual folders and links. */
export async function makeTree(folder: string, { version, files = {} }: TreeOptions): Promise<string> {
  for (const name of FOLDERS) await mkdir(join(folder, name), { recursive: true, mode: 0o755 })
  for (const [name, target] of Object.entries(LINKS)) await symlink(target, join(folder, name))
  const all = {
    'usr/lib/modules/6.1.0/vmlinuz': 'kernel 6.1.0\n',
    'usr/lib/modules/6.1.0/initramfs.img': 'initramfs 6.1.0\n',
    'usr/lib/os-release': `NAME=Sample\nID=sample\nVERSION_ID=${version}\nPRETTY_NAME="Sample ${version}"\n`,
    'usr/etc/hostname': 'sample\n',
    'usr/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n',
    'usr/etc/group': 'root:x:0:\nnogroup:x:65534:\n',
    'usr/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
    'usr/etc/sample.conf': `default = ${version}\n`,
    ...files,
  }
  for (const [name, content] of Object.entries(all)) {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    const program = Buffer.from(content).subarray(0, 2).toString() === '#!'
    await writeFile(path, content, { mode: program ? 0o755 : 0o644 })
  }
  await symlink('../usr/lib/os-release', join(folder, 'usr/etc/os-release'))
  return folder
}

export interface CommitOptions {
  ref: string
  /** none: a commit without a version, as hand-made ones are */
  version?: string
  /** RFC 3339 */
  timestamp?: string
}

/** Commit a tree to an archive repo, which is made where there is none. @returns the commit's checksum */
export async function commitTree(repo: string, tree: string, options: CommitOptions): Promise<string> {
  const there = await stat(join(repo, 'config')).catch(() => undefined)
  if (!there) await run(['ostree', 'init', `--repo=${repo}`, '--mode=archive'])
  const { stdout } = await run([
    ...['ostree', 'commit', `--repo=${repo}`, `--branch=${options.ref}`, '--canonical-permissions', '--no-xattrs'],
    ...(options.version === undefined ? [] : [`--add-metadata-string=version=${options.version}`]),
    ...(options.timestamp === undefined ? [] : [`--timestamp=${options.timestamp}`]),
    `--subject=${options.version ?? 'no version'}`,
    tree,
  ])
  return stdout.trim()
}

export interface SysrootOptions {
  /** archive repo that holds `ref` */
  repo: string
  ref: string
  os: string
  /** make what it keeps a trial in: boot/grub/grubenv, or boot/loader/uEnv.txt */
  bootLoader?: 'grub' | 'uboot'
}

/** Make a rootless sysroot with `ref` deployed as its only deployment. */
export async function makeSysroot(folder: string, { repo, ref, os, bootLoader }: SysrootOptions): Promise<string> {
  const script = `set -eu
    mkdir -p "$1"
    ostree admin init-fs --modern "$1"
    ostree config --repo="$1/ostree/repo" set core.mode bare-user-only
    ostree config --repo="$1/ostree/repo" set sysroot.bootloader "$5"
    [ "$5" = none ] || { mkdir "$1/boot/loader.0"; ln -s loader.0 "$1/boot/loader"; : >"$1/boot/loader/uEnv.txt"; }
    ostree admin os-init --sysroot="$1" "$4"
    ostree pull-local --repo="$1/ostree/repo" "$2" "$3"
    shift 5
    exec "$@"`
  await run(
    rootless([
      ...['sh', '-c', script, 'sh', folder, repo, ref, os, bootLoader === 'uboot' ? 'uboot' : 'none'],
      ...['ostree', 'admin', 'deploy', `--sysroot=${folder}`, `--os=${os}`],
      ...KERNEL_ARGUMENTS.map(argument => `--karg=${argument}`),
      ref,
    ]),
    { env: rootlessEnv },
  )
  if (bootLoader === 'grub') {
    await mkdir(join(folder, 'boot/grub'), { recursive: true })
    await writeFile(join(folder, 'boot/grub/grubenv'), '# GRUB Environment Block\n'.padEnd(1024, '#'))
  }
  return folder
}
