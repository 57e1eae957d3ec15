/** What is asked of keys everywhere: their names, and at no particular time. */
import { type Config, config, enums, type Key, type Subkey } from 'openpgp'

/** openpgp's way of saying: at no particular time. Nothing in trust may depend on the device's clock. */
export const NO_CLOCK = null as unknown as Date

/** Of a primary key or a subkey, in upper-case hex. */
export const fingerprintOf = (key: Key | Subkey): string => key.getFingerprint().toUpperCase()

const { md5, ripemd, sha1, sha224 } = enums.hash
export const WEAK_HASHES: ReadonlySet<number | null> = new Set([md5, ripemd, sha1, sha224])

/** What keys say of themselves must be signed as strongly as packages are. */
export const CONFIG: Config = {
  ...config,
  minRSABits: 2048,
  rejectHashAlgorithms: new Set([md5, ripemd, sha1, sha224]),
}
/** But a weak hash may take away what only a strong one may give. */
export const ANY_HASH: Config = { ...CONFIG, rejectHashAlgorithms: new Set() }
