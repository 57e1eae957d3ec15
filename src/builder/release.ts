/** `release`: all steps from an ordinary sysroot to what is delivered, in one command. */
import { mkdir, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { findCommit } from '../ostree/commit.ts'
import { readCommit } from '../ostree/contents.ts'
import { type CommitOptions, type CommitResult, commit, commitText, OTA_JSON, readOtaJson } from './commit.ts'
import { explainDisk } from './disk.ts'
import { checkRelease, timestampOf } from './draft.ts'
import { checkScript, type ImageOptions, type ImageResult, image, imageText } from './image.ts'
import type { OwnerOptions } from './owners.ts'
import { makePackage, type PackageOptions, type PackageResult, packageText, readNotes } from './package.ts'
import { prepareSigners } from './signers.ts'
import { type SysrootOptions, sysroot } from './sysroot.ts'
import { refuseInside } from './tree/unpack.ts'
import { readUbootFile } from './uboot.ts'
import { type Work, withScratch } from './work.ts'

export interface ReleaseOptions
  extends Omit<SysrootOptions, 'out' | 'keyless'>,
    Omit<CommitOptions, 'input' | 'fromRepo' | keyof OwnerOptions | 'allowUnbootable' | 'gpgSign'>,
    Omit<PackageOptions, 'out' | 'rev' | 'fromSuperblock' | 'compatible'>,
    Pick<ImageOptions, 'bootLoader' | 'size' | 'dataSize'> {
  ref: string
  compatible?: string[]
  /** folder of the package and the image */
  out: string
  createSelfContainedPackage?: boolean
  createOtaSysroot?: boolean
}

export interface ReleaseResult {
  commit: CommitResult
  package: PackageResult | null
  image: ImageResult | null
}

/**
 * Convert, commit, and make what was asked for. Nothing is committed that could not be converted.
 * @throws Failure `usage`, `exists`, and those of the single steps
 */
export async function release(options: ReleaseOptions, given: Work): Promise<ReleaseResult> {
  const work = sayingOnce(given)
  const { os, version, compatible, out, createSelfContainedPackage, createOtaSysroot } = options
  if (createSelfContainedPackage && !compatible)
    throw new Failure('usage', 'cannot tell what to do: name the product that the package is for with --compatible')
  checkRelease(options.ref, version, os, compatible)
  if (options.otaJson !== undefined) await readOtaJson(options.otaJson)
  if (createSelfContainedPackage) await readNotes(options)
  const packageFile = join(out, `${os}-${version}.superblock`)
  const imageFile = join(out, `${os}-${version}.img`)
  const wanted = [...(createSelfContainedPackage ? [packageFile] : []), ...(createOtaSysroot ? [imageFile] : [])]
  for (const file of wanted)
    if (await isThere(file))
      throw new Failure('exists', `cannot write ${file}: there is such a file already; remove it, or use --out`)
  // Settings go into the release; a script is for the image.
  const uboot = options.ubootEnvFile
  const script = uboot !== undefined && (await readUbootFile(uboot)).kind !== 'environment' ? uboot : undefined
  const forImage = { ...options, ubootEnvFile: script }
  if (createOtaSysroot) await checkScript(forImage)
  await prepareSigners(options, work) // a wrong passphrase is said before all the work
  await mkdir(out, { recursive: true }).catch(error => {
    throw explainDisk(error, out)
  })
  await refuseInside(options.sysrootImagePath, out)
  return withScratch(resolve(out), async scratch => {
    const tree = join(scratch, 'tree')
    const keyless = createSelfContainedPackage || createOtaSysroot ? 'refused' : 'files'
    await sysroot({ ...options, out: tree, keyless }, work)
    const made = await commitOnce({ ...options, input: tree, gpgSign: options.gpgSign?.[0] }, scratch, work)
    await rm(tree, { recursive: true, force: true })
    const found: ReleaseResult = { commit: made, package: null, image: null }
    if (createSelfContainedPackage && compatible) {
      const made = await makePackage({ ...options, compatible, out: join(scratch, 'package') }, work)
      await rename(made.file, packageFile)
      found.package = { ...made, file: packageFile }
    }
    if (createOtaSysroot) found.image = await image({ ...forImage, out: imageFile }, work)
    return found
  })
}

/** Every step looks at the same tree, and would say the same about it. */
function sayingOnce(work: Work): Work {
  const said = new Set<string>()
  const note = (text: string) => {
    if (!said.has(text)) work.note(text)
    said.add(text)
  }
  return { ...work, note }
}

/**
 * A run that was interrupted after its commit is gone on with: the same version of the same files is the same release.
 * @throws Failure `version-taken` when they are other files
 */
async function commitOnce(options: CommitOptions, scratch: string, work: Work): Promise<CommitResult> {
  const { ostreeRepo: repo, ref, version } = options
  try {
    return await commit(options, work)
  } catch (error) {
    const head = error instanceof Failure && error.code === 'version-taken' ? await findCommit(repo, ref) : undefined
    if (head === undefined) throw error
    const before = await readCommit(repo, head)
    if (before.metadata.get('version') !== version) throw error
    const again = await commit({ ...options, ostreeRepo: join(scratch, 'repo'), gpgSign: undefined }, work)
    const now = await readCommit(again.repo, again.commit)
    const same = before.root.tree === now.root.tree && before.root.meta === now.root.meta
    if (!same || before.metadata.get(OTA_JSON) !== now.metadata.get(OTA_JSON)) throw error
    work.note(`Version ${version} of ${ref} was committed before, with the same files; going on with it.`)
    return { ...again, commit: head, timestamp: timestampOf(before.timestamp), parent: before.parent ?? null, repo }
  }
}

export function releaseText({ commit, package: file, image }: ReleaseResult): string {
  const texts = [commitText(commit)]
  if (file) texts.push(packageText(file))
  if (image) texts.push(imageText(image))
  return texts.join('\n')
}
