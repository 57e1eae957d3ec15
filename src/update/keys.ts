/** Whom this device could take its next release from. */
import type { Config } from '../config.ts'
import { loadKeys } from '../package/signature.ts'
import { type Ability, abilities, distinct } from '../package/validity.ts'

export interface Signers {
  /** what one secret signs counts once */
  usable: Ability[]
  /** sentences about files that cannot be used; where there are too few signers also about keys that can sign nothing */
  trouble: string[]
}

/**
 * @param time RFC 3339: a key that has expired by then can sign nothing later, whatever the device's clock says
 */
export async function signersAfter({ signatures }: Config, time: string): Promise<Signers> {
  const keyring = await loadKeys(signatures.keys)
  const all = await abilities(keyring)
  const from = Date.parse(time) || 0
  const usable = distinct(all.filter(({ until }) => until !== undefined && until > from))
  if (usable.length >= signatures.required) return { usable, trouble: keyring.problems }
  const dead = all.flatMap(({ fingerprint, until, why }) => {
    if (until === undefined) return [`the key ${fingerprint} can sign nothing: ${why}`]
    return until <= from ? [`the key ${fingerprint} expired on ${day(until)}`] : []
  })
  const passedOver = keyring.passedOver.map(
    path => `${path} is passed over: a key's name must end in .asc, .pgp or .gpg`,
  )
  return { usable, trouble: [...keyring.problems, ...dead, ...passedOver] }
}

export const day = (time: number): string => new Date(time).toISOString().slice(0, 10)

/** `1 usable signing key, 2 wanted`, and what is wrong with the others. */
export const signersText = ({ usable, trouble }: Signers, required: number): string =>
  [`${usable.length} usable signing ${usable.length === 1 ? 'key' : 'keys'}, ${required} wanted`, ...trouble].join('; ')
