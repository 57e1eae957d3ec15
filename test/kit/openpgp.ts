/** OpenPGP that no program makes: keys and signatures written by hand, byte by byte (RFC 4880 and 9580). */
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { armorSignature } from '../../src/package/armor.ts'

/** 1 January 2025, in seconds. */
export const T0 = 1735689600
const HASHES = { sha512: 10, sha1: 2, md5: 1 } as const
/** What a digest that nobody makes any more begins with in a PKCS #1 signature is up to Node; RSA takes them all. */
export type HashName = keyof typeof HASHES

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
export const u32 = (value: number) =>
  Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff])
function mpi(value: Buffer): Buffer {
  const bytes = value.subarray(value.findIndex(byte => byte !== 0))
  return Buffer.concat([u16((bytes.length - 1) * 8 + 32 - Math.clz32(bytes[0] ?? 0)), bytes])
}

/** A subpacket; `critical` sets the highest bit of its type, `long` writes its length in five bytes. */
export function subpacket(type: number, body: Buffer, { critical = false, long = false } = {}): Buffer {
  const length = long ? Buffer.concat([Buffer.from([0xff]), u32(body.length + 1)]) : Buffer.from([body.length + 1])
  return Buffer.concat([length, Buffer.from([type | (critical ? 0x80 : 0)]), body])
}

export const packet = (tag: number, body: Buffer) =>
  Buffer.concat([Buffer.from([0x81 | (tag << 2)]), u16(body.length), body])

export interface SignatureOptions {
  type: number
  data: Buffer
  hashed?: Buffer
  unhashed?: Buffer
  hash?: HashName
  /** seconds since 1970 */
  made?: number
}

/** A key with its secret half: Ed25519 in its older form, or RSA of 2048 bits, which signs with any hash. */
export interface HandKey {
  body: Buffer
  fingerprint: string
  id: Buffer
  /** the same secret in a key that was made at another time */
  at(created: number): HandKey
  /** the body of a signature packet */
  signature(options: SignatureOptions): Buffer
  certify(userId: string, options?: { made?: number; expires?: number; hash?: HashName }): Buffer
  bind(subkey: HandKey): Buffer
  /** its packets with one user id and what else is given, armored */
  publicKey(...more: [tag: number, body: Buffer][]): string
  /** a detached signature over a document, as a package has it */
  sign(data: Buffer, options?: Partial<SignatureOptions>): string
}

export const handKey = (kind: 'ed25519' | 'rsa' = 'ed25519'): HandKey =>
  keyOf(kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey : edwards(randomBytes(32)), T0)

/** RFC 8410: a seed with what PKCS #8 writes before it. */
const edwards = (seed: Buffer) =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
    format: 'der',
    type: 'pkcs8',
  })

const base64 = (text: string | undefined) => Buffer.from(text ?? '', 'base64url')

function keyOf(secret: KeyObject, created: number): HandKey {
  const { n, e, x } = secret.export({ format: 'jwk' })
  const isRsa = n !== undefined
  const algorithm = isRsa ? 1 : 22
  const material = isRsa
    ? Buffer.concat([mpi(base64(n)), mpi(base64(e))])
    : Buffer.concat([Buffer.from('092b06010401da470f01', 'hex'), mpi(Buffer.concat([Buffer.from([0x40]), base64(x)]))])
  const body = Buffer.concat([Buffer.from([4]), u32(created), Buffer.from([algorithm]), material])
  const framed = Buffer.concat([Buffer.from([0x99]), u16(body.length), body])
  const digest = createHash('sha1').update(framed).digest()
  const id = digest.subarray(-8)
  const issuer = subpacket(33, Buffer.concat([Buffer.from([4]), digest]))
  const time = (made: number) => subpacket(2, u32(made))

  function signature({ type, data, hashed, unhashed, hash = 'sha512', made = T0 + 86_400 }: SignatureOptions): Buffer {
    const signed = hashed ?? Buffer.concat([issuer, time(made)])
    const plain = unhashed ?? subpacket(16, id)
    const head = Buffer.concat([Buffer.from([4, type, algorithm, HASHES[hash]]), u16(signed.length), signed])
    const all = Buffer.concat([data, head, Buffer.from([4, 0xff]), u32(head.length)])
    const hashOfAll = createHash(hash).update(all).digest()
    const numbers = isRsa ? [sign(hash, all, secret)] : halves(sign(null, hashOfAll, secret))
    return Buffer.concat([head, u16(plain.length), plain, hashOfAll.subarray(0, 2), ...numbers.map(mpi)])
  }

  const key: HandKey = {
    body,
    fingerprint: digest.toString('hex').toUpperCase(),
    id,
    at: other => keyOf(secret, other),
    signature,
    certify(userId, { made = created + 1, expires, hash } = {}) {
      const name = Buffer.from(userId)
      const more = [subpacket(27, Buffer.from([3])), ...(expires === undefined ? [] : [subpacket(9, u32(expires))])]
      const data = Buffer.concat([framed, Buffer.from([0xb4]), u32(name.length), name])
      return signature({ type: 0x13, data, hashed: Buffer.concat([issuer, time(made), ...more]), hash })
    },
    bind(subkey) {
      const data = Buffer.concat([framed, Buffer.from([0x99]), u16(subkey.body.length), subkey.body])
      const back = subkey.signature({ type: 0x19, data })
      const hashed = Buffer.concat([issuer, time(created + 1), subpacket(27, Buffer.from([2]))])
      return signature({ type: 0x18, data, hashed, unhashed: Buffer.concat([subpacket(16, id), subpacket(32, back)]) })
    },
    publicKey(...more) {
      const user = 'Hand <hand@example.com>'
      const parts: [number, Buffer][] = [[6, body], [13, Buffer.from(user)], [2, key.certify(user)], ...more]
      return armorKey(Buffer.concat(parts.map(([tag, part]) => packet(tag, part))))
    },
    sign: (data, options) => armorSignature(packet(2, signature({ type: 0, data, ...options }))),
  }
  return key
}

const halves = (bytes: Buffer) => [bytes.subarray(0, 32), bytes.subarray(32)]

/** Without a checksum, which is optional. */
export const armorKey = (bytes: Buffer): string =>
  `-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END PGP PUBLIC KEY BLOCK-----\n`

/** A revocation of the key by itself, as a packet's body. */
export const revocationOf = (key: HandKey, by: HandKey = key, hash?: HashName): Buffer =>
  by.signature({ type: 0x20, data: Buffer.concat([Buffer.from([0x99]), u16(key.body.length), key.body]), hash })
