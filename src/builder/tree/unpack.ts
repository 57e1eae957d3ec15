/** A private copy of a sysroot, whatever it comes in, with owners, modes, hard links and extended attributes as they are. */
import { chmod, chown, mkdir, open, realpath, rm, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { errno, Failure } from '../../base/failure.ts'
import { run } from '../../base/run.ts'
import { explainDisk, needPrograms } from '../disk.ts'
import type { Work } from '../work.ts'

type Form = 'folder' | 'tar' | 'disk' | 'filesystem'

/** Where each file system has its mark. */
const FILESYSTEMS = [
  ['ext4', 0x438, '53ef'],
  ['squashfs', 0, '68737173'],
  ['erofs', 0x400, 'e2e1f5e0'],
  ['btrfs', 0x10040, '5f42485266535f4d'],
  ['xfs', 0, '58465342'],
] as const

const PACKED = { '1f8b': '--gzip', '28b52ffd': '--zstd', fd377a585a00: '--xz', '425a68': '--bzip2' } as const

/** @throws Failure `bad-value` when `folder` is in the sysroot, which is only read and would be copied into itself */
export async function refuseInside(input: string, folder: string): Promise<void> {
  const [from, to] = await Promise.all([realpath(input).catch(() => ''), realpath(folder).catch(() => '')])
  if (from === '' || to === '' || relative(from, to) === '..' || relative(from, to).startsWith('../')) return
  throw new Failure('bad-value', `cannot write in ${folder}: it is in the sysroot itself; write elsewhere with --out`)
}

/**
 * Copy the sysroot at `input` (folder; tar, also compressed; image of a disk or of a file system) to the new folder `to`.
 * @throws Failure `not-root`, `bad-sysroot`, `no-space`, `no-folder`, `command-missing`
 */
export async function unpack(input: string, to: string, work: Work): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Failure(
      'not-root',
      `cannot convert ${input}: only root can keep the owners, capabilities and devices of its files; run it with sudo`,
    )
  const { form, how } = await formOf(input)
  process.umask(0o022) // what is made in a tree has the modes of a system, not those of whoever makes it
  await mkdir(to, { mode: 0o755 }).catch(error => {
    throw explainDisk(error, to)
  })
  await work.progress(`reading ${input}`, async () => {
    try {
      if (form === 'folder') await copyFolder(input, to, work.signal)
      else if (form === 'tar') await extract(input, how, to, work.signal)
      else await copyImage(input, form, to, work.signal)
    } catch (error) {
      work.signal.throwIfAborted()
      throw explainDisk(error, to)
    }
  })
  // An archive need not have its root, and a scratch folder's mode is no one's wish.
  await chown(to, 0, 0)
  await chmod(to, 0o755)
  await rm(join(to, 'lost+found'), { recursive: true, force: true })
}

const bad = (input: string, why: string, cause?: unknown) =>
  new Failure('bad-sysroot', `cannot use ${input}: ${why}`, { cause })

/** By its content: names lie. */
async function formOf(input: string): Promise<{ form: Form; how: string[] }> {
  const status = await stat(input).catch(error => {
    const why = errno(error) === 'ENOENT' ? 'there is no such file or folder' : (errno(error) ?? String(error))
    throw bad(input, why, error)
  })
  if (status.isDirectory()) return { form: 'folder', how: [] }
  if (!status.isFile()) throw bad(input, 'it is neither a file nor a folder')
  const file = await open(input)
  try {
    const start = Buffer.alloc(0x10100)
    await file.read(start, 0, start.length, 0)
    const at = (offset: number, length: number) => start.subarray(offset, offset + length).toString('hex')
    for (const [mark, option] of Object.entries(PACKED))
      if (at(0, mark.length / 2) === mark) return { form: 'tar', how: [option] }
    if (start.toString('latin1', 257, 262) === 'ustar') return { form: 'tar', how: [] }
    for (const [, offset, mark] of FILESYSTEMS)
      if (at(offset, mark.length / 2) === mark) return { form: 'filesystem', how: [] }
    if (at(510, 2) === '55aa') return { form: 'disk', how: [] }
  } finally {
    await file.close()
  }
  throw bad(input, 'it is neither a folder, nor a tar archive, nor the image of a disk or file system')
}

async function copyFolder(from: string, to: string, signal: AbortSignal): Promise<void> {
  if (!(await stat(join(from, 'usr')).catch(() => undefined))) throw bad(from, 'there is no usr in it')
  await run(['cp', '-a', '--one-file-system', '--reflink=auto', '--', `${from}/.`, to], { signal })
}

async function extract(file: string, how: readonly string[], to: string, signal: AbortSignal): Promise<void> {
  const keep = ['--same-permissions', '--same-owner', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls']
  try {
    await run(['tar', '--extract', ...how, ...keep, `--file=${file}`, `--directory=${to}`], { signal })
  } catch (error) {
    const text = error instanceof Error ? error.message : ''
    const why = [
      [/not look like a tar archive/, 'it is compressed, but no tar archive'],
      [/Unexpected EOF|unexpected end of file|premature end|truncated/i, 'the archive is cut short'],
    ] as const
    const found = why.find(([said]) => said.test(text))?.[1]
    throw found ? bad(file, found, error) : error
  }
}

/**
 * The image is mounted read-only in a mount and process namespace of its own: whatever ends this, the kernel takes the mount
 * and the loop device away. Arguments: image, mount point, target, then OFFSET:SIZE of each place to look at.
 */
const COPY = `set -u
image=$1 mount=$2 to=$3
shift 3
at() { mount -o "loop,ro,offset=\${1%:*}\${2:+,sizelimit=\${1#*:}}" "$image" "$mount"; }
found=
for one; do
  at "$one" "\${one#0:}" 2>"$mount.said" || { cat "$mount.said" >&2; continue; }
  [ -d "$mount/usr" ] && { [ -d "$mount/etc" ] || [ -d "$mount/usr/etc" ]; } && found="$found $one"
  umount "$mount"
done
set -- $found
[ $# = 1 ] || { echo "sysroots found: $#" >&2; exit 9; }
at "$1" "\${1#0:}" && cp -a --one-file-system -- "$mount/." "$to"`

async function copyImage(image: string, form: Form, to: string, signal: AbortSignal): Promise<void> {
  const places = form === 'disk' ? await partitions(image) : ['0:']
  const mount = `${to}.mount`
  await mkdir(mount)
  try {
    await run(['unshare', '-mpf', '--kill-child', 'sh', '-c', COPY, 'sh', image, mount, to, ...places], { signal })
  } catch (error) {
    const text = error instanceof Error ? error.message : ''
    if (/loop device/.test(text))
      throw bad(image, 'this computer has no loop device to mount it with; give it as a folder or tar archive', error)
    if (/sysroots found: 0/.test(text))
      throw bad(image, `no file system with a sysroot could be mounted: ${text}`, error)
    const several = /sysroots found: (\d+)/.exec(text)?.[1]
    if (several) throw bad(image, `it has ${several} file systems with a sysroot; give one of them`, error)
    throw error
  } finally {
    await rm(mount, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    await rm(`${mount}.said`, { force: true })
  }
}

async function partitions(image: string): Promise<string[]> {
  await needPrograms(`read ${image}`, ['sfdisk'])
  const { stdout } = await run(['sfdisk', '--json', image]).catch(error => {
    throw bad(image, 'its partition table cannot be read', error)
  })
  const table = JSON.parse(stdout).partitiontable as {
    sectorsize?: number
    partitions?: { start: number; size: number }[]
  }
  const sector = table.sectorsize ?? 512
  return (table.partitions ?? []).map(({ start, size }) => `${start * sector}:${size * sector}`)
}
