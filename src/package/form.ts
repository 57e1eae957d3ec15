/** The form of a signature's subpackets, and whom they name: docs/format.md, "Signatures". */
import { ISSUER, ISSUER_FINGERPRINT, idOf, type Subpacket, subpacketsOf } from './subpackets.ts'

/** The key that a signature says it was made with; nothing where it does not say. */
export interface Named {
  id?: Buffer
  fingerprint?: Buffer
}

const CREATED = 2
/** Of a key, a signature or a binding, not of a document: revocation key, signature target, embedded signature. */
const MISPLACED = [12, 31, 32]
/** What a signer may insist on: creation and expiration time, issuer, policy, signer's user id, issuer's fingerprint. */
const UNDERSTOOD = [CREATED, 3, ISSUER, 26, 28, ISSUER_FINGERPRINT]

/**
 * Hold a signature's two areas against docs/format.md: beside what is signed it may only repeat its issuer's id, so that every
 * other byte is covered by the signature; and whatever names the issuer names the same key.
 * @returns undefined where anything is otherwise
 */
export function namedBy(body: Buffer): Named | undefined {
  const areas = subpacketsOf(body)
  if (!areas) return undefined
  const { hashed, unhashed } = areas
  const once = (all: readonly Subpacket[], type: number) => all.filter(one => one.type === type).length <= 1
  const inForm =
    hashed.some(({ type, body: time }) => type === CREATED && time.length === 4) &&
    [CREATED, ISSUER, ISSUER_FINGERPRINT].every(type => once(hashed, type)) &&
    hashed.every(({ type, critical }) => !MISPLACED.includes(type) && (!critical || UNDERSTOOD.includes(type))) &&
    unhashed.every(({ type, critical }) => type === ISSUER && !critical) &&
    once(unhashed, ISSUER)
  if (!inForm) return undefined
  const named: Named = {}
  const [version = 0] = body
  for (const { type, body: name } of [...hashed, ...unhashed]) {
    if (type === ISSUER_FINGERPRINT) {
      named.fingerprint = name.subarray(1)
      if (name[0] !== version || name.length !== (version === 4 ? 21 : 33)) return undefined
    }
    const id = type === ISSUER ? name : type === ISSUER_FINGERPRINT ? idOf(version, name.subarray(1)) : undefined
    if (id && (id.length !== 8 || !(named.id ?? id).equals(id))) return undefined
    if (id) named.id = id
  }
  return named
}
