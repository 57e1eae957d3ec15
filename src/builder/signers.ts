/** The keys named on the command line, made ready before long work begins, and asked when there is a manifest to sign. */
import { readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { errno, Failure } from '../base/failure.ts'
import { textOf } from '../package/encoding.ts'
import { signBytes, signingTime } from '../package/signature.ts'
import { checkGpgKey, gpgSign } from './gpg.ts'
import { readPassphrase } from './keygen.ts'
import type { Work } from './work.ts'

export interface SignerOptions {
  /** secret key files */
  signKey?: string[]
  /** one for each key file in the same order, or one for all */
  passphraseFile?: string[]
  /** names that gpg knows keys by */
  gpgSign?: string[]
  gpgHomedir?: string
}

export interface Signature {
  fingerprint: string
  armor: string
}

/**
 * Check that each key can be used. The returned function signs with all of them.
 * @throws Failure `bad-key`, `bad-passphrase`, `no-secret-key`; the returned function also `early-signature`
 */
export async function prepareSigners(
  options: SignerOptions,
  work: Work,
): Promise<(manifest: Buffer, timestamp: string) => Promise<Signature[]>> {
  const keys = await Promise.all(
    (options.signKey ?? []).map((file, at) => readKey(file, options.passphraseFile ?? [], at)),
  )
  for (const key of options.gpgSign ?? []) await checkGpgKey(key, options.gpgHomedir)
  return async (manifest, timestamp) => {
    const made = []
    for (const { secret, passphrase } of keys) {
      const time = await signingTime(secret, passphrase, new Date(timestamp))
      made.push(await signBytes(manifest, secret, passphrase, time))
    }
    if (options.gpgSign) await untilThen(timestamp)
    for (const key of options.gpgSign ?? []) made.push(await gpgSign(manifest, key, options.gpgHomedir, work.signal))
    for (const signature of made) refuseEarly(signature.made, timestamp)
    return made
  }
}

/** Milliseconds that are waited for at most. */
const SOON = 5000

/** gpg signs with the time of day, and a release that follows another within a second is dated a second ahead. */
async function untilThen(timestamp: string): Promise<void> {
  const ahead = Date.parse(timestamp) - Date.now()
  if (ahead > 0 && ahead <= SOON) await setTimeout(ahead)
}

/** A device refuses a signature that claims to be older than what it signs. @throws Failure `early-signature` */
export function refuseEarly(made: Date, timestamp: string): void {
  if (made.getTime() < Date.parse(timestamp))
    throw new Failure(
      'early-signature',
      `cannot sign: the release is of ${timestamp}, later than the signature's time ${made.toISOString()}; devices would refuse it. Set the clock, or commit with an earlier --timestamp`,
    )
}

async function readKey(file: string, passphraseFiles: readonly string[], at: number) {
  const passphrase = await readPassphrase(passphraseFiles.length === 1 ? passphraseFiles[0] : passphraseFiles[at])
  let secret: string
  try {
    secret = textOf(await readFile(file))
  } catch (error) {
    throw new Failure('bad-key', `cannot read the key ${file}: ${errno(error) ?? String(error)}`, { cause: error })
  }
  try {
    await signingTime(secret, passphrase, new Date(0))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure(error.code, `${error.message} (${file})`, { cause: error })
  }
  return { secret, passphrase }
}
