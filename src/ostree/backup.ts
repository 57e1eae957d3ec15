/**
 * Copies of the small files by which a device starts: boot entries, GRUB's menu, origins, and the commits that say what a release is.
 * All else can come back from a package; these are of the device alone, or are needed to know which package that is.
 */
import { readlink, unlink, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import * as v from 'valibot'
import { listIfThere, readBounded, replaceFile } from '../base/files.ts'
import { copyTexts, type Engine } from './engine.ts'
import { deploymentFolders, type LoaderEntry, readLoader } from './loader.ts'
import { copyInto } from './mend.ts'
import { isNamed, objectPath } from './object.ts'
import { readSound } from './objects.ts'

const FILE_LIMIT = 256 * 1024
/** A commit says a few words of its release. */
const COMMIT_LIMIT = 64 * 1024
const BACKUP_LIMIT = 4 * 1024 * 1024

const Schema = v.object({
  format: v.literal(1),
  /** what ostree had made when they were copied: see signOf */
  sign: v.string(),
  /** by path below the sysroot */
  files: v.record(
    v.pipe(v.string(), v.regex(/^(boot\/loader[^/]*|ostree\/deploy\/[^/]+\/deploy)\/(entries\/)?[^/]+$/)),
    v.string(),
  ),
  /** by checksum, in base64 */
  commits: v.record(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)), v.string()),
})
type Backup = v.InferOutput<typeof Schema>

const path = (folder: string) => join(folder, 'boot-files.json')

/** Which deployments there are, and which of its two sets of entries counts: with another one, other files are right. */
async function signOf(engine: Engine): Promise<string> {
  const loader = await readlink(join(engine.boot, 'loader')).catch(() => '')
  const folders = (await deploymentFolders(engine)).map(({ folder }) => folder).sort()
  return [loader, ...folders].join('\n')
}

/** The files as they are; those that are no text of reasonable size are left out. */
async function filesNow(engine: Engine): Promise<Map<string, string>> {
  const loader = join(engine.boot, 'loader')
  const entries = (await listIfThere(join(loader, 'entries')).catch(() => [])).map(name =>
    join(loader, 'entries', name),
  )
  const origins = (await deploymentFolders(engine)).map(({ folder }) => join(engine.sysroot, `${folder}.origin`))
  const files = new Map<string, string>()
  for (const file of [...entries, join(loader, 'grub.cfg'), ...origins]) {
    const bytes = await readBounded(file, FILE_LIMIT).catch(() => undefined)
    if (bytes) files.set(relative(engine.sysroot, file), bytes.toString('utf8'))
  }
  return files
}

/** Those of the deployments; one that is damaged by now stays as it was copied. */
async function commitsNow(engine: Engine, before: Backup['commits']): Promise<Backup['commits']> {
  const commits: Backup['commits'] = {}
  for (const { commit } of await deploymentFolders(engine)) {
    const bytes = await readSound(engine.repo, objectPath(commit, 'commit'))
    const copy = bytes && bytes.length <= COMMIT_LIMIT ? bytes.toString('base64') : before[commit]
    if (copy !== undefined) commits[commit] = copy
  }
  return commits
}

/** Where GRUB starts the device, its menu repeats what the entries say: two places that agree are as somebody meant them. */
function agree(entries: readonly LoaderEntry[], menu: string | undefined): boolean {
  if (menu === undefined) return true
  return entries.every(({ options, kernel }) => menu.includes(options.join(' ')) && menu.includes(basename(kernel)))
}

const isOrigin = (file: string) => file.endsWith('.origin')
const isMenu = (file: string) => file.endsWith('/grub.cfg')

async function read(folder: string): Promise<Backup | undefined> {
  try {
    return v.parse(Schema, JSON.parse((await readBounded(path(folder), BACKUP_LIMIT))?.toString('utf8') ?? 'null'))
  } catch {
    return undefined
  }
}

/**
 * Copy the files, unless that was done or they cannot be right.
 * @param folder of the service's state
 * @throws system errors of the disk
 */
export async function backUp(engine: Engine, folder: string): Promise<void> {
  const [sign, before, files, { entries, damaged }] = [
    await signOf(engine),
    await read(folder),
    await filesNow(engine),
    await readLoader(engine),
  ]
  const menu = [...files].find(([file]) => isMenu(file))?.[1]
  const originsAreThere = entries.every(({ deployment }) =>
    /^refspec=./m.test(files.get(`${deployment.folder}.origin`) ?? ''),
  )
  if (damaged.length > 0 || entries.length === 0 || !originsAreThere || !agree(entries, menu)) return
  const commits = await commitsNow(engine, before?.commits ?? {})
  const now: Backup = { format: 1, sign, files: Object.fromEntries(files), commits }
  if (JSON.stringify(before) !== JSON.stringify(now)) await replaceFile(path(folder), JSON.stringify(now))
}

/**
 * Files that are not what was copied, and by which the device could not start, or ostree not work.
 * @param folder of the service's state
 * @returns their paths, and what belongs there
 */
export async function damagedFiles(engine: Engine, folder: string): Promise<Map<string, string>> {
  const backup = await read(folder)
  const right = new Map<string, string>()
  if (!backup || backup.sign !== (await signOf(engine))) return right
  const now = await filesNow(engine)
  const { entries, damaged } = await readLoader(engine)
  const menu = [...now].find(([file]) => isMenu(file))?.[1]
  const isMeant = damaged.length === 0 && menu !== '' && agree(entries, menu)
  for (const [file, text] of Object.entries(backup.files)) {
    if (now.get(file) === text) continue
    // Kernel arguments that somebody changed are in entries and menu alike, and are left as they are.
    const isBad = isOrigin(file) ? !/^refspec=./m.test(now.get(file) ?? '') : !isMeant || !now.has(file)
    if (isBad) right.set(join(engine.sysroot, file), text)
  }
  return right
}

/**
 * Put those files back, and commits of deployments that are damaged.
 * @param folder of the service's state
 * @returns their paths
 * @throws Failure `command-failed`
 */
export async function restoreFiles(engine: Engine, folder: string): Promise<string[]> {
  const commits = await restoreCommits(engine, (await read(folder))?.commits ?? {})
  const right = await damagedFiles(engine, folder)
  await copyTexts(engine, right)
  return [...commits, ...right.keys()]
}

async function restoreCommits(engine: Engine, copies: Backup['commits']): Promise<string[]> {
  const restored: string[] = []
  const from = join(engine.folder, 'commit')
  for (const commit of new Set((await deploymentFolders(engine)).map(one => one.commit))) {
    const copy = Buffer.from(copies[commit] ?? '', 'base64')
    const object = objectPath(commit, 'commit')
    if (!isNamed(commit, copy) || (await readSound(engine.repo, object))) continue
    await writeFile(from, copy, { mode: 0o644 })
    await copyInto(engine, [{ from, to: join(engine.repo, object) }])
    restored.push(join(engine.repo, object))
  }
  if (restored.length > 0) await unlink(from)
  return restored
}
