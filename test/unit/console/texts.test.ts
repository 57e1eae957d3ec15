/** The catalogue: both languages complete, nothing in it that nobody says, every code with its sentence, its advice and its number. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { NUMBERS, spoken } from '../../../src/console/numbers.ts'
import { english, german, texts } from '../../../src/console/texts.ts'
import { REFUSALS } from '../../../src/trust.ts'
import { STEPS } from '../../../src/update/state.ts'
import { PROJECT } from '../../kit/project.ts'

type Tree = { readonly [key: string]: unknown }
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null

/** `job.installing` for every sentence, with what is there. */
const leaves = (tree: Tree, above = ''): [string, unknown][] =>
  Object.entries(tree).flatMap(([key, value]) =>
    isTree(value) ? leaves(value, `${above}${key}.`) : ([[above + key, value]] as [string, unknown][]),
  )

const source = (folder: string): string =>
  readdirSync(join(PROJECT, folder), { recursive: true, encoding: 'utf8' })
    .filter(path => /\.tsx?$/.test(path) && !path.startsWith('texts/'))
    .map(path => readFileSync(join(PROJECT, folder, path), 'utf8'))
    .join('\n')
const CODE = source('src/console') + source('src/cli')

/** A sentence with values as it may be filled in. */
const said = (value: unknown): string =>
  typeof value === 'function'
    ? String(value(...Array(value.length).fill((name: string) => `<${name}>`)))
    : String(value)

/** What is the same in both languages, and rightly so. */
const SAME = [
  ...['title', 'job.perSecond', 'trial.took', 'home.stick', 'history.commit', 'history.code', 'trouble.code'],
  ...['home.problem'],
]

test('both languages have the same sentences, of the same kind, and none is empty', () => {
  const kinds = (language: Tree) =>
    leaves(language)
      .map(([key, value]) => [key, typeof value])
      .sort()
  expect(kinds(german)).toEqual(kinds(english))
  for (const language of [english, german])
    for (const [key, value] of leaves(language)) expect(said(value).trim(), key).not.toBe('')
})

test('no German sentence was left in English', () => {
  const other = new Map(leaves(english))
  const same = leaves(german).filter(([key, value]) => said(value) === said(other.get(key)))
  expect(same.map(([key]) => key).sort()).toEqual([...SAME].sort())
})

test('the values of a sentence are in it in both languages', () => {
  const named = (text: string) => [...new Set(text.match(/<\w+>/g) ?? [])].sort()
  const values = (language: Tree) =>
    leaves(language)
      .filter(([key]) => key.startsWith('what.') || key.startsWith('medium.'))
      .map(([key, value]) => [key, named(said((value as (fact: unknown) => string)((name: string) => `<${name}>`)))])
  expect(values(german)).toEqual(values(english))
})

const MISSES = ['packed', 'unfinished', 'misnamed', 'unpacked', 'too-deep', 'hidden', 'not-a-file']

/** Groups whose sentences are chosen by a name that the service sends, and those names. */
const BY_NAME: Record<string, readonly string[]> = {
  state: ['running', 'paused', 'reboot', 'trying', 'done', 'fell-back', 'failed', 'cancelled'],
  step: [...STEPS, 'rollback', 'check', 'repair'],
  healthWord: ['good', 'bad', 'checking', 'none'],
  mediumState: ['reading', 'ready', 'trouble'],
  event: [
    ...['installed', 'good', 'unhealthy', 'fell-back', 'rollback', 'cancelled', 'failed', 'journal-damaged'],
    ...['unreadable', 'removed', 'repaired', 'mended'],
  ],
  short: REFUSALS,
  miss: MISSES,
  what: Object.keys(english.what),
  next: Object.keys(english.what),
  medium: Object.keys(english.medium),
}

test.each(Object.entries(BY_NAME))('the sentences of %s are those that can be asked for', (group, names) => {
  expect(Object.keys((english as Tree)[group] as Tree).sort()).toEqual([...names].sort())
  expect(CODE).toMatch(new RegExp(`\\bt\\.${group}\\b`))
})

test('every refusal has its sentence', () => {
  expect(Object.keys(english.what)).toEqual(expect.arrayContaining([...REFUSALS]))
})

test('every code that media get has its words', () => {
  const media = source('src/media')
  const inTable = /SENTENCES[^{]*\{[^}]*\} = \{([\s\S]*?)\n\}/.exec(media)?.[1] ?? ''
  const names = [
    ...[...media.matchAll(/code: '([a-z-]+)'/g)].map(([, code]) => code ?? ''),
    ...[...inTable.matchAll(/^ {2}'?([a-z-]+)'?: /gm)].map(([, code]) => code ?? ''),
  ]
  expect(names.length).toBeGreaterThan(7)
  expect(Object.keys(english.medium)).toEqual(expect.arrayContaining(names))
})

test('every code that a job or a problem gets from the service has its words', () => {
  const names = [...source('src/update').matchAll(/(?:code: |Failure\()'([a-z-]+)'/g)].map(([, code]) => code ?? '')
  // What a request can be refused for only where it is malformed, or the service does not even start.
  const unseen = ['bad-request', 'not-booted', 'ambiguous']
  expect(names.length).toBeGreaterThan(10)
  expect([...new Set(names)].filter(code => !unseen.includes(code) && !Object.hasOwn(english.what, code))).toEqual([])
})

test('every event that the service records has its words', () => {
  const events = [
    ...source('src/update').matchAll(/(?:recordOnce|history\.add)\((?:cancelled \? )?'([a-z-]+)'(?: : '([a-z-]+)')?/g),
  ]
  const names = events.flatMap(([, one, other]) => [one ?? '', ...(other ? [other] : [])])
  expect(names.length).toBeGreaterThan(5)
  expect(Object.keys(english.event)).toEqual(expect.arrayContaining(names))
})

test('no sentence is in the catalogue that nothing shows', () => {
  const aliases = (key: string) => {
    const [group = '', leaf] = key.split('.')
    // `const { stick } = frame.t` and the like
    return leaf === undefined ? `\\bt\\.${group}\\b` : `\\b${group}\\.${leaf}\\b`
  }
  const unused = leaves(english)
    .map(([key]) => key)
    .filter(key => !((key.split('.')[0] ?? '') in BY_NAME) && !new RegExp(aliases(key)).test(CODE))
  expect(unused).toEqual([])
})

describe('the numbers for the telephone', () => {
  test('every code has one of its own, three digits long', () => {
    const numbers = Object.values(NUMBERS)
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(numbers.every(number => number >= 100 && number < 1000)).toBe(true)
    expect(Object.keys(NUMBERS).sort()).toEqual(
      [...new Set([...Object.keys(english.what), ...Object.keys(english.medium)])].sort(),
    )
  })

  test('they are read out digit by digit; a code without one as it is', () => {
    expect(spoken('unhealthy')).toBe('3 0 1 (unhealthy)')
    expect(spoken('flux')).toBe('flux')
    expect(spoken('toString')).toBe('toString')
  })

  test('the list for support has them all, with what they mean', () => {
    const page = readFileSync(join(PROJECT, 'docs/console.md'), 'utf8')
    const missing = Object.entries(NUMBERS).filter(([code, number]) => !page.includes(`| ${number} | \`${code}\` |`))
    expect(missing).toEqual([])
  })
})

test.each([
  [{}, english],
  [{ LANG: 'C.UTF-8' }, english],
  [{ LANG: 'de_DE.UTF-8' }, german],
  [{ LANG: 'de' }, german],
  [{ LANG: 'de_AT' }, german],
  [{ LANG: 'den_CA.UTF-8' }, english],
  [{ LANG: 'de_DE.UTF-8', LC_MESSAGES: 'en_US.UTF-8' }, english],
  [{ LANG: 'en_US.UTF-8', LC_MESSAGES: 'de_DE.UTF-8' }, german],
  [{ LANG: 'de_DE.UTF-8', LC_MESSAGES: 'de_DE.UTF-8', LC_ALL: 'C' }, english],
  [{ LANG: 'de_DE.UTF-8', LC_ALL: '' }, german],
])('%j', (env, language) => expect(texts(env)).toBe(language))
