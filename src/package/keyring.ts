/** The public keys that a device trusts, from its key folders. What cannot be used is reported, and never trusted. */
import { constants } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { PublicKey } from 'openpgp'
import { errno } from '../base/failure.ts'
import { ANY_HASH, fingerprintOf, NO_CLOCK } from './key.ts'
import { readKeyFile } from './keyfile.ts'
import { applyRevocations, type Certificate } from './revocation.ts'

export interface Keyring {
  keys: PublicKey[]
  /** fingerprints of keys and subkeys that a revocation ended, beside those that carry theirs in themselves */
  revoked: ReadonlySet<string>
  /** how many key files there were, usable or not */
  files: number
  /** paths in the folders that are passed over: devices take a file for a key by the end of its name */
  passedOver: string[]
  /** sentences about files that cannot be used */
  problems: string[]
}

/** Bytes of a file of keys. */
export const KEY_FILE_LIMIT = 1024 * 1024
const KEY_LIMIT = 256

/** Whether a file of a key folder is looked at. */
export const isKeyName = (name: string): boolean => /^[^.].*\.(?:asc|pgp|gpg|rev)$/.test(name)

/** The primary keys' fingerprints, in order. */
export const fingerprints = (keyring: Keyring): string[] => keyring.keys.map(fingerprintOf).sort()

/**
 * Load every `*.asc`, `*.pgp`, `*.gpg` and `*.rev` of the folders, armored or binary, each with any number of keys and
 * revocations. Copies of one key are merged, so that a revocation in any copy counts, and so does one in any other file. A folder
 * that is not there holds no keys.
 * @param paths folders, later ones add; or single files
 */
export const loadKeys = async (paths: readonly string[]): Promise<Keyring> => (await load(paths)).keyring

/** @returns also whether all files could be read */
async function load(paths: readonly string[]): Promise<{ keyring: Keyring; whole: boolean }> {
  const { files, passedOver, problems } = await keyFiles(paths)
  let whole = problems.length === 0
  const contents = files.map(name => ({
    name,
    bytes: () =>
      readBounded(name).catch(error => {
        if (errno(error) !== undefined) whole = false
        throw error
      }),
  }))
  const keyring = await makeKeyring(contents)
  return { keyring: { ...keyring, passedOver, problems: [...problems, ...keyring.problems] }, whole }
}

/** The same from files that are somewhere else, as in a commit. @param files whose `bytes` throws where it cannot be read */
export async function makeKeyring(
  files: readonly { name: string; bytes: () => Promise<Buffer> }[],
): Promise<Omit<Keyring, 'passedOver'>> {
  const found = new Map<string, PublicKey>()
  const revoked = new Set<string>()
  const certificates: (Certificate & { file: string })[] = []
  const problems: string[] = []
  for (const { name, bytes } of files)
    try {
      const file = await readKeyFile(await bytes())
      for (const fingerprint of file.ended) revoked.add(fingerprint)
      if (file.ended.length > 0)
        problems.push(
          `cannot check a revocation in ${name}: it is of a kind that is not known here; ${file.ended.join(', ')} counts as revoked`,
        )
      certificates.push(...file.certificates.map(one => ({ ...one, file: name })))
      for (const key of file.keys) {
        const fingerprint = fingerprintOf(key)
        const known = found.get(fingerprint)
        if (!known && found.size >= KEY_LIMIT) throw new Error(`there are more than ${KEY_LIMIT} keys`)
        found.set(fingerprint, known ? await known.update(key, NO_CLOCK, ANY_HASH) : key)
      }
    } catch (error) {
      problems.push(`cannot use the keys in ${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  const keys = [...found.values()]
  const applied = await applyRevocations(certificates, keys)
  for (const fingerprint of applied.ended) revoked.add(fingerprint)
  return { keys, revoked, files: files.length, problems: [...problems, ...applied.problems] }
}

/**
 * The keyring of these folders, loaded anew only when a file of them was changed, added or taken away, or could not be read:
 * hundreds of keys take half a second, and each package that is looked at asks for them.
 * @returns a function to ask by, as often as one likes
 */
export function watchedKeys(paths: readonly string[]): () => Promise<Keyring> {
  let known: { state: string; loading: ReturnType<typeof load> } | undefined
  return async () => {
    const state = await stateOf(paths) // before they are read: a change meanwhile is noticed the next time
    if (known?.state !== state || !(await known.loading).whole) known = { state, loading: load(paths) }
    return (await known.loading).keyring
  }
}

/** What changes when anything about the files does; the kernel sets a file's ctime whatever is done to it. */
async function stateOf(paths: readonly string[]): Promise<string> {
  const { files, passedOver, problems } = await keyFiles(paths)
  const states = await Promise.all(
    files.map(async file => {
      const found = await stat(file, { bigint: true }).catch(error => errno(error) ?? String(error))
      if (typeof found === 'string') return `${file} ${found}`
      const { dev, ino, size, mtimeNs, ctimeNs } = found
      return [file, dev, ino, size, mtimeNs, ctimeNs].join(' ')
    }),
  )
  return JSON.stringify([states, passedOver, problems])
}

async function keyFiles(paths: readonly string[]) {
  const files: string[] = []
  const passedOver: string[] = []
  const problems: string[] = []
  for (const path of paths)
    try {
      if (!(await stat(path)).isDirectory()) files.push(path)
      else
        for (const name of (await readdir(path)).sort())
          if (!name.startsWith('.')) (isKeyName(name) ? files : passedOver).push(join(path, name))
    } catch (error) {
      if (errno(error) !== 'ENOENT' && errno(error) !== 'ENOTDIR')
        problems.push(`cannot look for keys in ${path}: ${error instanceof Error ? error.message : String(error)}`)
    }
  return { files, passedOver, problems }
}

/** A link is followed (the folders belong to root); a pipe or device is not waited for. */
async function readBounded(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const status = await file.stat()
    if (!status.isFile()) throw new Error('it is not a file')
    if (status.size === 0) throw new Error('it is empty')
    if (status.size > KEY_FILE_LIMIT) throw new Error(`it has more than ${KEY_FILE_LIMIT} bytes`)
    const bytes = Buffer.alloc(status.size)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return bytes.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
