/**
 * Whether a device that runs a release can be given the next one: its own settings, its keys, its checks and hooks. What would
 * strand it is refused, what is doubtful is said.
 */
import { Failure } from '../base/failure.ts'
import { CONFIG_FOLDERS, type Config, readConfig } from '../config.ts'
import { textOf } from '../package/encoding.ts'
import { checkKeys, type Keyless } from './tree/keys.ts'
import { sayPrograms } from './tree/programs.ts'
import type { View } from './tree/view.ts'
import type { Work } from './work.ts'

/** Bytes of a file with settings. */
const SETTINGS = 1024 * 1024

/**
 * @param doing of the command, as `commit tree`
 * @throws Failure `bad-settings`, `no-usable-key`
 */
export async function checkFollowed(doing: string, view: View, keyless: Keyless, work: Work): Promise<void> {
  if (!(await hasSuperblock(view))) {
    if (await view.find('/usr/lib/systemd/systemd'))
      work.note('WARNING: superblockd is not in this release: its devices cannot install any package.')
    return
  }
  const settings = await settingsOf(view, doing)
  if (settings.device.compatible === '')
    work.note(
      'WARNING: this release has no product name (device.compatible): no package fits its devices, unless they set one.',
    )
  await checkKeys(doing, view, settings, keyless, work)
  await sayPrograms(view, settings, work)
}

/** Whether the tree is one for superblock; others are nobody's business. */
export async function hasSuperblock(view: View): Promise<boolean> {
  if (await view.find('/usr/bin/superblockd')) return true
  for (const folder of CONFIG_FOLDERS) if ((await view.list(folder)).length > 0) return true
  return false
}

/** What the service of a device would read. @throws Failure `bad-settings` where it would not start with it */
export async function settingsOf(view: View, doing: string): Promise<Config> {
  const read = async (path: string) => {
    const found = await view.find(path)
    return found !== 'elsewhere' && found?.kind === 'file' ? textOf(await found.read(SETTINGS)) : undefined
  }
  try {
    return await readConfig(CONFIG_FOLDERS, { list: folder => view.list(folder), read })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure('bad-settings', `cannot ${doing}: its devices' service would not start: ${error.message}`, {
      cause: error,
    })
  }
}
