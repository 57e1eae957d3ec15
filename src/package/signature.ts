/**
 * Whose signatures a package carries: detached binary OpenPGP signatures over the manifest's exact bytes. No clock takes
 * part: whether a key was valid is judged at the time that its signature states.
 */
import {
  createMessage,
  enums,
  type Key,
  LiteralDataPacket,
  type PublicKey,
  readSignature,
  SignaturePacket,
  type Subkey,
} from 'openpgp'
import { Failure } from '../base/failure.ts'
import { armorSignature, unarmorSignature } from './armor.ts'
import { isBinary, textOf } from './encoding.ts'
import { type Named, namedBy } from './form.ts'
import { CONFIG, fingerprintOf, NO_CLOCK } from './key.ts'
import type { Keyring } from './keyring.ts'
import { LIMITS } from './limits.ts'
import { ISSUER } from './subpackets.ts'
import { distinct, endOfLife, isRevoked, isStrong, maySign, secretsOf } from './validity.ts'

export { fingerprints, type Keyring, loadKeys, watchedKeys } from './keyring.ts'
export { makeKey, signBytes, signingTime } from './sign.ts'

export interface Signer {
  /** of the primary key, upper-case hex */
  fingerprint: string
  userId: string
  /** when the signature says it was made */
  made: Date
}

export interface Rejected {
  /** entry name of the signature */
  file: string
  code: 'tampered' | 'too-large' | 'unknown-signer' | 'weak-signature' | 'revoked-key' | 'expired-key'
  why: string
}

type Good = Signer & { secrets: string[] }
type Outcome = Good | Omit<Rejected, 'file'>

const HASHES: readonly (number | null)[] = [enums.hash.sha256, enums.hash.sha384, enums.hash.sha512]
const reject = (code: Rejected['code'], why: string) => ({ code, why })

/**
 * Check every signature file against the keyring.
 * @param armors entry names `signatures/<PRIMARY FINGERPRINT>.asc` and their bytes
 * @returns the signers, and what is wrong with all other files. What one secret signed counts once, however many keys it is in;
 *   the newest signature is named
 */
export async function verifySignatures(
  manifest: Uint8Array,
  armors: readonly { name: string; armor: Uint8Array }[],
  keyring: Keyring,
): Promise<{ signers: Signer[]; rejected: Rejected[] }> {
  const good: Good[] = []
  const rejected: Rejected[] = []
  for (const { name, armor } of armors) {
    const outcome = await judge(manifest, name, armor, keyring)
    if ('code' in outcome) rejected.push({ file: name, ...outcome })
    else good.push(outcome)
  }
  good.sort((a, b) => b.made.getTime() - a.made.getTime())
  const signers = distinct(good).map(({ fingerprint, userId, made }) => ({ fingerprint, userId, made }))
  return { signers, rejected }
}

async function judge(manifest: Uint8Array, name: string, armor: Uint8Array, keyring: Keyring): Promise<Outcome> {
  if (armor.length > LIMITS.signature)
    return reject('too-large', `the signature has more than ${LIMITS.signature} bytes`)
  const bytes = unarmorSignature(armor)
  const read = bytes && (await readPacket(bytes))
  if (!read) return reject('tampered', 'a signature file is not one armored OpenPGP signature')
  const issuers = issuersOf(read.named, keyring)
  if (issuers.length === 0) return unknown(read.named)
  const issuer = issuers.find(({ primary }) => name === `signatures/${fingerprintOf(primary)}.asc`)
  if (!issuer) return reject('tampered', 'a signature file is not named after the key that signed')
  return check(manifest, read.packet, issuer, keyring)
}

/** Exactly one signature packet, written as it would be written anew; undefined for anything else. */
async function readPacket(bytes: Buffer): Promise<{ packet: SignaturePacket; named: Named } | undefined> {
  const body = unframe(bytes)
  if (!body) return undefined
  try {
    const { packets } = await readSignature({ binarySignature: bytes, config: CONFIG })
    const [packet] = packets
    if (packets.length !== 1 || !(packet instanceof SignaturePacket)) return undefined
    const named = body.equals(packet.write()) ? namedBy(body) : undefined
    return named && { packet, named }
  } catch {
    return undefined
  }
}

/** A signature packet's body out of its header of definite length (RFC 4880, 4.2), when that is all there is. */
function unframe(bytes: Buffer): Buffer | undefined {
  const [tag = 0, first = 0, second = 0] = bytes
  let start = 0
  let length = 0
  if (tag === 0x88) [start, length] = [2, first]
  else if (tag === 0x89) [start, length] = [3, (first << 8) | second]
  else if (tag === 0xc2 && first < 192) [start, length] = [2, first]
  else if (tag === 0xc2 && first < 224) [start, length] = [3, ((first - 192) << 8) + second + 192]
  return start > 0 && start + length === bytes.length ? bytes.subarray(start) : undefined
}

const hex = (bytes: Uint8Array | undefined) =>
  Buffer.from(bytes ?? [])
    .toString('hex')
    .toUpperCase()

interface Issuer {
  primary: PublicKey
  key: Key | Subkey
}

const issuersOf = ({ id, fingerprint }: Named, keyring: Keyring): Issuer[] =>
  keyring.keys
    .flatMap(primary => [primary, ...primary.subkeys].map(key => ({ primary, key })))
    .filter(({ key }) => fingerprint === undefined || fingerprintOf(key) === hex(fingerprint))
    .filter(({ key }) => key.getKeyID().toHex().toUpperCase() === hex(id))

const unknown = ({ id }: Named) =>
  reject(
    'unknown-signer',
    id ? `it was signed with the key ${hex(id)}, which is not trusted here` : 'its signature names no key',
  )

/** Whether this key's signature over these bytes counts. */
async function check(
  bytes: Uint8Array,
  packet: SignaturePacket,
  { primary, key }: Issuer,
  keyring: Keyring,
): Promise<Outcome> {
  const fingerprint = fingerprintOf(primary)
  const who = `the key ${fingerprint}`
  if (packet.signatureType !== enums.signature.binary)
    return reject('weak-signature', `${who} made a signature that is not over the exact bytes (binary mode)`)
  if (!HASHES.includes(packet.hashAlgorithm))
    return reject('weak-signature', `${who} signed with a hash that is not SHA-256, SHA-384 or SHA-512`)
  if (isRevoked(primary, keyring) || isRevoked(key, keyring)) return reject('revoked-key', `${who} was revoked`)
  if (!isStrong(primary) || !isStrong(key)) return reject('weak-signature', `${who} is too weak`)
  try {
    const message = await createMessage({ binary: bytes })
    const literal = message.packets.find(part => part instanceof LiteralDataPacket)
    await packet.verify(key.keyPacket, enums.signature.binary, literal as object, NO_CLOCK, true, CONFIG)
  } catch {
    return reject('tampered', `the signature of ${who} is not for this manifest`)
  }
  const end = (await maySign(primary, key)) ? await endOfLife(primary, key) : undefined
  const user = await primary.getPrimaryUser(NO_CLOCK, undefined, CONFIG).catch(() => undefined)
  if (end === undefined || !user)
    return reject('unknown-signer', `${who} has no valid permission for the key that signed`)
  const made = packet.created ?? new Date(Number.NaN)
  const starts = [primary.getCreationTime(), key.getCreationTime()]
  if (!(starts.every(start => start <= made) && made.getTime() < end))
    return reject('expired-key', `${who} was not valid when it signed, ${made.toISOString()}`)
  return { fingerprint, userId: user.user.userID?.userID ?? '', made, secrets: secretsOf(primary, key) }
}

/**
 * Take in a detached signature that was made elsewhere: armored or binary, as any OpenPGP program writes it.
 * @returns whose it is, and its armor in the form that a package wants
 * @throws Failure with the code of Rejected when it is not a good signature over `bytes` by a key of the keyring
 */
export async function signerOf(
  bytes: Uint8Array,
  signature: Uint8Array,
  keyring: Keyring,
): Promise<{ fingerprint: string; armor: string; made: Date; userId: string }> {
  const packet = plain(await readAny(signature))
  const body = Buffer.from(packet.write())
  const named = namedBy(body)
  if (!named) throw new Failure('tampered', 'cannot use the signature: packages have no signatures of this form')
  let outcome: Outcome = unknown(named)
  for (const issuer of issuersOf(named, keyring)) {
    outcome = await check(bytes, packet, issuer, keyring)
    if ('code' in outcome) continue
    const { fingerprint, made, userId } = outcome
    const framed = Buffer.concat([Buffer.from([0x89, body.length >> 8, body.length & 0xff]), body])
    return { fingerprint, made, userId, armor: armorSignature(framed) }
  }
  throw new Failure((outcome as Rejected).code, `cannot use the signature: ${(outcome as Rejected).why}`)
}

async function readAny(signature: Uint8Array): Promise<SignaturePacket> {
  const bad = (why: string, cause?: unknown) => new Failure('tampered', `cannot use the signature: ${why}`, { cause })
  if (signature.length > 4 * LIMITS.signature) throw bad('it is too long for one')
  const isArmored = !isBinary(signature)
  const text = textOf(signature)
  if (isArmored && text.split('-----BEGIN').length !== 2) throw bad('it is not exactly one armored block')
  try {
    const { packets } = isArmored
      ? await readSignature({ armoredSignature: text, config: CONFIG })
      : await readSignature({ binarySignature: signature, config: CONFIG })
    const [packet] = packets
    if (packets.length === 1 && packet instanceof SignaturePacket) return packet
  } catch (error) {
    throw bad('it is not a detached OpenPGP signature', error)
  }
  throw bad('it is not exactly one signature')
}

/** Without the unsigned remarks that some programs add, but for the issuer. */
function plain(packet: SignaturePacket): SignaturePacket {
  const issuer = { type: ISSUER, critical: false, body: Buffer.from(packet.issuerKeyID.toHex(), 'hex') }
  packet.unhashedSubpackets = packet.version === 4 && issuer.body.length > 0 ? [issuer] : []
  return packet
}
