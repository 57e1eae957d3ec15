/** The private copy of what an installation lacks: an archive repo on the device's own disk that outlives stick and power cut. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, mkdir, open, stat, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isThere, listIfThere, privateFolder, removeTree } from '../base/files.ts'
import { makeFlusher } from '../base/flush.ts'
import { run } from '../base/run.ts'
import { ARCHIVE_CONFIG } from '../ostree/commit.ts'
import type { Member } from '../package/index.ts'
import { copyMembers, type Source } from '../package/read.ts'

export interface Staging {
  /** the archive repo, for `ostree pull-local` */
  repo: string
  /** where a member lies or will lie */
  pathOf(member: { path: string }): string
  /** Which of these members are here whole: each is hashed anew, since a power cut may have left holes. Others are removed. */
  present(members: readonly Member[], onBytes: (count: number) => void): Promise<Set<string>>
  /**
   * Copy members from the stick, each checked against the signed index before it is used. Flushed at the end.
   * @param read those that planning has read and checked already: nothing is read twice
   */
  fill(
    source: Source,
    members: readonly Member[],
    read: ReadonlyMap<string, Buffer>,
    onBytes: (count: number) => void,
  ): Promise<void>
  drop(): Promise<void>
}

const root = (folder: string) => join(folder, 'staging')

/** @param id SHA-256 of the manifest: another stick with the same package continues here */
export function stagingOf(folder: string, id: string): Staging {
  const own = join(root(folder), id)
  const repo = join(own, 'repo')
  const pathOf = ({ path }: { path: string }) => join(repo, path)
  return {
    repo,
    pathOf,
    async present(members, onBytes) {
      await removeForeign(root(folder))
      await removeForeign(own)
      const whole = new Set<string>()
      if (!(await isThere(repo))) return whole
      const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
      for (const member of members) {
        const path = pathOf(member)
        const size = await stat(path).then(
          found => found.size,
          () => undefined,
        )
        if (size === undefined) continue
        onBytes(size)
        if (size === member.size && (await hashOf(path, buffer)) === member.sha256) whole.add(member.path)
        else await unlink(path)
      }
      return whole
    },
    async fill(source, members, read, onBytes) {
      await privateFolder(own)
      // All that ostree looks for in a repo that it only reads.
      const folders = ['objects', 'refs/heads', 'tmp', 'state'].map(name => join(repo, name))
      for (const folder of new Set([...folders, ...members.map(member => dirname(pathOf(member)))]))
        await mkdir(folder, { recursive: true, mode: 0o700 })
      await writeFile(join(repo, 'config'), ARCHIVE_CONFIG, { mode: 0o600 })
      for (const member of members) {
        const bytes = read.get(member.path)
        if (bytes) await writeFile(pathOf(member), bytes, { flag: 'wx', mode: 0o600 })
      }
      const unread = members.filter(member => !read.has(member.path))
      const flusher = makeFlusher(own)
      let written = 0
      await copyMembers(source, unread, pathOf, count => {
        onBytes(count)
        written += count
        flusher.written(written)
      })
      await flusher.end()
    },
    // Node takes ten times as long as rm for ten thousand files.
    drop: async () => void (await run(['rm', '-rf', '--', own])),
  }
}

/** Staging of other packages, left by jobs that are over. */
export async function dropStagingExcept(folder: string, id: string | undefined): Promise<void> {
  await removeForeign(root(folder))
  for (const name of await listIfThere(root(folder))) if (name !== id) await removeTree(join(root(folder), name))
}

/** What is there and is no folder that only we can write to was planted: it goes, and no link is followed on the way. */
async function removeForeign(path: string): Promise<void> {
  if (!(await isThere(path))) return
  const { mode, uid } = await lstat(path)
  if ((mode & constants.S_IFMT) !== constants.S_IFDIR || (mode & 0o022) !== 0 || uid !== process.getuid?.())
    await removeTree(path)
}

/** @param buffer used for reading: a new one for each read would fill the memory */
async function hashOf(path: string, buffer: Buffer): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path)
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}
