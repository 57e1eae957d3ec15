/** `sign`: add a signature to a finished package, or take part in having it signed where the key is. */
import { readFile } from 'node:fs/promises'
import { errno, Failure } from '../base/failure.ts'
import { isThere, replaceFile } from '../base/files.ts'
import { safe } from '../base/text.ts'
import { type Manifest, parseManifest } from '../package/manifest.ts'
import { openFile, readHead, readIndex } from '../package/read.ts'
import { loadKeys, signerOf } from '../package/signature.ts'
import { addSignature } from '../package/write.ts'
import { prepareSigners, refuseEarly, type Signature, type SignerOptions } from './signers.ts'
import type { Work } from './work.ts'

export interface SignOptions extends SignerOptions {
  /** detached signature files made elsewhere */
  import?: string[]
  /** the public key that made them */
  key?: string
  /** write the bytes to sign here instead of signing */
  exportManifest?: string
}

export interface SignResult {
  file: string
  /** SHA-256 of the manifest */
  id: string
  version: string
  os: string
  ref: string
  commit: string
  compatible: string[]
  /** primary fingerprints of the signatures that were added */
  added: string[]
  /** of all that it carries now */
  signatures: string[]
  manifest?: string
}

/**
 * @throws Failure of the package reader when the file is not a whole package, `bad-signature`, `exists`, and those of the keys
 */
export async function sign(file: string, options: SignOptions, work: Work): Promise<SignResult> {
  const there = await readPackage(file)
  const { manifest, bytes } = there
  const result = {
    file,
    id: there.id,
    version: manifest.version,
    os: manifest.os,
    ref: manifest.ref,
    commit: manifest.commit,
    compatible: manifest.compatible,
  }
  if (options.exportManifest !== undefined) {
    if (await isThere(options.exportManifest))
      throw new Failure('exists', `cannot write ${options.exportManifest}: there is such a file already`)
    await replaceFile(options.exportManifest, bytes, 0o644)
    return { ...result, added: [], signatures: there.fingerprints, manifest: options.exportManifest }
  }
  work.note(describe(manifest))
  const signatures = options.import
    ? await importAll(options.import, options.key ?? '', there.bytes, manifest)
    : await (await prepareSigners(options, work))(bytes, manifest.timestamp)
  for (const signature of signatures) await addSignature(file, signature)
  const added = signatures.map(signature => signature.fingerprint)
  return { ...result, added, signatures: [...there.fingerprints, ...added].sort() }
}

export const signText = (result: SignResult) =>
  result.manifest === undefined
    ? `Signed ${result.file} with ${result.added.join(', ')}.\nIt carries ${count(result.signatures.length)}.`
    : `Wrote ${result.manifest}: the exact bytes to sign. Where the key is, run
  gpg --armor --detach-sign --output manifest.sig ${result.manifest}
and here, with the signature brought back,
  superblock-builder sign ${result.file} --import manifest.sig --key PUBLIC_KEY_FILE`

const count = (signatures: number) => (signatures === 1 ? 'one signature' : `${signatures} signatures`)

/** What the signature will stand for, for the eyes of who gives it. */
const describe = (manifest: Manifest) => `Signing
  version    ${manifest.version} of ${manifest.timestamp}
  system     ${manifest.os}, ref ${manifest.ref}
  commit     ${manifest.commit}
  compatible ${manifest.compatible.map(name => safe(name)).join(', ')}
  epoch      ${manifest.epoch}`

/** The manifest of a package whose head and index are whole. */
async function readPackage(file: string) {
  const source = await openFile(file)
  try {
    const head = await readHead(source)
    const manifest = parseManifest(head.manifest)
    await readIndex(source, head, manifest)
    const fingerprints = head.signatures.map(({ name }) => name.replace(/^.*\/|\.asc$/g, ''))
    return { manifest, bytes: head.manifest, id: head.id, fingerprints }
  } finally {
    await source.close()
  }
}

async function importAll(files: readonly string[], key: string, bytes: Buffer, manifest: Manifest) {
  const keyring = await loadKeys([key])
  if (keyring.keys.length === 0)
    throw new Failure('bad-key', keyring.problems[0] ?? `cannot use ${key}: there is no public key in it`)
  const signatures: Signature[] = []
  for (const file of files) {
    const signature = await readFile(file).catch(error => {
      throw new Failure('bad-signature', `cannot read ${file}: ${errno(error) ?? String(error)}`, { cause: error })
    })
    const signer = await signerOf(bytes, signature, keyring)
    refuseEarly(signer.made, manifest.timestamp)
    signatures.push(signer)
  }
  return signatures
}
