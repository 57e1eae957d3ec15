/** What a package means for devices that are given it, and for those that run it then: said while nothing has left the house. */
import { Failure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import type { Config } from '../config.ts'
import { type Commit, readCommit } from '../ostree/contents.ts'
import type { Keyring } from '../package/keyring.ts'
import { verifySignatures } from '../package/signature.ts'
import { sayBackwards, sayOddDate } from './dates.ts'
import { checkFollowed, hasSuperblock, settingsOf } from './follow.ts'
import type { Signature } from './signers.ts'
import { treeKeys } from './tree/keys.ts'
import { commitView } from './tree/view.ts'
import type { Work } from './work.ts'

/** Devices of one release, as far as packages concern them. */
export interface Devices {
  /** in words */
  who: string
  /** in words: what to do, or what comes of it, when they do not accept a package */
  next: string
  keyring: Keyring
  required: number
}

/**
 * Look at a release that is to be packed, and at the one that it follows.
 * @returns who will be given packages with the same signatures
 * @throws Failure `bad-settings`, `no-usable-key`
 */
export async function lookAt(
  repo: string,
  commit: Commit,
  compatible: readonly string[],
  ref: string,
  options: { allowKeyless?: boolean },
  work: Work,
): Promise<Devices[]> {
  const doing = `pack ${commit.checksum}`
  const view = commitView(repo, commit)
  await checkFollowed(doing, view, options.allowKeyless ? 'allowed' : 'refused', work)
  const parent = await parentOf(repo, commit)
  sayOddDate(commit.timestamp, work)
  sayBackwards(commit, parent, work)
  const own = await devicesOf(repo, commit, doing)
  if (own) sayMismatch(own.settings, compatible, ref, work)
  // Of an old release nobody asks any more whether its settings were good.
  const before = parent && (await devicesOf(repo, parent, doing).catch(() => undefined))
  return [
    ...(own
      ? [
          {
            ...own,
            who: 'Devices that run this release',
            next: 'sign the next one with a key that this release carries',
          },
        ]
      : []),
    ...(before
      ? [{ ...before, who: `Devices that run version ${nameOf(parent)}`, next: 'they refuse this package' }]
      : []),
  ]
}

const nameOf = (commit: Commit | undefined) => safe(commit?.metadata.get('version') ?? commit?.checksum ?? '')

async function parentOf(repo: string, commit: Commit): Promise<Commit | undefined> {
  if (commit.parent === undefined) return undefined
  try {
    return await readCommit(repo, commit.parent)
  } catch (error) {
    if (error instanceof Failure && error.code === 'no-object') return undefined // it was pruned
    throw error
  }
}

async function devicesOf(repo: string, commit: Commit, doing: string) {
  const view = commitView(repo, commit)
  if (!(await hasSuperblock(view))) return undefined
  const settings = await settingsOf(view, doing)
  const { elsewhere, ...keyring } = await treeKeys(view, settings)
  return elsewhere.length > 0 ? undefined : { settings, keyring, required: settings.signatures.required }
}

/** Whether devices that run the release would take a package for the same products and ref. */
function sayMismatch({ device }: Config, compatible: readonly string[], ref: string, work: Work): void {
  if (device.compatible !== '' && !compatible.includes(device.compatible))
    work.note(
      `WARNING: the package is for ${compatible.map(one => safe(one)).join(', ')}, but devices that run this release call themselves ${safe(device.compatible)}.`,
    )
  if (device.ref !== '' && device.ref !== ref)
    work.note(`WARNING: the package is for ${safe(ref)}, but devices that run this release follow ${safe(device.ref)}.`)
}

/** Say who would not accept these signatures. @param manifest that they are over */
export async function accepted(
  manifest: Buffer,
  made: readonly Signature[],
  devices: readonly Devices[],
  work: Work,
): Promise<void> {
  const armors = made.map(({ fingerprint, armor }) => ({
    name: `signatures/${fingerprint}.asc`,
    armor: Buffer.from(armor),
  }))
  for (const { who, next, keyring, required } of devices) {
    if (keyring.keys.length === 0) continue // that was said
    const { signers, rejected } = await verifySignatures(manifest, armors, keyring)
    if (signers.length >= required) continue
    const why = rejected[0] ? `: ${rejected[0].why}` : ''
    work.note(
      `WARNING: ${who} accept ${signers.length} of the signers of this package, where they want ${required}${why}; ${next}.`,
    )
  }
}
