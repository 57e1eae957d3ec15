/** `keygen`: a new signing key as two files, the public one for devices and the secret one for the safe. */
import { mkdir, open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { textOf } from '../package/encoding.ts'
import { makeKey } from '../package/signature.ts'

export interface KeygenOptions {
  userId: string
  /** folder, made if it is not there */
  out: string
  passphraseFile?: string
}

export interface KeygenResult {
  fingerprint: string
  publicKey: string
  secretKey: string
}

/**
 * @returns the fingerprint, and the paths of the two files
 * @throws Failure `bad-user-id`, `exists`, `bad-passphrase`
 */
export async function keygen(options: KeygenOptions): Promise<KeygenResult> {
  const passphrase = await readPassphrase(options.passphraseFile)
  const key = await makeKey({ userId: options.userId, passphrase })
  const publicKey = join(options.out, `${key.fingerprint}.asc`)
  const secretKey = join(options.out, `${key.fingerprint}.key`)
  await mkdir(options.out, { recursive: true })
  await writeNew(secretKey, key.secretKey, 0o600)
  try {
    await writeNew(publicKey, key.publicKey, 0o644)
  } catch (error) {
    await unlink(secretKey)
    throw error
  }
  return { fingerprint: key.fingerprint, publicKey, secretKey }
}

export const keygenText = ({ fingerprint, publicKey, secretKey }: KeygenResult) => `Made the signing key ${fingerprint}.
Public: ${publicKey}
  Put it into the tree of every release, in /usr/lib/superblock/keys/, before you commit it:
  a device accepts only packages signed by a key that it has there (or in /etc/superblock/keys/).
Secret: ${secretKey}
  Keep it off devices and out of version control, with a copy in a safe place.
  Sign with: superblock-builder package … --sign-key ${secretKey}`

/** The first line of the file. @throws Failure `bad-passphrase` */
export async function readPassphrase(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const bad = (why: string, cause?: unknown) =>
    new Failure('bad-passphrase', `cannot read the passphrase from ${file}: ${why}`, { cause })
  let text: string
  try {
    text = textOf(await readFile(file))
  } catch (error) {
    throw bad(errno(error) ?? String(error), error)
  }
  const [line = ''] = text.split(/\r?\n/)
  if (line === '') throw bad('its first line is empty')
  return line
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch(error => {
    if (errno(error) === 'EEXIST') throw new Failure('exists', `cannot write ${path}: there is such a file already`)
    throw error
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}
