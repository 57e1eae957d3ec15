/** Man pages, completions and the configuration file of the Debian package, held against the programs themselves. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { loadConfig } from '../../../src/config.ts'
import { PROJECT } from '../../kit/project.ts'

const script = (name: string) => import(pathToFileURL(join(PROJECT, '.ci/deb', `${name}.mjs`)).href)
const { manPage } = await script('man')
const { bashCompletion, zshCompletion } = await script('completion')
const { configurationFile, configurationKeys } = await script('configuration')
const { changelog } = await script('changelog')

// The help of every verb is asked of a program of its own.
vi.setConfig({ testTimeout: 120_000 })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pages-'))
})
afterAll(() => rm(folder, { recursive: true }))

const page = (name: string): string => manPage(name, { version: '1.2.3', date: '2026-01-02' })
const plain = (roff: string) => roff.replaceAll('\\-', '-').replaceAll('\\&', '').replaceAll('\\e', '\\')
const { helpText: help } = await script('help')
/** Options that are defined, not those that a text speaks of. */
const optionsIn = (text: string) =>
  new Set([...text.matchAll(/^ {2}(?:-\w, )?(--[a-z][a-z0-9-]*)/gm)].map(([, option = '']) => option))
/** The verbs by the words that begin a line below "Commands:". */
const verbsIn = (text: string) =>
  [...(text.split('Commands:')[1]?.split('\n\n')[0] ?? '').matchAll(/^ {2}([a-z]+)/gm)]
    .map(([, verb = '']) => verb)
    .filter(verb => verb !== 'help')

test.each(['superblock', 'superblock-builder'])('the man page of %s knows every verb and option', program => {
  const text = plain(page(`${program}.1`))
  const main = help(program)
  expect(verbsIn(main).length).toBeGreaterThan(3)
  for (const option of optionsIn(main)) expect(text).toContain(option)
  for (const verb of verbsIn(main)) {
    const section = text.split(`\n.SS ${verb}\n`)[1]?.split(/\n\.S[HS] /)[0] ?? ''
    const own = help(program, verb)
    const global = own.split('Global Options:')[1]?.split('\n\n')[0] ?? ''
    for (const option of optionsIn(own.replace(global, '')))
      if (option !== '--help') expect(section, `${verb} ${option}`).toContain(option)
    const [usage = ''] = /(?<=Usage: ).*/.exec(own) ?? []
    expect(section).toContain(usage)
  }
})

test('the man page of superblockd knows every option', () => {
  const text = plain(page('superblockd.8'))
  const options = help('superblockd').match(/--[a-z]+/g)
  expect(options).toEqual(['--help', '--version'])
  for (const option of options) expect(text).toContain(option)
})

test.each(['superblock.1', 'superblock-builder.1', 'superblockd.8', 'superblock.toml.5'])(
  '%s is of this version, and everything in it is filled in',
  name => {
    expect(page(name)).toMatch(/^\.TH \S+ \d "2026-01-02" "superblock 1\.2\.3"/)
    expect(page(name)).not.toMatch(/@[A-Z]+@/)
  },
)

test('what the shipped configuration shows as defaults are the defaults, all of them', async () => {
  const text = configurationFile()
  await writeFile(join(folder, 'superblock.toml'), text)
  expect(await loadConfig([folder])).toEqual(await loadConfig([]))
  // Not only because everything is commented out.
  await writeFile(join(folder, 'superblock.toml'), text.replace(/^#(?=[a-z]+ = )/gm, ''))
  expect(await loadConfig([folder])).toEqual(await loadConfig([]))
  const flat = Object.entries(await loadConfig([])).flatMap(([key, value]) =>
    typeof value === 'object' ? Object.keys(value).map(inner => `${key}.${inner}`) : [key],
  )
  expect(configurationKeys().map(({ key }: { key: string }) => key)).toEqual(expect.arrayContaining(flat))
  expect(configurationKeys()).toHaveLength(flat.length)
})

test('bash completes verbs, the options of a verb, and the verb after an option with a value', async () => {
  await writeFile(join(folder, 'complete'), `${bashCompletion('superblock')}\n${bashCompletion('superblock-builder')}`)
  const complete = async (...words: string[]) => {
    const lines = [
      'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); shopt -s progcomp; compopt() { echo files; }',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash's
      '"_${1//-/_}"; printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    const { stdout } = await run(['bash', '-uc', lines.join('\n'), join(folder, 'complete'), ...words])
    return stdout.split('\n').filter(Boolean)
  }
  expect(await complete('superblock', 'st')).toEqual(['status'])
  expect(await complete('superblock', 'install', '--allow')).toEqual(['--allow-downgrade'])
  expect(await complete('superblock', 'status', '--allow')).toEqual([])
  expect(await complete('superblock', '--socket', 'install', 'ro')).toEqual(['rollback'])
  expect(await complete('superblock', 'install', '')).toEqual(['files'])
  expect(await complete('superblock', 'status', '')).toEqual([])
  expect(await complete('superblock-builder', 'package', '--from-s')).toEqual(['--from-superblock'])
})

test.each(['superblock', 'superblock-builder'])('zsh is told every verb and option of %s', program => {
  const text = zshCompletion(program)
  expect(text).toMatch(new RegExp(`^#compdef ${program}\n`))
  for (const verb of verbsIn(help(program)))
    for (const option of optionsIn(help(program, verb)))
      expect(text.split(`\n      ${verb}) `)[1]?.split(' ;;')[0]).toContain(`'${option}[`)
})

test("Debian's changelog begins with the version that is made", () => {
  const text: string = changelog({ version: '9.9.9~rc.1', epoch: 0, maintainer: 'A <a@b.example>' })
  expect(text).toMatch(/^superblock \(9\.9\.9~rc\.1\) unstable; urgency=medium\n\n {2}\* /)
  expect(text).toMatch(/\n -- A <a@b\.example> {2}Thu, 01 Jan 1970 00:00:00 \+0000\n/)
  for (const line of text.split('\n')) expect(line.length).toBeLessThan(200)
})
