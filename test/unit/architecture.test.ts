/** Who may import whom: the one-way street of docs/architecture.md, and the modules that have a single importer. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { PROJECT } from '../kit/project.ts'

/** Room (a folder of src, or a file in it) → the rooms it may import beside itself. */
const LOW = ['base', 'media', 'package', 'ostree', 'boot']
const MAY: Record<string, readonly string[]> = {
  base: [],
  media: ['base'],
  package: ['base'],
  ostree: ['base'],
  boot: ['base'],
  trust: LOW,
  update: [...LOW, 'trust'],
  control: [...LOW, 'trust', 'update'],
  console: [...LOW, 'trust', 'update', 'control'],
  cli: [...LOW, 'trust', 'update', 'control', 'console', 'config'],
  builder: ['base', 'package', 'ostree', 'config'],
  config: ['base'],
  'main superblockd': [...LOW, 'trust', 'update', 'control', 'config'],
  'main superblock': ['base', 'cli'],
  'main builder': ['base', 'builder'],
  'main reader': ['media'],
  'main prober': ['media'],
  'main trial': ['base', 'boot', 'ostree'],
}
/** The programs: files that share their name with a room would otherwise be taken for it. */
const MAINS: Record<string, string> = {
  'superblockd.ts': 'main superblockd',
  'superblock.ts': 'main superblock',
  'builder.ts': 'main builder',
  'reader.ts': 'main reader',
  'prober.ts': 'main prober',
  'trial.ts': 'main trial',
}
/** Module → the path that alone may import it. */
const SINGLE: Record<string, string> = {
  'node:child_process': 'base/run.ts',
  openpgp: 'package/',
  'tar-stream': 'package/',
}

const roomOf = (path: string) => MAINS[path] ?? (path.split('/')[0] ?? '').replace(/\.tsx?$/, '')

/** What is wrong with the imports (types included) of the files, given by their paths below src. */
function wrongImports(files: Record<string, string>): string[] {
  const wrong: string[] = []
  for (const [path, text] of Object.entries(files)) {
    const room = roomOf(path)
    const allowed = MAY[room]
    if (!allowed) wrong.push(`${path}: no room of the design`)
    for (const { target, typeOnly } of importsOf(text)) {
      if (target.startsWith('.')) {
        const to = normalize(join(path, '..', target))
        // The shape of the configuration is no secret: wiring hands its values down.
        if (to === 'config.ts' && typeOnly && ['update', 'control'].includes(room)) continue
        if (roomOf(to) !== room && !allowed?.includes(roomOf(to))) wrong.push(`${path} imports ${to}`)
      } else {
        const only = SINGLE[target.replace(/^child_process/, 'node:child_process')]
        if (only !== undefined && !path.startsWith(only)) wrong.push(`${path} imports ${target}`)
      }
    }
  }
  return wrong
}

/** The modules named by import and export declarations, import() and require(). */
const importsOf = (text: string) =>
  [
    ...text.matchAll(
      /(?<type>\bimport\s+type\b[^'"`;]*)?(?:\bfrom|\bimport|\b(?:import|require)\s*\()\s*(?<quote>['"`])(?<target>[^'"`\n]+)\k<quote>/g,
    ),
  ].map(({ groups }) => ({ target: groups?.target ?? '', typeOnly: groups?.type !== undefined }))

const source: Record<string, string> = {}
for (const path of readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' }))
  if (/\.tsx?$/.test(path) && !path.endsWith('.d.ts')) source[path] = readFileSync(join(PROJECT, 'src', path), 'utf8')

test('imports go one way, and child processes, OpenPGP, tar and the configuration have their only importers', () => {
  expect(Object.keys(source)).toContain('base/run.ts')
  expect(wrongImports(source)).toEqual([])
})

test.each([
  ['a room below imports one above', 'base/a.ts', `import { b } from '../update/b.ts'`],
  ['rooms of the same height import each other', 'package/a.ts', `import type { B } from '../ostree/b.ts'`],
  ['the builder knows the service', 'builder/a.ts', `export { b } from "../control/b.ts"`],
  ['a room reads the configuration', 'update/a.ts', `import { loadConfig } from '../config.ts'`],
  ['a room below the job knows the configuration', 'media/a.ts', `import type { Config } from '../config.ts'`],
  ['an import is hidden in a call', 'cli/a.ts', `const b = await import('../builder/b.ts')`],
  ['an import spans lines', 'boot/a.ts', `import {\n  b,\n} from '../media/b.ts'`],
  ['a child process is started elsewhere', 'base/files.ts', `import { spawn } from 'node:child_process'`],
  ['a child process by its old name', 'cli/a.ts', `const { spawn } = require('child_process')`],
  ['OpenPGP is used elsewhere', 'builder/a.ts', `import * as openpgp from 'openpgp'`],
  ['tar is used elsewhere', 'update/a.ts', `import 'tar-stream'`],
  ['a room is made up', 'helpers/a.ts', ''],
])('it is noticed when %s', (_, path, text) => {
  expect(wrongImports({ [path]: text })).toHaveLength(1)
})

test.each([
  ['console/app.tsx', `import { safe } from '../base/text.ts'\nimport { line } from './line.ts'`],
  ['superblockd.ts', `import { loadConfig } from './config.ts'`],
  ['update/updater.ts', `import type { Config } from '../config.ts'`],
  ['builder.ts', `import { commit } from './builder/commit.ts'`],
  ['package/signature.ts', `import { verify } from 'openpgp'`],
  ['base/run.ts', `import { spawn } from 'node:child_process'`],
])('%s may import what it needs', (path, text) => {
  expect(wrongImports({ [path]: text })).toEqual([])
})
