/** What a key is worth by itself: its strength, its life, whether it may sign, and which secret is behind it. */
import { enums, type Key, type PublicKey, type SignaturePacket, type Subkey } from 'openpgp'
import { ANY_HASH, CONFIG, fingerprintOf, NO_CLOCK, WEAK_HASHES } from './key.ts'
import type { Keyring } from './keyring.ts'
import { directSignatures } from './revocation.ts'

/** Of the other curves one is weak for this, and openpgp cannot check the rest with what Node brings. */
const NIST = ['nistP256', 'nistP384', 'nistP521']

export function isStrong(key: Key | Subkey): boolean {
  const { algorithm, bits = 0, curve } = key.getAlgorithmInfo()
  if (algorithm === 'rsaEncryptSign' || algorithm === 'rsaSign') return bits >= 2048
  if (algorithm === 'ecdsa') return NIST.includes(String(curve))
  return ['eddsaLegacy', 'ed25519', 'ed448'].includes(algorithm)
}

/** A revocation of any kind, and one that nobody here can check, ends the use of a key: signatures can be back-dated. */
export const isRevoked = (key: Key | Subkey, { revoked }: Pick<Keyring, 'revoked'>): boolean =>
  key.revocationSignatures.length > 0 || revoked.has(fingerprintOf(key))

/**
 * The time up to which the primary key and the subkey live, as their newest self-signatures state it; Infinity for ever, undefined
 * where there is no good self-signature. An end that a newer self-signature of a weak hash states counts as well.
 */
export async function endOfLife(primary: PublicKey, key: Key | Subkey): Promise<number | undefined> {
  const ends = [await primary.getExpirationTime(undefined, CONFIG)]
  if ('mainKey' in key) ends.push(await key.getExpirationTime(NO_CLOCK, CONFIG))
  if (ends.includes(null)) return undefined
  return Math.min(...ends.map(Number), ...(await weakEnds(primary, key)))
}

/** Ends of life by self-signatures with a weak hash that are newer than all strong ones of their kind. */
async function weakEnds(primary: PublicKey, key: Key | Subkey): Promise<number[]> {
  const { keyPacket } = primary
  const kinds: [SignaturePacket[], enums.signature, object][] = [
    ...primary.users.map((user): [SignaturePacket[], enums.signature, object] => [
      user.selfCertifications,
      enums.signature.certGeneric,
      { key: keyPacket, userID: user.userID, userAttribute: user.userAttribute },
    ]),
    [directSignatures(primary), enums.signature.key, { key: keyPacket }],
  ]
  if ('mainKey' in key)
    kinds.push([key.bindingSignatures, enums.signature.subkeyBinding, { key: keyPacket, bind: key.keyPacket }])
  const ends: number[] = []
  for (const [signatures, type, data] of kinds) {
    const strong = signatures.filter(one => !WEAK_HASHES.has(one.hashAlgorithm)).map(({ created }) => Number(created))
    for (const one of signatures) {
      if (!WEAK_HASHES.has(one.hashAlgorithm) || one.keyNeverExpires !== false) continue
      if (Number(one.created) < Math.max(...strong)) continue
      const good = await one.verify(keyPacket, type, data, NO_CLOCK, false, ANY_HASH).then(
        () => true,
        () => false,
      )
      const of = type === enums.signature.subkeyBinding ? key : primary
      if (good) ends.push(of.getCreationTime().getTime() + (one.keyExpirationTime ?? 0) * 1000)
    }
  }
  return ends
}

/** Whether the key may sign at all: self-signature, binding, back-signature and the flag. */
export async function maySign(primary: PublicKey, key: Key | Subkey): Promise<boolean> {
  try {
    await primary.getSigningKey(key.getKeyID(), NO_CLOCK, undefined, CONFIG)
    return true
  } catch {
    return false
  }
}

/** One key of a ring as a signer of packages. */
export interface Ability {
  /** of the primary key */
  fingerprint: string
  userId: string
  /** milliseconds since 1970 up to which something of it may sign; Infinity: for ever; undefined: nothing of it ever may */
  until: number | undefined
  /** why nothing of it may, in words that go on after "can sign nothing: " */
  why?: string
  /** whose signatures are one: see `secretsOf` */
  secrets: string[]
}

/** What each key of the ring can do. */
export const abilities = (keyring: Pick<Keyring, 'keys' | 'revoked'>): Promise<Ability[]> =>
  Promise.all(keyring.keys.map(key => abilityOf(key, keyring)))

async function abilityOf(primary: PublicKey, keyring: Pick<Keyring, 'revoked'>): Promise<Ability> {
  const user = await primary.getPrimaryUser(NO_CLOCK, undefined, CONFIG).catch(() => undefined)
  const is = { fingerprint: fingerprintOf(primary), userId: user?.user.userID?.userID ?? primary.getUserIDs()[0] ?? '' }
  const nothing = (why: string): Ability => ({ ...is, until: undefined, why, secrets: [] })
  if (isRevoked(primary, keyring)) return nothing('it was revoked')
  if (!isStrong(primary)) return nothing('it is too weak, or of a kind that devices do not take')
  if (!user) return nothing('it has no user id that it vouches for by SHA-256 or better')
  const ends: number[] = []
  const secrets = new Set<string>()
  for (const part of [primary, ...primary.subkeys]) {
    if (isRevoked(part, keyring) || !isStrong(part) || !(await maySign(primary, part))) continue
    const end = await endOfLife(primary, part)
    if (end === undefined) continue
    ends.push(end)
    for (const secret of secretsOf(primary, part)) secrets.add(secret)
  }
  if (ends.length === 0) return nothing('no part of it is made for signing')
  return { ...is, until: Math.max(...ends), secrets: [...secrets] }
}

/**
 * By what a signer is told from another: whoever has the secret of the primary key, or of the key that signed, could have made the
 * signature. The same secret may hide behind several keys: bound to two of them, or as a key of another date or algorithm.
 */
export const secretsOf = (primary: PublicKey, key: Key | Subkey): string[] => [
  ...new Set([fingerprintOf(primary), secretOf(primary), secretOf(key)]),
]

type Params = Partial<Record<'n' | 'Q' | 'A', Uint8Array>> & { oid?: { getName(): string } }

/** A name of the secret that is the same for whatever key it is in (openpgp: crypto.js, parsePublicKeyParams). */
function secretOf(key: Key | Subkey): string {
  const { n, Q, A, oid } = key.keyPacket.publicParams as Params
  // Whoever factors the modulus can have any exponent.
  if (n) return `rsa ${hex(n)}`
  // Points come as 0x40 and themselves, in newer keys bare. A negated one has another sign bit, and the negated secret.
  const point = A ?? (Q?.[0] === 0x40 ? Q.subarray(1) : undefined)
  if (point) return `edwards ${hex([...point.subarray(0, -1), (point.at(-1) ?? 0) & 0x7f])}`
  if (Q) return `${oid?.getName()} ${hex(Q.subarray(1, (Q.length + 1) / 2))}`
  return fingerprintOf(key)
}

const hex = (bytes: Uint8Array | number[]) => Buffer.from(bytes).toString('hex')

/** Those of `found` that share no secret with another, directly or through others: of each group the first in the order given. */
export function distinct<T extends { secrets: readonly string[] }>(found: readonly T[]): T[] {
  let groups: { first: T; secrets: Set<string> }[] = []
  for (const one of found) {
    const same = groups.filter(({ secrets }) => one.secrets.some(secret => secrets.has(secret)))
    const secrets = new Set([...same.flatMap(group => [...group.secrets]), ...one.secrets])
    const first = same[0]?.first ?? one
    groups = [...groups.filter(group => !same.includes(group)), { first, secrets }]
  }
  return groups.map(({ first }) => first)
}
