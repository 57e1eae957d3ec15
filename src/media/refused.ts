/** Sticks that were not mounted, by the notes that superblock-media leaves (systemd/superblock-media): visible, with a sentence. */
import { join } from 'node:path'
import { listIfThere, readIfThere } from '../base/files.ts'
import { safe } from '../base/text.ts'
import { type Medium, SILENT } from './medium.ts'

interface Note {
  filesystem: string
  details: string
  /** what this device can read, of what computers format sticks with */
  formats: readonly string[]
}

const use = ({ formats }: Note) => (formats.length > 0 ? `use ${anyOf(formats)}` : 'use another one')
const format = ({ formats }: Note) => (formats.length > 0 ? `format it as ${anyOf(formats)}` : 'format it anew')
const anyOf = (names: readonly string[]) => new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(names)

const SENTENCES: { [code: string]: (note: Note) => string } = {
  'unsupported-filesystem': note => `its filesystem is ${note.filesystem}; ${use(note)}`,
  encrypted: () => 'it is encrypted; use one that is not',
  unreadable: ({ details }) => `it cannot be read${details ? `: ${details}` : ''}; use another one`,
  'no-filesystem': note => `there is no filesystem on it that this device knows; ${format(note)}`,
  'no-partition': note => `there is no partition on it that can be used; ${format(note)}`,
  'not-answering': () => SILENT.text,
  ambivalent: note => `it has the marks of several filesystems; ${format(note)}`,
}

/** Filesystems by the names that computers have for them. */
const NAMES: { [filesystem: string]: string } = { vfat: 'FAT', exfat: 'exFAT', ntfs: 'NTFS', ntfs3: 'NTFS' }
/** Likewise, to format a stick with; what none is formatted with is left out. */
const FORMATS: { [filesystem: string]: string } = { ...NAMES, vfat: 'FAT32', iso9660: '', udf: '', squashfs: '' }
const formatsOf = (filesystems: string) =>
  filesystems
    .split(' ')
    .map(name => safe(FORMATS[name] ?? name, 20))
    .filter(name => name !== '')

/** @param folder one note a stick: code, filesystem, details, and what can be read, a line each; in order of their names */
export async function readRefused(folder: string): Promise<Medium[]> {
  const media: Medium[] = []
  for (const name of await listIfThere(folder)) {
    if (name.endsWith('.new')) continue
    const lines = ((await readIfThere(join(folder, name))) ?? '').split('\n')
    const [code = '', filesystem = '', details = '', filesystems = ''] = lines
    const formats = formatsOf(filesystems)
    const called = safe(NAMES[filesystem] ?? filesystem, 40)
    const text = SENTENCES[code]?.({ filesystem: called, details: safe(details), formats })
    if (text === undefined) continue
    const said = { code, text, facts: { filesystem: called, formats: formats.join(' ') } }
    media.push({ path: `/dev/${name}`, name, kind: 'stick', filesystem, state: 'trouble', ...said })
  }
  return media
}
