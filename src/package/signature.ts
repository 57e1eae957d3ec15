/**
 * Whose signatures a package carries: detached binary OpenPGP signatures over the manifest's exact bytes. No clock takes
 * part: whether a key was valid is judged at the time that its signature states.
 */
import {
  type Config,
  createMessage,
  config as defaults,
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
import { fingerprintOf, type Keyring, NO_CLOCK } from './keyring.ts'
import { LIMITS } from './limits.ts'

export { fingerprints, type Keyring, loadKeys } from './keyring.ts'
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

type Outcome = Signer | Omit<Rejected, 'file'>

const CONFIG: Config = { ...defaults, minRSABits: 2048 }
const HASHES: readonly (number | null)[] = [enums.hash.sha256, enums.hash.sha384, enums.hash.sha512]
/** Signature subpacket `Issuer` (RFC 4880, 5.2.3.5): 8 bytes of key id. */
const ISSUER = 16
const reject = (code: Rejected['code'], why: string) => ({ code, why })

/**
 * Check every signature file against the keyring.
 * @param armors entry names `signatures/<PRIMARY FINGERPRINT>.asc` and their bytes
 * @returns the signers, each primary key once (its newest signature), and what is wrong with all other files
 */
export async function verifySignatures(
  manifest: Uint8Array,
  armors: readonly { name: string; armor: Uint8Array }[],
  keyring: Keyring,
): Promise<{ signers: Signer[]; rejected: Rejected[] }> {
  const signers = new Map<string, Signer>()
  const rejected: Rejected[] = []
  for (const { name, armor } of armors) {
    const outcome = await judge(manifest, name, armor, keyring)
    if ('code' in outcome) rejected.push({ file: name, ...outcome })
    else {
      const known = signers.get(outcome.fingerprint)
      if (!known || known.made < outcome.made) signers.set(outcome.fingerprint, outcome)
    }
  }
  return { signers: [...signers.values()], rejected }
}

async function judge(manifest: Uint8Array, name: string, armor: Uint8Array, keyring: Keyring): Promise<Outcome> {
  if (armor.length > LIMITS.signature)
    return reject('too-large', `the signature has more than ${LIMITS.signature} bytes`)
  const bytes = unarmorSignature(armor)
  const packet = bytes && (await readPacket(bytes))
  if (!packet || !isPlain(packet)) return reject('tampered', 'a signature file is not one armored OpenPGP signature')
  const issuers = issuersOf(packet, keyring)
  if (issuers.length === 0) return unknown(packet)
  const issuer = issuers.find(({ primary }) => name === `signatures/${fingerprintOf(primary)}.asc`)
  if (!issuer) return reject('tampered', 'a signature file is not named after the key that signed')
  return check(manifest, packet, issuer)
}

/** Exactly one signature packet, written as it would be written anew; undefined for anything else. */
async function readPacket(bytes: Buffer): Promise<SignaturePacket | undefined> {
  const body = unframe(bytes)
  if (!body) return undefined
  try {
    const { packets } = await readSignature({ binarySignature: bytes, config: CONFIG })
    const [packet] = packets
    if (packets.length !== 1 || !(packet instanceof SignaturePacket)) return undefined
    return body.equals(packet.write()) ? packet : undefined
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

/** Beside what is signed a packet may only repeat its issuer's id: every other byte of it is covered by the signature. */
const isPlain = (packet: SignaturePacket): boolean =>
  packet.unhashedSubpackets.every(
    ({ type, critical, body }) => type === ISSUER && !critical && hex(body) === packet.issuerKeyID.toHex(),
  )

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

interface Issuer {
  primary: PublicKey
  key: Key | Subkey
}

const issuersOf = (packet: SignaturePacket, keyring: Keyring): Issuer[] =>
  keyring.keys.flatMap(primary => primary.getKeys(packet.issuerKeyID).map(key => ({ primary, key })))

const unknown = (packet: SignaturePacket) =>
  reject(
    'unknown-signer',
    `it was signed with the key ${packet.issuerKeyID.toHex().toUpperCase()}, which is not trusted here`,
  )

/** Whether this key's signature over these bytes counts. */
async function check(bytes: Uint8Array, packet: SignaturePacket, { primary, key }: Issuer): Promise<Outcome> {
  const fingerprint = fingerprintOf(primary)
  const who = `the key ${fingerprint}`
  if (packet.signatureType !== enums.signature.binary)
    return reject('weak-signature', `${who} made a signature that is not over the exact bytes (binary mode)`)
  if (!HASHES.includes(packet.hashAlgorithm))
    return reject('weak-signature', `${who} signed with a hash that is not SHA-256, SHA-384 or SHA-512`)
  // A revocation of any kind, and one that nobody here can check, ends the use of a key: signatures can be back-dated.
  if (primary.revocationSignatures.length > 0 || key.revocationSignatures.length > 0)
    return reject('revoked-key', `${who} was revoked`)
  if (!isStrong(primary) || !isStrong(key)) return reject('weak-signature', `${who} is too weak`)
  try {
    const message = await createMessage({ binary: bytes })
    const literal = message.packets.find(part => part instanceof LiteralDataPacket)
    await packet.verify(key.keyPacket, enums.signature.binary, literal as object, NO_CLOCK, true, CONFIG)
  } catch {
    return reject('tampered', `the signature of ${who} is not for this manifest`)
  }
  try {
    // self-signature, binding, back-signature and the flag that allows signing
    await primary.getSigningKey(packet.issuerKeyID, null, undefined, CONFIG)
    const { userID } = (await primary.getPrimaryUser(NO_CLOCK, undefined, CONFIG)).user
    const made = packet.created ?? new Date(Number.NaN)
    if (!(await wasValid(primary, key, made)))
      return reject('expired-key', `${who} was not valid when it signed, ${made.toISOString()}`)
    return { fingerprint, userId: userID?.userID ?? '', made }
  } catch {
    return reject('unknown-signer', `${who} has no valid permission for the key that signed`)
  }
}

/** Of the other curves one is weak for this, and openpgp cannot check the rest with what Node brings. */
const NIST = ['nistP256', 'nistP384', 'nistP521']

function isStrong(key: Key | Subkey): boolean {
  const { algorithm, bits = 0, curve } = key.getAlgorithmInfo()
  if (algorithm === 'rsaEncryptSign' || algorithm === 'rsaSign') return bits >= 2048
  if (algorithm === 'ecdsa') return NIST.includes(String(curve))
  return ['eddsaLegacy', 'ed25519', 'ed448'].includes(algorithm)
}

/** Within the life of the primary key and of the subkey, as their newest self-signatures state it. */
async function wasValid(primary: PublicKey, key: Key | Subkey, made: Date): Promise<boolean> {
  const ends = [await primary.getExpirationTime(undefined, CONFIG)]
  if ('mainKey' in key) ends.push(await key.getExpirationTime(NO_CLOCK, CONFIG))
  const starts = [primary.getCreationTime(), key.getCreationTime()]
  return starts.every(start => start <= made) && ends.every(end => end !== null && made < end)
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
  const packet = await readAny(signature)
  let outcome: Outcome = unknown(packet)
  for (const issuer of issuersOf(packet, keyring)) {
    outcome = await check(bytes, packet, issuer)
    if (!('code' in outcome)) return { ...outcome, armor: plainArmor(packet) }
  }
  throw new Failure((outcome as Rejected).code, `cannot use the signature: ${(outcome as Rejected).why}`)
}

async function readAny(signature: Uint8Array): Promise<SignaturePacket> {
  const bad = (why: string, cause?: unknown) => new Failure('tampered', `cannot use the signature: ${why}`, { cause })
  if (signature.length > 4 * LIMITS.signature) throw bad('it is too long for one')
  const text = Buffer.from(signature).toString('latin1')
  const isArmored = ((signature[0] ?? 0x80) & 0x80) === 0
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
function plainArmor(packet: SignaturePacket): string {
  const issuer = { type: ISSUER, critical: false, body: Buffer.from(packet.issuerKeyID.toHex(), 'hex') }
  packet.unhashedSubpackets = packet.version === 4 ? [issuer] : []
  const body = packet.write()
  return armorSignature(Buffer.concat([Buffer.from([0x89, body.length >> 8, body.length & 0xff]), body]))
}
