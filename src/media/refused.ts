/** Sticks that were not mounted, by the notes that superblock-media leaves (systemd/superblock-media): visible, with a sentence. */
import { join } from 'node:path'
import { listIfThere, readIfThere } from '../base/files.ts'
import { safe } from '../base/text.ts'
import type { Medium } from './medium.ts'

const SENTENCES: { [code: string]: (filesystem: string, details: string) => string } = {
  'unsupported-filesystem': filesystem => `its filesystem is ${filesystem}; use FAT32, exFAT, NTFS or ext4`,
  encrypted: () => 'it is encrypted; use one that is not',
  unreadable: (_, details) => `it cannot be read${details ? `: ${details}` : ''}; use another one`,
  'no-filesystem': () => 'there is no filesystem on it that this device knows; format it as FAT32, exFAT, NTFS or ext4',
  ambivalent: () => 'it has the marks of several filesystems; format it anew',
}

/** @param folder one note a stick: code, filesystem and details, a line each; in order of their names */
export async function readRefused(folder: string): Promise<Medium[]> {
  const media: Medium[] = []
  for (const name of await listIfThere(folder)) {
    if (name.endsWith('.new')) continue
    const [code = '', filesystem = '', details = ''] = ((await readIfThere(join(folder, name))) ?? '').split('\n')
    const sentence = SENTENCES[code]
    if (!sentence) continue
    const text = sentence(safe(filesystem, 40), safe(details))
    media.push({ path: `/dev/${name}`, name, kind: 'stick', filesystem, state: 'trouble', code, text })
  }
  return media
}
