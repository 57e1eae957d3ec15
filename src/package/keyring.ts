/** The public keys that a device trusts, from its key folders. What cannot be used is reported, and never trusted. */
import { constants } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Key, type PublicKey, readKeys } from 'openpgp'
import { errno } from '../base/failure.ts'

export interface Keyring {
  keys: PublicKey[]
  /** how many key files there were, usable or not */
  files: number
  /** sentences about files that cannot be used */
  problems: string[]
}

const FILE_LIMIT = 1024 * 1024
const KEY_LIMIT = 256
const BLOCK = /-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?-----END PGP PUBLIC KEY BLOCK-----/g

/** openpgp's way of saying: at no particular time. Nothing in trust may depend on the device's clock. */
export const NO_CLOCK = null as unknown as Date

/** The primary key's, in upper-case hex. */
export const fingerprintOf = (key: Key): string => key.getFingerprint().toUpperCase()

/** The primary keys' fingerprints, in order. */
export const fingerprints = (keyring: Keyring): string[] => keyring.keys.map(fingerprintOf).sort()

/**
 * Load every `*.asc`, `*.pgp` and `*.gpg` of the folders, armored or binary, each with any number of keys. Copies of one
 * key are merged, so that a revocation in any copy counts. A folder that is not there holds no keys.
 * @param paths folders, later ones add; or single files
 */
export async function loadKeys(paths: readonly string[]): Promise<Keyring> {
  const found = new Map<string, PublicKey>()
  const problems: string[] = []
  let files = 0
  for (const path of paths)
    for (const file of await keyFiles(path, problems)) {
      files++
      try {
        for (const key of await keysOf(file)) {
          const fingerprint = fingerprintOf(key)
          const known = found.get(fingerprint)
          if (!known && found.size >= KEY_LIMIT) throw new Error(`there are more than ${KEY_LIMIT} keys`)
          found.set(fingerprint, known ? await known.update(key, NO_CLOCK) : key)
        }
      } catch (error) {
        problems.push(`cannot use the keys in ${file}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  return { keys: [...found.values()], files, problems }
}

async function keyFiles(path: string, problems: string[]): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path]
    const names = (await readdir(path)).filter(name => /\.(?:asc|pgp|gpg)$/.test(name) && !name.startsWith('.'))
    return names.sort().map(name => join(path, name))
  } catch (error) {
    if (errno(error) !== 'ENOENT' && errno(error) !== 'ENOTDIR')
      problems.push(`cannot look for keys in ${path}: ${error instanceof Error ? error.message : String(error)}`)
    return []
  }
}

async function keysOf(file: string): Promise<PublicKey[]> {
  const bytes = await readBounded(file)
  if (bytes.toString('latin1', 8, 12) === 'KBXf')
    throw new Error('it is a GnuPG keybox; export the keys with: gpg --export --armor')
  const keys = isBinary(bytes) ? await readKeys({ binaryKeys: bytes }) : await readArmored(bytes.toString('utf8'))
  if (keys.some(key => key.isPrivate()))
    throw new Error('it holds a secret key, which has no place on a device; put the public key there')
  return keys as PublicKey[]
}

const isBinary = (bytes: Buffer) => ((bytes[0] ?? 0) & 0x80) !== 0

/** openpgp reads the first armored block of a text and drops the others without a word, so each is given to it alone. */
async function readArmored(text: string): Promise<Key[]> {
  const blocks = text.match(BLOCK) ?? []
  const rest = text.replace(BLOCK, '')
  if (rest.includes('-----BEGIN PGP PRIVATE'))
    throw new Error('it holds a secret key, which has no place on a device; put the public key there')
  if (rest.includes('-----BEGIN')) throw new Error('it holds something else than whole public keys')
  if (blocks.length === 0) throw new Error('it holds no public key')
  const lists = await Promise.all(blocks.map(block => readKeys({ armoredKeys: block })))
  return lists.flat()
}

/** A link is followed (the folders belong to root); a pipe or device is not waited for. */
async function readBounded(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const status = await file.stat()
    if (!status.isFile()) throw new Error('it is not a file')
    if (status.size === 0) throw new Error('it is empty')
    if (status.size > FILE_LIMIT) throw new Error(`it has more than ${FILE_LIMIT} bytes`)
    const bytes = Buffer.alloc(status.size)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return bytes.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
