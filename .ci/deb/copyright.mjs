// debian/copyright: this product's licence, and those of the modules that are shipped in and beside its programs.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Licences whose text Debian systems have in /usr/share/common-licenses, and those whose text is in the modules. */
const COMMON = { 'Apache-2.0': 'Apache-2.0', 'LGPL-3.0+': 'LGPL-3', 'LGPL-3.0-or-later': 'LGPL-3' }
const IN_MODULE = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD']

const indented = text =>
  text
    .trim()
    .replace(/\r/g, '')
    .replace(/^(?=.)/gm, '    ')

/**
 * One module's entry.
 * @throws Error for a licence that nobody has looked at yet, or a text that is missing
 */
function entry(folder) {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const head = `${name} ${version}, ${license}`
  if (COMMON[license]) return `${head}\n\n    The text is in /usr/share/common-licenses/${COMMON[license]}.\n`
  if (!IN_MODULE.includes(license)) throw new Error(`cannot ship ${name}: nobody has looked at its licence, ${license}`)
  const file = readdirSync(folder).find(one => /^(licen[cs]e|copying)/i.test(one))
  if (file) return `${head}\n\n${indented(readFileSync(join(folder, file), 'utf8'))}\n`
  // Some modules name their licence without its text.
  const holder = typeof author === 'string' ? author : (author?.name ?? 'its authors')
  return `${head}\n\n    Copyright ${holder}; the conditions of the ${license} licence as above.\n`
}

/** @param folders of the modules */
export function copyright(folders) {
  return `superblock is licensed under the Apache License, version 2.0; on Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.

Copyright: the superblock authors

The programs in /usr/lib/superblock contain these modules, or use them from /usr/lib/superblock/node_modules. openpgp is
there as a module of its own, unchanged, and can be replaced.

${[...new Set(folders)].sort().map(entry).join('\n')}`
}
