/** One file of public keys, armored or binary, taken apart packet by packet: openpgp drops without a word what it does not know. */
import {
  type AnyPacket,
  config,
  PacketList,
  PublicKey,
  PublicKeyPacket,
  PublicSubkeyPacket,
  SecretKeyPacket,
  SecretSubkeyPacket,
  SignaturePacket,
  UnparseablePacket,
  UserAttributePacket,
  UserIDPacket,
  unarmor,
} from 'openpgp'
import { isBinary, textOf } from './encoding.ts'
import { type Certificate, certificateOf, isRevocation, revokes } from './revocation.ts'

export interface KeyFile {
  keys: PublicKey[]
  /** revocations that say by themselves which key they are for */
  certificates: Certificate[]
  /** fingerprints of keys and subkeys with a revocation that nobody here can check */
  ended: string[]
}

const PACKETS = [
  ...[PublicKeyPacket, PublicSubkeyPacket, SecretKeyPacket, SecretSubkeyPacket],
  ...[SignaturePacket, UserIDPacket, UserAttributePacket],
]
// openpgp takes an object, whatever its types say.
const ALLOWED = Object.fromEntries(PACKETS.map(kind => [kind.tag, kind])) as unknown as Parameters<
  typeof PacketList.fromBinary
>[1]
const KINDS = ['PUBLIC KEY BLOCK', 'SIGNATURE'] as const
const SECRET = 'it holds a secret key, which has no place on a device; put the public key there'

/**
 * @param bytes in UTF-8 or UTF-16 where it is armored
 * @throws Error saying what is wrong with the file, without "cannot"
 */
export async function readKeyFile(bytes: Buffer): Promise<KeyFile> {
  if (bytes.toString('latin1', 8, 12) === 'KBXf')
    throw new Error('it is a GnuPG keybox; export the keys with: gpg --export --armor')
  const found: KeyFile = { keys: [], certificates: [], ended: [] }
  for (const block of isBinary(bytes) ? [bytes] : await unarmored(textOf(bytes))) await takeBlock(block, found)
  if (found.keys.length === 0 && found.certificates.length === 0) throw new Error('it holds no public key')
  return found
}

/** Every armored block, each by itself: of several openpgp reads the first alone. In one pass, whatever the text is. */
async function unarmored(text: string): Promise<Uint8Array[]> {
  const blocks: Uint8Array[] = []
  let rest = ''
  for (let at = 0; ; ) {
    const [block] = KINDS.map(kind => blockAt(text, at, kind))
      .filter(one => one !== undefined)
      .sort((a, b) => a.begin - b.begin)
    rest += text.slice(at, block?.begin)
    if (!block) break
    blocks.push((await unarmor(text.slice(block.begin, block.end))).data as unknown as Uint8Array)
    at = block.end
  }
  if (rest.includes('-----BEGIN PGP PRIVATE')) throw new Error(SECRET)
  if (rest.includes('-----BEGIN')) throw new Error('it holds something else than whole public keys')
  if (blocks.length === 0) throw new Error('it holds no public key')
  return blocks
}

function blockAt(text: string, from: number, kind: string): { begin: number; end: number } | undefined {
  const begin = text.indexOf(`-----BEGIN PGP ${kind}-----`, from)
  const last = `-----END PGP ${kind}-----`
  const end = begin < 0 ? -1 : text.indexOf(last, begin)
  return end < 0 ? undefined : { begin, end: end + last.length }
}

/** Sort a block's packets: keys with what belongs to them, and signatures before all keys. */
async function takeBlock(block: Uint8Array, into: KeyFile): Promise<void> {
  const packets = await PacketList.fromBinary(block, ALLOWED, config)
  const starts = packets.indexOfTag(PublicKeyPacket.tag, SecretKeyPacket.tag)
  for (const packet of packets.slice(0, starts[0] ?? packets.length)) {
    const certificate = certificateOf(packet)
    if (!certificate) throw new Error('it holds a signature that revokes nothing, and no key to it')
    into.certificates.push(certificate)
  }
  for (const [at, start] of starts.entries()) {
    const own = packets.slice(start, starts[at + 1]) as PacketList<AnyPacket>
    if (own.some(packet => packet instanceof SecretKeyPacket || packet instanceof SecretSubkeyPacket))
      throw new Error(SECRET)
    if (!(own[0] instanceof PublicKeyPacket)) throw new Error('it holds a key of a kind that is not known here')
    const key = new PublicKey(own)
    into.keys.push(key)
    into.ended.push(...endedBy(own))
    // A binary certificate that was put behind keys looks like part of the last one.
    for (const packet of own) {
      const certificate = certificateOf(packet)
      if (certificate?.type === revokes.key && !certificate.names(key)) into.certificates.push(certificate)
    }
  }
}

/** Fingerprints of the key or of subkeys of it with a revocation that openpgp could not read. */
function endedBy(packets: readonly AnyPacket[]): string[] {
  const ended: string[] = []
  let current = ''
  for (const packet of packets) {
    if (packet instanceof PublicKeyPacket || packet instanceof PublicSubkeyPacket)
      current = packet.getFingerprint().toUpperCase()
    else if (packet instanceof UnparseablePacket && packet.tag === PublicSubkeyPacket.tag) current = ''
    else if (packet instanceof UnparseablePacket && isRevocation(packet) && current !== '') ended.push(current)
  }
  return ended
}
