/** How the device's repo keeps its objects, by its configuration: ostree.repo-config(5). */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PlainMode } from './unpack.ts'

export interface Storage {
  /** of a repo with unpacked objects for this device */
  mode: PlainMode
  /**
   * Whether ostree takes such objects in by a second name for each, on the same file system. Where the device's repo keeps
   * objects otherwise they are converted; and fs-verity, where it is configured, ostree only gives to what it writes.
   */
  links: boolean
}

export async function storageOf(repo: string): Promise<Storage> {
  const config = await readConfig(repo)
  const own = config.get('core')?.get('mode') ?? 'bare'
  const mode = own === 'bare-user-only' ? own : 'bare'
  return { mode, links: own === mode && !config.has('integrity') && !config.has('ex-integrity') }
}

/** The sections of the repo's GKeyFile with their keys. */
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
