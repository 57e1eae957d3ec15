/** Keys and signatures made on the build host; gpg 2.2 and later can import and check both. */
import {
  createMessage,
  decryptKey,
  config as defaults,
  generateKey,
  type PrivateKey,
  readPrivateKeys,
  sign,
} from 'openpgp'
import { Failure } from '../base/failure.ts'
import { armorSignature } from './armor.ts'
import { fingerprintOf } from './key.ts'

/** Without the random notation that openpgp adds: the same bytes signed at the same second give the same signature. */
const CONFIG = { ...defaults, nonDeterministicSignaturesViaNotation: false }

/**
 * A new Ed25519 key (of the kind that gpg 2.2 reads) that signs and does nothing else.
 * @param userId `Name <address>`, or either of them
 * @param passphrase protects the secret key; empty or none leaves it open
 * @returns both halves armored, and the fingerprint in upper-case hex
 * @throws Failure `bad-user-id`
 */
export async function makeKey(options: {
  userId: string
  passphrase?: string
  /** when the key begins to be valid; now, if not given */
  made?: Date
  /** seconds until it expires; never, if not given */
  life?: number
}): Promise<{ fingerprint: string; publicKey: string; secretKey: string }> {
  const bad = (cause?: unknown) => {
    const id = JSON.stringify(options.userId)
    return new Failure('bad-user-id', `cannot make a key for ${id}: write it as "Name <address>"`, { cause })
  }
  const [, name = '', email] = /^([^<>]*?)\s*(?:<([^<>\s]+@[^<>\s]+)>)?$/.exec(options.userId.trim()) ?? []
  if (name === '' && email === undefined) throw bad()
  const { privateKey, publicKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ ...(name && { name }), ...(email && { email }) }],
    passphrase: options.passphrase || undefined,
    date: options.made,
    keyExpirationTime: options.life ?? 0,
    subkeys: [],
    format: 'object',
    config: CONFIG,
  }).catch(cause => {
    throw bad(cause)
  })
  return { fingerprint: fingerprintOf(publicKey), publicKey: publicKey.armor(), secretKey: privateKey.armor() }
}

/**
 * A detached binary signature.
 * @param secretKey armored, with one key in it
 * @param made the time that it states; now, if not given
 * @returns the signer's primary fingerprint, and the armor in the form that a package wants
 * @throws Failure `bad-key` when the key cannot be read, opened or used
 */
export async function signBytes(
  bytes: Uint8Array,
  secretKey: string,
  passphrase?: string,
  made: Date = new Date(),
): Promise<{ fingerprint: string; armor: string; made: Date }> {
  const key = await openKey(secretKey, passphrase)
  try {
    const message = await createMessage({ binary: bytes })
    const signature = await sign({
      message,
      signingKeys: key,
      detached: true,
      format: 'binary',
      date: made,
      config: CONFIG,
    })
    const seconds = new Date(Math.floor(made.getTime() / 1000) * 1000)
    return { fingerprint: fingerprintOf(key), armor: armorSignature(signature as Uint8Array), made: seconds }
  } catch (error) {
    throw bad('it cannot sign', error)
  }
}

/**
 * The time that a signature must state for the same inputs to give the same bytes: as early as it may be, that is when
 * both the release and the key were there. Only a key that is valid now may sign.
 * @param notBefore the commit's timestamp
 * @throws Failure `bad-key`
 */
export async function signingTime(secretKey: string, passphrase: string | undefined, notBefore: Date): Promise<Date> {
  const key = await openKey(secretKey, passphrase)
  try {
    const signing = await key.getSigningKey()
    return new Date(Math.max(...[notBefore, key.getCreationTime(), signing.getCreationTime()].map(Number)))
  } catch (error) {
    throw bad('it is expired, revoked, or not made for signing', error)
  }
}

async function openKey(armored: string, passphrase: string | undefined): Promise<PrivateKey> {
  let keys: PrivateKey[]
  try {
    keys = await readPrivateKeys({ armoredKeys: armored })
  } catch (error) {
    throw bad('it is not an armored OpenPGP secret key', error)
  }
  const [key] = keys
  if (!key || keys.length !== 1) throw bad(`there are ${keys.length} keys in the file instead of one`)
  if (key.isDecrypted()) return key
  if (!passphrase) throw bad('it needs its passphrase')
  try {
    return await decryptKey({ privateKey: key, passphrase })
  } catch (error) {
    throw bad('the passphrase is wrong', error)
  }
}

const bad = (why: string, cause?: unknown) => new Failure('bad-key', `cannot use the secret key: ${why}`, { cause })
