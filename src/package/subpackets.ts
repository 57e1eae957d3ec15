/** Subpackets of an OpenPGP signature, read strictly: what does not add up is nothing (RFC 9580, 5.2.3.7). */

export interface Subpacket {
  type: number
  critical: boolean
  body: Buffer
}

/** Those of one area, without the length of the area; undefined where they do not fill it exactly, or one has no type. */
export function readSubpackets(area: Buffer): Subpacket[] | undefined {
  const found: Subpacket[] = []
  for (let at = 0; at < area.length; ) {
    const first = area[at] ?? 0
    const width = first < 192 ? 1 : first < 255 ? 2 : 5
    if (at + width > area.length) return undefined
    const length =
      width === 1 ? first : width === 2 ? ((first - 192) << 8) + (area[at + 1] ?? 0) + 192 : area.readUInt32BE(at + 1)
    at += width
    if (length < 1 || at + length > area.length) return undefined
    const type = area[at] ?? 0
    found.push({ type: type & 0x7f, critical: type >= 0x80, body: area.subarray(at + 1, at + length) })
    at += length
  }
  return found
}

/** Both areas of a signature's body of version 4, 5 or 6 (their lengths have two bytes, in version 6 four). */
export function subpacketsOf(body: Buffer): { hashed: Subpacket[]; unhashed: Subpacket[] } | undefined {
  const width = body[0] === 6 ? 4 : 2
  const areas: Subpacket[][] = []
  for (let at = 4; areas.length < 2; ) {
    if (at + width > body.length) return undefined
    const end = at + width + body.readUIntBE(at, width)
    const area = end > body.length ? undefined : readSubpackets(body.subarray(at + width, end))
    if (!area) return undefined
    areas.push(area)
    at = end
  }
  const [hashed = [], unhashed = []] = areas
  return { hashed, unhashed }
}

/** Signature subpackets that say whose the signature is (RFC 9580, 5.2.3.12 and 5.2.3.35). */
export const ISSUER = 16
export const ISSUER_FINGERPRINT = 33

/** The 8 bytes of a key id that a fingerprint ends with (version 4) or begins with. */
export const idOf = (version: number, fingerprint: Buffer): Buffer =>
  version === 4 ? fingerprint.subarray(-8) : fingerprint.subarray(0, 8)
