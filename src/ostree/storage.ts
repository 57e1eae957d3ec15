/** How the device's repo keeps its objects, and whether it can take staged ones as they are: ostree.repo-config(5). */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isThere, listIfThere } from '../base/files.ts'
import type { Engine } from './engine.ts'
import type { PlainMode } from './unpack.ts'

/**
 * Mode of a repo for staging: unpacked, as the device's own repo, which then takes each object in by a second name; or an
 * archive, of which ostree unpacks, checks and writes each object itself.
 */
export type StagedMode = PlainMode | 'archive-z2'

/** @param folder in which staging is */
export async function stagedModeFor(engine: Engine, folder: string): Promise<StagedMode> {
  const mode = await linkableMode(engine.repo)
  return mode !== undefined && (await besideRepo(engine, folder)) !== undefined ? mode : 'archive-z2'
}

/**
 * The path by which ostree can link objects of a staged repo into the device's; undefined where it could not, for whatever
 * reason, and has to check and write them itself.
 */
export async function linkablePath(engine: Engine, source: string): Promise<string | undefined> {
  const mode = (await readConfig(source)).get('core')?.get('mode')
  return mode !== undefined && mode === (await linkableMode(engine.repo)) ? besideRepo(engine, source) : undefined
}

/** Content that is to have fs-verity gets it from ostree, and only when ostree writes it. */
async function linkableMode(repo: string): Promise<PlainMode | undefined> {
  const config = await readConfig(repo)
  const mode = config.get('core')?.get('mode') ?? 'bare'
  const verity = ['integrity', 'ex-integrity', 'ex-fsverity'].some(section => config.has(section))
  return !verity && (mode === 'bare' || mode === 'bare-user-only') ? mode : undefined
}

/**
 * The same folder by its way through /sysroot: /var is a mount of its own of a folder there, and no file gets a second name
 * across mounts. Undefined where /var is elsewhere.
 */
async function besideRepo(engine: Engine, path: string): Promise<string | undefined> {
  const [, inVar] = /^\/var\/(.+)$/.exec(path) ?? []
  if (inVar === undefined) return undefined
  const [own, repo] = [await stat(path), await stat(engine.repo)]
  const deploy = join(engine.sysroot, 'sysroot/ostree/deploy')
  for (const os of await listIfThere(deploy)) {
    const other = join(deploy, os, 'var', inVar)
    if (!(await isThere(other))) continue
    const { dev, ino } = await stat(other)
    if (dev === own.dev && ino === own.ino && dev === repo.dev) return other
  }
  return undefined
}

/** All that the settings of a repo must say. */
export const repoConfig = (mode: StagedMode): string => `[core]\nrepo_version=1\nmode=${mode}\n`

/** The sections of a repo's GKeyFile with their keys. */
export async function readConfig(repo: string): Promise<Map<string, Map<string, string>>> {
  const sections = new Map<string, Map<string, string>>()
  let keys = new Map<string, string>()
  for (const line of (await readFile(join(repo, 'config'), 'utf8')).split('\n').map(raw => raw.trim())) {
    const [, name] = /^\[(.*)\]$/.exec(line) ?? []
    const at = line.indexOf('=')
    if (name !== undefined) {
      keys = sections.get(name) ?? new Map()
      sections.set(name, keys)
    } else if (at > 0 && !line.startsWith('#')) keys.set(line.slice(0, at).trim(), line.slice(at + 1).trim())
  }
  return sections
}
