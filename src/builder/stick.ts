/** `stick`: put packages on a stick in a way that can be relied on: copied, flushed, read back from the medium and verified. */
import { open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { syncFolder } from '../base/files.ts'
import { run } from '../base/run.ts'
import { bytes, safe } from '../base/text.ts'
import { type Manifest, parseManifest } from '../package/manifest.ts'
import { openFile, readHead, readIndex, type Source, verifyWhole } from '../package/read.ts'
import { type Keyring, loadKeys, verifySignatures } from '../package/signature.ts'
import { format, isBlockDevice, mounted, sayNoMedium } from './medium.ts'
import type { OnProgress } from './progress.ts'
import { type Work, withScratch } from './work.ts'

export interface StickOptions {
  /** a mounted folder, or a block device */
  target: string
  packages: string[]
  /** public key files or folders, to check the signatures as a device would */
  key?: string[]
  /** make this filesystem first; everything on the device is lost */
  format?: 'vfat' | 'exfat' | 'ext4'
  /** the device's name typed once more, without which nothing is formatted */
  erase?: string
}

export interface OnStick {
  file: string
  size: number
  id: string
  manifest: Manifest
  /** signers that the given keys know; absent when no keys were given */
  signers?: string[]
  signatures: number
}

export interface StickResult {
  target: string
  filesystem: string
  /** what was put there, verified from the stick */
  written: OnStick[]
  /** packages that were there before */
  others: OnStick[]
}

/** FAT32 counts a file's bytes in 32 bits. */
export const largestFile = (filesystem: string) =>
  /^(vfat|msdos|fuse\.fusefat|fusefat)$/.test(filesystem) ? 2 ** 32 - 1 : Number.POSITIVE_INFINITY

const COPY = 1024 * 1024

/**
 * @throws Failure of the package reader for a file that is no whole package, `bad-key`, `too-large`, `no-space`, `not-a-stick`,
 *   `erase`, `bad-stick` when the stick does not give back what was written
 */
export async function stick(options: StickOptions, work: Work): Promise<StickResult> {
  const keyring = await keysOf(options.key)
  const sources = await Promise.all(options.packages.map(path => inspect(path, keyring)))
  const isDevice = await isBlockDevice(options.target)
  if (options.format !== undefined) await format(options, isDevice, work)
  const put = (folder: string) => fill(folder, options, sources, keyring, work)
  if (!isDevice) return put(options.target)
  return withScratch('/tmp', async folder => {
    await run(['mount', '-o', 'nosuid,nodev,noexec', options.target, folder])
    try {
      return await put(folder)
    } finally {
      await run(['umount', folder])
    }
  })
}

async function fill(
  folder: string,
  options: StickOptions,
  sources: OnStick[],
  keyring: Keyring | undefined,
  work: Work,
): Promise<StickResult> {
  const filesystem = await mounted('FSTYPE', folder)
  await sayNoMedium(folder, filesystem, work)
  await refuseWhatCannotFit(folder, filesystem, sources)
  const written: OnStick[] = []
  for (const source of sources) {
    const name = basename(source.file)
    const from = source.file
    await work.progress(`Writing ${name}`, on => copy(from, join(folder, name), source.size, on, work.signal))
    const back = await work.progress(`Reading ${name} back`, on =>
      readBack(join(folder, name), keyring, on, work.signal),
    )
    if (back.id !== source.id || back.size !== source.size)
      throw new Failure('bad-stick', `cannot rely on the stick: ${name} is another file there; use another stick`)
    written.push(back)
  }
  const names = new Set(written.map(one => basename(one.file)))
  const others: OnStick[] = []
  for (const name of await readdir(folder))
    if (name.endsWith('.superblock') && !name.startsWith('.') && !names.has(name))
      others.push(
        ...(await inspect(join(folder, name), keyring).then(
          found => [found],
          () => [],
        )),
      )
  return { target: options.target, filesystem, written, others }
}

async function keysOf(paths: string[] | undefined): Promise<Keyring | undefined> {
  if (paths === undefined) return undefined
  const keyring = await loadKeys(paths)
  if (keyring.keys.length === 0)
    throw new Failure('bad-key', keyring.problems[0] ?? `cannot use ${paths.join(', ')}: there is no public key there`)
  return keyring
}

/** The head and index of a package; its members are checked once it is on the stick. */
async function inspect(path: string, keyring: Keyring | undefined): Promise<OnStick> {
  const source = await openFile(path)
  try {
    return (await readChecked(path, source, keyring)).found
  } finally {
    await source.close()
  }
}

async function readChecked(path: string, source: Source, keyring: Keyring | undefined) {
  const head = await readHead(source)
  const checked = keyring && (await verifySignatures(head.manifest, head.signatures, keyring))
  if (checked && checked.signers.length === 0)
    throw new Failure('unsigned', `cannot use ${path}: ${checked.rejected[0]?.why ?? 'it carries no signature'}`)
  const manifest = parseManifest(head.manifest)
  const members = await readIndex(source, head, manifest)
  const found: OnStick = {
    file: path,
    size: source.size,
    id: head.id,
    manifest,
    ...(checked && { signers: checked.signers.map(signer => signer.fingerprint) }),
    signatures: head.signatures.length,
  }
  return { found, members }
}

/** Everything once more, from the medium itself: what the kernel still has in memory is dropped first. */
async function readBack(
  path: string,
  keyring: Keyring | undefined,
  on: OnProgress,
  signal: AbortSignal,
): Promise<OnStick> {
  // dd(1): with count=0, nocache drops what is cached of the file, which needs no root.
  await run(['dd', `of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'])
  const source = await openFile(path)
  try {
    const { found, members } = await readChecked(path, source, keyring)
    let done = 0
    await verifyWhole(source, members, count => {
      signal.throwIfAborted()
      done += count
      on(done, source.size)
    })
    return found
  } catch (error) {
    if (signal.aborted) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure('bad-stick', `cannot rely on the stick: it does not give back what was written (${why})`, {
      cause: error,
    })
  } finally {
    await source.close()
  }
}

/** Under another name first, so that a device never sees half of it. */
async function copy(from: string, to: string, size: number, on: OnProgress, signal: AbortSignal): Promise<void> {
  const part = `${to}.part`
  const source = await openFile(from)
  try {
    const target = await open(part, 'w', 0o644)
    try {
      for (let at = 0; at < size; at += COPY) {
        signal.throwIfAborted()
        await target.writeFile(await source.read(at, Math.min(COPY, size - at)))
        on(Math.min(size, at + COPY), size)
      }
      await target.sync()
    } finally {
      await target.close()
    }
    await rename(part, to)
    await syncFolder(join(to, '..'))
  } catch (error) {
    await unlink(part).catch(() => {})
    if (errno(error) === 'ENOSPC')
      throw new Failure('no-space', `cannot write ${to}: the stick is full`, { cause: error })
    if (errno(error) === 'EROFS')
      throw new Failure('not-a-stick', `cannot write ${to}: it is mounted read-only`, { cause: error })
    throw error
  } finally {
    await source.close()
  }
}

async function refuseWhatCannotFit(folder: string, filesystem: string, sources: OnStick[]): Promise<void> {
  for (const { file, size } of sources)
    if (size > largestFile(filesystem))
      throw new Failure(
        'too-large',
        `cannot put ${file} on FAT32: it has ${bytes(size)}, and files there end at 4 GiB; format the stick as exFAT: superblock-builder stick DEVICE PACKAGE --format exfat`,
      )
  const { bavail, bsize } = await statfs(folder)
  let need = 0
  for (const { file, size } of sources) {
    const there = await stat(join(folder, basename(file))).catch(() => undefined)
    need += size - (there?.size ?? 0)
  }
  if (need > bavail * bsize)
    throw new Failure('no-space', `cannot use the stick: ${bytes(need)} are needed, ${bytes(bavail * bsize)} are free`)
}

/** For people: what was done, and what each kind of device will do with the stick. */
export function stickText({ target, written, others }: StickResult): string {
  const done = written.map(({ file, size, signatures, signers }) => {
    const trust = signers ? `signed by ${signers.join(', ')}` : `${signatures} signatures, unchecked (check with --key)`
    return `${basename(file)}: ${bytes(size)} written to ${target}, read back and verified; ${trust}`
  })
  return [...done, '', 'What devices will do with this stick:', ...prospects([...written, ...others])].join('\n')
}

/** One entry for each product, system and ref: a device is of one of these, and takes the newest. */
function prospects(all: readonly OnStick[]): string[] {
  const kinds = new Map<string, OnStick[]>()
  for (const one of all)
    for (const product of one.manifest.compatible) {
      const kind = `${safe(product)} (system ${one.manifest.os}, ref ${one.manifest.ref})`
      kinds.set(kind, [...(kinds.get(kind) ?? []), one])
    }
  return [...kinds]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([kind, packages]) => {
      const sorted = packages.sort((a, b) => Date.parse(b.manifest.timestamp) - Date.parse(a.manifest.timestamp))
      const [newest, ...older] = sorted.filter(one => one.signatures > 0)
      const unsigned = sorted.filter(one => one.signatures === 0).map(one => one.manifest.version)
      const refused = unsigned.length > 0 ? [`    refuses ${unsigned.join(', ')}: not signed`] : []
      if (!newest) return [`  ${kind}:`, ...refused]
      const { version, timestamp, epoch } = newest.manifest
      return [
        `  ${kind}:`,
        `    offers ${version}, unless it has that or one made after ${timestamp}, or a security floor above ${epoch}`,
        ...(older.length > 0 ? [`    lists ${older.map(one => one.manifest.version).join(', ')} beside it`] : []),
        ...refused,
      ]
    })
}
