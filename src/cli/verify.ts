/** `superblock verify`: all that a package holds against its signatures; no service takes part. */
import { Failure } from '../base/failure.ts'
import { bytes, safe } from '../base/text.ts'
import { parseCommit } from '../ostree/contents.ts'
import { objectPath } from '../ostree/object.ts'
import type { Index } from '../package/index.ts'
import { commitMismatch, type Manifest, parseManifest } from '../package/manifest.ts'
import { readIndex, readMember, type Source, verifyWhole } from '../package/read.ts'
import type { Verdict } from '../trust.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { type Io, say, sayJson } from './io.ts'
import { judgeDates, openPackage } from './package.ts'

/** @throws Failure with the refusal's code where something does not hold */
export async function verify(context: Context, file: string, options: { key?: string[] }): Promise<number> {
  const { io, json } = context
  const opened = await openPackage(context, file, options.key)
  try {
    insist(file, opened.trusted)
    const manifest = parseManifest(opened.head.manifest)
    insist(file, judgeDates(manifest, opened))
    const members = await readIndex(opened.source, opened.head, manifest)
    const meter = json ? undefined : progress(io, opened.source.size)
    await verifyWhole(opened.source, members, meter?.count)
    meter?.end()
    await checkCommit(file, opened.source, manifest, members)
    const { version, commit } = manifest
    const signers = opened.signers.map(({ fingerprint, userId }) => ({ fingerprint, userId }))
    if (json) sayJson(io, { ok: true, id: opened.head.id, version, commit, size: opened.source.size, signers })
    else {
      say(
        io,
        `${safe(file)}: good. Version ${safe(version)}, ${members.length} members, ${bytes(opened.source.size)}, all of its content checked.`,
      )
      for (const signer of signers) say(io, `  signed by ${safe(signer.userId)}  ${safe(signer.fingerprint)}`)
      for (const { file, why } of opened.rejected) say(io, `  does not count: ${safe(file)}: ${safe(why, 400)}`)
    }
    return EXIT.ok
  } finally {
    await opened.source.close()
  }
}

/** The commit that is installed must be the release that the manifest speaks of; within a delta nobody has it yet. */
async function checkCommit(file: string, source: Source, manifest: Manifest, index: Index) {
  const member = index.find(objectPath(manifest.commit, 'commit'))
  if (!member) return
  const refused = (code: string, why: string, cause?: unknown) =>
    new Failure(code, `cannot trust ${safe(file)}: ${why}; ask its maker for a new one`, { cause })
  const bytes = await readMember(source, member)
  const commit = parse(manifest.commit, bytes, error => refused('tampered', 'its commit is none', error))
  const mismatch = commitMismatch({ ...commit, version: commit.metadata.get('version') }, manifest)
  if (mismatch) throw refused('wrong-commit', mismatch)
}

function parse(checksum: string, bytes: Buffer, explained: (error: unknown) => Failure) {
  try {
    return parseCommit(checksum, bytes)
  } catch (error) {
    throw explained(error)
  }
}

function insist(file: string, verdict: Verdict): void {
  if (!verdict.fits) throw new Failure(verdict.code, `cannot trust ${safe(file)}: ${verdict.why}`)
}

/** A percentage that is drawn over: for who sits at a terminal, never among what the command answers. */
function progress({ stderr }: Io, size: number) {
  let done = 0
  let shown = -1
  return {
    count(more: number) {
      done += more
      const percent = size > 0 ? Math.floor(Math.min(1, done / size) * 100) : 100
      if (!stderr.isTTY || percent === shown) return
      shown = percent
      stderr.write(`\r\u001b[K${shown} %  ${bytes(done)} of ${bytes(size)}`)
    },
    end: () => void (stderr.isTTY && stderr.write('\r\u001b[K')),
  }
}
