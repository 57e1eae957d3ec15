/** The keys in a release, as its devices will load them: with none that can sign, the release is the last that they install. */
import { join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { safe } from '../../base/text.ts'
import type { Config } from '../../config.ts'
import { isBinary, textOf } from '../../package/encoding.ts'
import { isKeyName, KEY_FILE_LIMIT, type Keyring, makeKeyring } from '../../package/keyring.ts'
import { type Ability, abilities, distinct } from '../../package/validity.ts'
import type { Work } from '../work.ts'
import type { View } from './view.ts'

/** Things of a kind that are named, the others are left away. */
const NAMED = 5
/** Bytes of a file that are looked at to know a key in it. */
const START = 4096

/** The keyring of a device with this tree; `elsewhere` are folders that the tree does not have. */
export async function treeKeys(view: View, settings: Config): Promise<Keyring & { elsewhere: string[] }> {
  const files: Parameters<typeof makeKeyring>[0][number][] = []
  const passedOver: string[] = []
  const elsewhere: string[] = []
  for (const folder of settings.signatures.keys) {
    if ((await view.find(folder)) === 'elsewhere') elsewhere.push(folder)
    for (const name of await view.list(folder)) {
      const path = join(folder, name)
      const found = await view.find(path)
      if (isKeyName(name)) {
        files.push({ name: path, bytes: () => bytesOf(found) })
        if (found === 'elsewhere') elsewhere.push(path)
      } else if (found !== 'elsewhere' && found?.kind === 'file' && looksLikeKey(await found.read(START)))
        passedOver.push(path)
    }
  }
  return { ...(await makeKeyring(files)), passedOver, elsewhere }
}

async function bytesOf(found: Awaited<ReturnType<View['find']>>): Promise<Buffer> {
  if (found === 'elsewhere') throw new Error('it is a link to what each device has for itself')
  if (found?.kind !== 'file') throw new Error('it is not a file')
  if (found.size === 0) throw new Error('it is empty')
  if (found.size > KEY_FILE_LIMIT) throw new Error(`it has more than ${KEY_FILE_LIMIT} bytes`)
  return found.read(KEY_FILE_LIMIT)
}

/** Armored in whatever text, or packets of a public key, by itself or in gpg's keybox (RFC 9580, 4.2). */
function looksLikeKey(start: Buffer): boolean {
  if (start.toString('latin1', 8, 12) === 'KBXf') return true
  const [first = 0] = start
  return isBinary(start) ? [0x98, 0x99, 0x9a, 0xc6].includes(first) : textOf(start).includes('-----BEGIN PGP ')
}

/** What is done about a release whose devices have no usable key: `files` refuses keys that do not work, and only says that there are none. */
export type Keyless = 'refused' | 'files' | 'allowed'

/** @throws Failure `no-usable-key` unless so many keys as the devices want can still sign */
export async function checkKeys(
  doing: string,
  view: View,
  settings: Config,
  keyless: Keyless,
  work: Work,
): Promise<void> {
  const { required, keys: folders } = settings.signatures
  const keyring = await treeKeys(view, settings)
  const all = await abilities(keyring)
  const now = Date.now()
  const usable = distinct(all.filter(one => one.until !== undefined && one.until > now))
  const trouble = [
    ...keyring.problems.map(one => safe(one, 400)),
    ...keyring.passedOver.map(path => `devices pass over ${safe(path)}: a key's name must end in .asc, .pgp or .gpg`),
    ...all.filter(one => one.until === undefined || one.until <= now).map(whyNot),
  ]
  if (usable.length < required && keyring.elsewhere.length === 0) {
    const has =
      usable.length === 0
        ? 'has no usable key'
        : `has keys of ${signers(usable.length)}, and its devices want ${required}`
    const where = usable.length === 0 ? ` in ${folders.join(' or ')}` : ''
    const why = trouble.length > 0 ? `: ${some(trouble, '; ')}` : where
    const none = keyring.files === 0 && trouble.length === 0
    if (keyless === 'refused' || (keyless === 'files' && !none))
      throw new Failure(
        'no-usable-key',
        `cannot ${doing}: it ${has}${why}. Its devices could not install anything after it. Put a public key there (sysroot: --trusted-key), or say --allow-keyless where devices get theirs in another way`,
      )
    work.note(
      `WARNING: this release ${has}${why}. Its devices install nothing until they get a key; see --trusted-key.`,
    )
  } else for (const one of trouble.slice(0, NAMED)) work.note(`WARNING: ${one}`)
  if (usable.length < required && keyring.elsewhere.length > 0)
    work.note(
      `This release has keys of ${signers(usable.length)}; what is in ${keyring.elsewhere.join(', ')} only a device knows.`,
    )
  for (const one of usable)
    if (one.until !== Number.POSITIVE_INFINITY)
      work.note(`${named(one)} expires on ${day(one)}: devices with this copy of it refuse what it signs from then on.`)
}

const signers = (count: number) => (count === 1 ? 'one signer' : `${count} signers`)
const some = (list: readonly string[], between: string) =>
  [...list.slice(0, NAMED), ...(list.length > NAMED ? [`and ${list.length - NAMED} more`] : [])].join(between)
const named = ({ fingerprint, userId }: Ability) => `The key ${fingerprint} (${safe(userId)})`
const day = ({ until = 0 }: Ability) => new Date(until).toISOString().slice(0, 10)

function whyNot(key: Ability): string {
  if (key.until !== undefined) return `${named(key)} expired on ${day(key)}`
  return `${named(key)} can sign nothing: ${key.why}`
}
