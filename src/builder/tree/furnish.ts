/** What a converted sysroot gets from this product and from its maker: boot files, keys, remotes, kernel arguments. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, copyFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { errno, Failure } from '../../base/failure.ts'
import { findShared } from '../../base/program.ts'
import { isKeyName, loadKeys } from '../../package/keyring.ts'
import { uEnvOf } from '../uboot.ts'
import { KARGS } from './check.ts'
import { inside, newPath, walk } from './inside.ts'

export interface Furnishings {
  /** public key files, for /usr/lib/superblock/keys */
  trustedKey?: string[]
  /** keyring for commits pulled over a network, for /usr/share/ostree/trusted.gpg.d */
  gpgTrustedKeyring?: string
  /** an OSTree remote of this address, for updates over a network */
  remoteUrl?: string
  tlsCaPath?: string
  tlsClientCertPath?: string
  tlsClientKeyPath?: string
  /** replaces ours */
  grub2CfgGenerator?: string
  ubootEnvFile?: string
  kernelArgs?: string
  /** takes the place of the sysroot's */
  initramfs?: string
}

/** Name of the remote that `remoteUrl` makes. */
export const REMOTE = 'updates'
/** What mounts the partitions of an image beside the root file system. */
export const MOUNTS = 'usr/lib/systemd/system-generators/superblock-mounts'

/**
 * What is wrong with the given files, said before a large sysroot is copied.
 * @throws Failure `usage`, `bad-value`, `bad-key`
 */
export async function checkGiven(options: Furnishings): Promise<void> {
  const { initramfs, gpgTrustedKeyring, grub2CfgGenerator, tlsCaPath, tlsClientCertPath, tlsClientKeyPath } = options
  const tls = [tlsCaPath, tlsClientCertPath, tlsClientKeyPath]
  if (options.remoteUrl === undefined && tls.some(file => file !== undefined))
    throw new Failure(
      'usage',
      'cannot tell what to do: the --tls options belong to a remote; name it with --remote-url',
    )
  for (const path of [initramfs, gpgTrustedKeyring, grub2CfgGenerator, ...tls]) {
    if (path === undefined) continue
    const bad = (why: string, cause?: unknown) => new Failure('bad-value', `cannot read ${path}: ${why}`, { cause })
    const status = await stat(path).catch(error => {
      throw bad(errno(error) === 'ENOENT' ? 'there is no such file' : (errno(error) ?? String(error)), error)
    })
    if (!status.isFile()) throw bad('it is no file')
  }
  for (const file of options.trustedKey ?? []) await keyName(file)
  if (options.ubootEnvFile !== undefined) await uEnvOf(options.ubootEnvFile)
}

/** @throws Failure `bad-value`, `bad-key` */
export async function furnish(tree: string, options: Furnishings): Promise<void> {
  const put = (from: string, path: string, mode = 0o644) => place(tree, path, mode, to => copyFile(from, to))
  const write = (path: string, text: string) => place(tree, path, 0o644, to => writeFile(to, text))
  const ours = await findShared('boot/grub/grub-mkconfig')
  const shared = dirname(dirname(ours))
  // Where libostree looks for it, by either name, and where GRUB's own may be.
  await put(options.grub2CfgGenerator ?? ours, 'usr/sbin/grub-mkconfig', 0o755)
  await place(tree, 'usr/sbin/grub2-mkconfig', undefined, to => symlink('grub-mkconfig', to))
  await put(join(shared, 'tmpfiles/superblock-sysroot.conf'), 'usr/lib/tmpfiles.d/superblock-sysroot.conf')
  await put(join(shared, 'repart/50-superblock-root.conf'), 'usr/lib/repart.d/50-superblock-root.conf')
  await put(join(shared, 'system/50-superblock.conf'), 'usr/lib/systemd/system.conf.d/50-superblock.conf')
  await put(join(shared, 'generators/superblock-mounts'), MOUNTS, 0o755)
  if ((await readlink(join(tree, 'tmp')).catch(() => '')) !== '')
    await write('usr/lib/tmpfiles.d/superblock-tmp.conf', 'd /sysroot/tmp 1777 root root 10d\n')
  for (const file of options.trustedKey ?? []) await put(file, `usr/lib/superblock/keys/${await keyName(file)}`)
  if (options.gpgTrustedKeyring) {
    const name = `${basename(options.gpgTrustedKeyring, extname(options.gpgTrustedKeyring))}.gpg`
    await put(options.gpgTrustedKeyring, `usr/share/ostree/trusted.gpg.d/${name}`)
  }
  await addRemote(options, put, write)
  if (options.kernelArgs !== undefined) await write(KARGS, `${options.kernelArgs.trim().replace(/\s+/g, ' ')}\n`)
  const own = options.ubootEnvFile === undefined ? '' : await uEnvOf(options.ubootEnvFile)
  await rm(await inside(tree, 'usr/lib/ostree-boot/uEnv.txt'), { force: true, recursive: true })
  // U-Boot tells releases apart by this; the same tree has the same.
  await write('usr/lib/ostree-boot/uEnv.txt', `${own}release_id=${(await digest(tree)).slice(0, 32)}\n`)
}

/** Make a file or link of the tree in place of what is there. */
async function place(tree: string, path: string, mode: number | undefined, make: (to: string) => Promise<void>) {
  const to = await newPath(tree, path)
  await make(to)
  if (mode !== undefined) await chmod(to, mode)
}

/** The name under which a device takes a file for a key, or for a revocation of one. @throws Failure `bad-key` */
async function keyName(file: string): Promise<string> {
  if (!(await stat(file).catch(() => undefined))?.isFile())
    throw new Failure('bad-key', `cannot use ${file}: there is no such file`)
  const { problems } = await loadKeys([file])
  if (problems[0] !== undefined) throw new Failure('bad-key', problems[0])
  return isKeyName(basename(file)) ? basename(file) : `${basename(file)}.asc`
}

async function addRemote(
  options: Furnishings,
  put: (from: string, path: string, mode?: number) => Promise<void>,
  write: (path: string, text: string) => Promise<void>,
): Promise<void> {
  const files = [
    ['tls-ca-path', options.tlsCaPath, 'ca.pem', 0o644],
    ['tls-client-cert-path', options.tlsClientCertPath, 'client.pem', 0o644],
    ['tls-client-key-path', options.tlsClientKeyPath, 'client.key', 0o600],
  ] as const
  if (options.remoteUrl === undefined) return
  const lines = [
    `[remote "${REMOTE}"]`,
    `url=${options.remoteUrl}`,
    `gpg-verify=${options.gpgTrustedKeyring !== undefined}`,
  ]
  for (const [key, file, name, mode] of files) {
    if (file === undefined) continue
    await put(file, `usr/etc/ostree/tls/${name}`, mode)
    lines.push(`${key}=/etc/ostree/tls/${name}`)
  }
  await write(`usr/etc/ostree/remotes.d/${REMOTE}.conf`, `${lines.join('\n')}\n`)
}

/** A digest of all contents, names, modes and owners of a tree. */
async function digest(tree: string): Promise<string> {
  const all = createHash('sha256')
  for await (const { path, stats } of walk(tree)) {
    all.update(`${path}\0${stats.mode}\0${stats.uid}\0${stats.gid}\0`)
    if (stats.isSymbolicLink()) all.update(await readlink(join(tree, path)))
    else if (stats.isFile()) for await (const chunk of createReadStream(join(tree, path))) all.update(chunk as Buffer)
  }
  return all.digest('hex')
}
