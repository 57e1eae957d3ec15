/**
 * Revocations that stand by themselves, as gpg makes them (`openpgp-revocs.d/*.rev`, `--gen-revoke`): they end the key that they
 * name, whatever file they come from. What cannot be checked ends it too: signatures can be dated back, so a key that may
 * have been stolen is not used until somebody has looked.
 */
import {
  type AnyPacket,
  type enums,
  type PublicKey,
  type PublicSubkeyPacket,
  SignaturePacket,
  UnparseablePacket,
} from 'openpgp'
import { ANY_HASH, fingerprintOf, NO_CLOCK } from './key.ts'
import { ISSUER, ISSUER_FINGERPRINT, idOf, type Subpacket, subpacketsOf } from './subpackets.ts'

/** Types of signatures that revoke (RFC 9580, 5.2.1). */
export const revokes = { key: 0x20, subkey: 0x28, user: 0x30 } as const

export interface Certificate {
  /** one of `revokes` */
  type: number
  /** whose it is, as people write it: a fingerprint or a key id; '' when it does not say */
  issuer: string
  /** of its packet; absent where it is of a version or an algorithm that nobody here can check */
  body?: Buffer
  names(key: PublicKey): boolean
}

const typeOf = (body: Uint8Array): number => ((body[0] ?? 0) <= 3 ? body[2] : body[1]) ?? 0

/** Whether a packet is a revocation, also one that could not be read. */
export function isRevocation(packet: AnyPacket): packet is SignaturePacket | UnparseablePacket {
  if (
    !(packet instanceof SignaturePacket) &&
    !(packet instanceof UnparseablePacket && packet.tag === SignaturePacket.tag)
  )
    return false
  return (Object.values(revokes) as number[]).includes(typeOf(packet.write()))
}

/** The packet as a certificate of revocation; undefined when it revokes no key. */
export function certificateOf(packet: AnyPacket): Certificate | undefined {
  if (!isRevocation(packet)) return undefined
  const body = Buffer.from(packet.write())
  const type = typeOf(body)
  if (type === revokes.user) return undefined
  const { id, fingerprint } = issuerOf(body)
  return {
    type,
    issuer: (fingerprint ?? id)?.toString('hex').toUpperCase() ?? '',
    ...(packet instanceof SignaturePacket && { body }),
    names: key =>
      [fingerprintOf(key), ...revokersOf(key)].some(one =>
        fingerprint ? one === fingerprint.toString('hex').toUpperCase() : id !== undefined && isId(id, one),
      ),
  }
}

const isId = (id: Buffer, fingerprint: string) =>
  idOf(fingerprint.length === 40 ? 4 : 6, Buffer.from(fingerprint, 'hex')).equals(id)

function issuerOf(body: Buffer): { id?: Buffer | undefined; fingerprint?: Buffer | undefined } {
  if ((body[0] ?? 0) <= 3) return { id: body.subarray(7, 15) }
  const areas = subpacketsOf(body)
  const all = [...(areas?.hashed ?? []), ...(areas?.unhashed ?? [])]
  const find = (wanted: number): Subpacket | undefined => all.find(({ type }) => type === wanted)
  return { id: find(ISSUER)?.body, fingerprint: find(ISSUER_FINGERPRINT)?.body.subarray(1) }
}

/** Fingerprints of the keys that a key lets revoke it (RFC 9580, 5.2.3.23). */
function revokersOf(key: PublicKey): string[] {
  const own = [...key.users.flatMap(user => user.selfCertifications), ...directSignatures(key)]
  return own.flatMap(({ revocationKeyFingerprint: one }) =>
    one ? [Buffer.from(one).toString('hex').toUpperCase()] : [],
  )
}

/** openpgp's types do not have them. */
export const directSignatures = (key: PublicKey): SignaturePacket[] =>
  (key as unknown as { directSignatures: SignaturePacket[] }).directSignatures

/**
 * Which keys and subkeys the certificates end.
 * @returns fingerprints, and sentences about certificates that do not do what somebody meant them to
 */
export async function applyRevocations(
  certificates: readonly (Certificate & { file: string })[],
  keys: readonly PublicKey[],
): Promise<{ ended: string[]; problems: string[] }> {
  const ended: string[] = []
  const problems: string[] = []
  for (const certificate of certificates) {
    const { file, issuer } = certificate
    const named = keys.filter(key => issuer === '' || certificate.names(key))
    let applied = false
    for (const key of named) {
      const revoked = await revokedBy(certificate, key)
      ended.push(...revoked)
      applied ||= revoked.length > 0
      if (revoked.length > 0 || issuer === '') continue
      const fingerprint = fingerprintOf(key)
      ended.push(fingerprint)
      problems.push(
        `cannot check the revocation in ${file}: it names the key ${fingerprint}, which is not used until it is mended or taken away`,
      )
    }
    if (issuer === '' && !applied)
      problems.push(`cannot use the revocation in ${file}: it does not say which key it revokes; make it anew`)
  }
  return { ended, problems }
}

/** Fingerprints of the key, or of its subkeys, that the certificate is a good revocation of. */
async function revokedBy({ type, body }: Certificate, key: PublicKey): Promise<string[]> {
  if (!body) return []
  const good = async (data: object) => {
    // Anew each time: openpgp remembers of a packet that it was good once, whatever for.
    const packet = new SignaturePacket()
    packet.read(body)
    try {
      await packet.verify(key.keyPacket, type as enums.signature, data, NO_CLOCK, false, ANY_HASH)
      return true
    } catch {
      return false
    }
  }
  if (type === revokes.key) return (await good({ key: key.keyPacket })) ? [fingerprintOf(key)] : []
  const found: string[] = []
  for (const subkey of key.subkeys)
    if (await good({ key: key.keyPacket, bind: subkey.keyPacket as PublicSubkeyPacket }))
      found.push(subkey.getFingerprint().toUpperCase())
  return found
}
