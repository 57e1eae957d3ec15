/** A package file as this process itself sees it: opened, its signatures checked, and not a byte of it believed before that. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { bytesOf } from '../base/names.ts'
import type { Manifest } from '../package/manifest.ts'
import { type Head, openFile, readHead, type Source } from '../package/read.ts'
import { type Keyring, loadKeys, type Rejected, type Signer, verifySignatures } from '../package/signature.ts'
import { judge, judgeSignatures, type Verdict } from '../trust.ts'
import type { Context } from './context.ts'
import { usage } from './exit.ts'

export interface Opened {
  path: string
  source: Source
  head: Head
  keyring: Keyring
  required: number
  signers: Signer[]
  rejected: Rejected[]
  /** whether the signatures suffice; the manifest may be believed only then */
  trusted: Verdict
}

const NO_KEYS = 'this computer has no usable signing key to check it with; name one with --key'

/**
 * @param keys files or folders of public keys in place of the device's own
 * @throws Failure of the reader (`not-a-package`, `truncated`, `unreadable`…); the file is closed then
 */
export async function openPackage(
  { config }: Context,
  file: string,
  keys: readonly string[] | undefined,
): Promise<Opened> {
  const { signatures } = await config()
  const path = resolve(file)
  for (const key of keys ?? [])
    if (!(await isThere(resolve(key)))) throw usage(`cannot use the keys in ${key}: there is no such file or folder`)
  const keyring = await loadKeys(keys ? keys.map(key => resolve(key)) : [...signatures.keys])
  if (keyring.keys.length === 0 && keys)
    throw usage(keyring.problems[0] ?? `cannot use the keys in ${keys.join(', ')}: there is none`)
  if (!(await stat(bytesOf(path)).catch(() => undefined)))
    throw new Failure('not-found', `cannot read ${path}: there is no such file`)
  const source = await openFile(path)
  try {
    const head = await readHead(source)
    const checked = await verifySignatures(head.manifest, head.signatures, keyring)
    const judged = judgeSignatures(checked, keyring.keys.length, head.signatures.length, signatures.required)
    const trusted = !judged.fits && judged.code === 'no-keys' ? { ...judged, why: NO_KEYS } : judged
    return { path, source, head, keyring, required: signatures.required, ...checked, trusted }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** Whether the signatures are dated as they may be, judged as by a device that the package is made for. */
export const judgeDates = (manifest: Manifest, { signers, required }: Opened): Verdict =>
  judge(manifest, signers, required, {
    compatible: manifest.compatible[0] ?? '',
    os: manifest.os,
    ref: manifest.ref,
    bootedCommit: '',
    pendingCommit: '',
    newest: '',
    epochFloor: 0,
  })
