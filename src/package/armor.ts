/**
 * The one armored form a signature has in a package: what gpg writes without comments. Reading it back must give the same
 * bytes, so that no byte of it can be changed unseen, and nothing lax is left for a parser to be confused by.
 */

const BEGIN = '-----BEGIN PGP SIGNATURE-----\n'
const END = '-----END PGP SIGNATURE-----\n'

/** RFC 4880, 6.1 */
function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce
  for (const byte of bytes) {
    crc ^= byte << 16
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x800000 ? (crc << 1) ^ 0x1864cfb : crc << 1
  }
  return crc & 0xffffff
}

/** Header line, empty line, base64 in lines of 64, checksum, end line. */
export function armorSignature(packet: Uint8Array): string {
  const lines =
    Buffer.from(packet)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  const crc = crc24(packet)
  const sum = Buffer.from([crc >> 16, (crc >> 8) & 0xff, crc & 0xff]).toString('base64')
  return `${BEGIN}\n${lines.join('\n')}\n=${sum}\n${END}`
}

/** The packet out of an armored signature in the canonical form, or undefined for anything else. */
export function unarmorSignature(armor: Uint8Array): Buffer | undefined {
  const text = Buffer.from(armor).toString('latin1')
  const end = text.lastIndexOf('\n=')
  if (!text.startsWith(`${BEGIN}\n`) || end < 0) return undefined
  const packet = Buffer.from(text.slice(BEGIN.length + 1, end), 'base64')
  return armorSignature(packet) === text ? packet : undefined
}
