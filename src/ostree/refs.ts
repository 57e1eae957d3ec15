/** Names for commits in the device's repo: a file each, which a power cut can leave empty or with junk. */
import { lstat, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { readBounded } from '../base/files.ts'

/** More than a checksum and a line end. */
const LIMIT = 256

/** Files of refs that name no commit. ostree does not tidy up, or does not set a ref, where there is one. */
export async function findJunkRefs(repo: string): Promise<string[]> {
  const found: string[] = []
  for (const kind of ['heads', 'remotes', 'mirrors']) await look(join(repo, 'refs', kind), found)
  return found
}

async function look(folder: string, found: string[]): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name)
    if ((await lstat(path).catch(() => undefined))?.isDirectory()) await look(path, found)
    else if (!(await namesCommit(path))) found.push(path)
  }
}

/** An alias is a link to another ref. */
async function namesCommit(path: string): Promise<boolean> {
  const bytes = await realpath(path)
    .then(real => readBounded(real, LIMIT))
    .catch(() => undefined)
  return /^[0-9a-f]{64}\n?$/.test(bytes?.toString('latin1') ?? '')
}
