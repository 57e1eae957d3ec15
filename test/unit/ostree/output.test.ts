/** What ostree prints, as its versions really printed it (test/golden/capture.sh), is understood; anything else is not guessed at. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { surplusOf } from '../../../src/ostree/deploy.ts'
import { bootedOf, type Deployment, deploymentId, type Known, parseStatus } from '../../../src/ostree/status.ts'
import { PROJECT } from '../../kit/project.ts'

const GOLDEN = join(PROJECT, 'test/golden')
const versions = readdirSync(GOLDEN).filter(name => name.startsWith('ostree-'))

/** Nothing is known of any commit, and everything is there. */
const ANY: Known = { version: () => undefined, isThere: () => true }

/** `*sample 2.0 <sample/stable> pending`: a deployment in short. */
const short = (one: Deployment) =>
  [
    `${one.booted ? '*' : ''}${one.os} ${one.version || '-'}.${one.serial} <${one.ref}>`,
    ...(['pending', 'rollback', 'staged', 'pinned'] as const).filter(flag => one[flag]),
  ].join(' ')

const tail = [
  '*sample 3.0 (beta) *.0 <sample/next>',
  'sample 2.0.0 <sample/stable> rollback',
  'sample 1.0.0 <sample/stable> pinned',
]
const unversioned = ['sample -.1 <>', 'sample -.0 <sample/plain>']
const expected: Record<string, string[]> = {
  empty: [],
  'not-booted': ['sample 1.0.0 <sample/stable>'],
  fresh: ['*sample 1.0.0 <sample/stable>'],
  pending: ['sample 2.0.0 <sample/stable> pending', '*sample 1.0.0 <sample/stable>'],
  'two-pending': [
    'sample 3.0 (beta) *.0 <sample/next> pending',
    'sample 2.0.0 <sample/stable>',
    '*sample 1.0.0 <sample/stable>',
  ],
  pinned: [
    'sample 3.0 (beta) *.0 <sample/next> pending',
    'sample 2.0.0 <sample/stable>',
    '*sample 1.0.0 <sample/stable> pinned',
  ],
  three: tail,
  'no-version': ['sample -.1 <> pending', 'sample -.0 <sample/plain>', ...tail],
  'other-os': ['other 2.0.0 <sample/stable>', 'sample -.1 <> pending', 'sample -.0 <sample/plain>', ...tail],
  signed: ['sample 3.1.0 <sample/signed> pending', 'other 2.0.0 <sample/stable>', ...unversioned, ...tail],
  staged: [
    'sample 2.0.1 <sample/stable> staged',
    'sample 3.1.0 <sample/signed>',
    'other 2.0.0 <sample/stable>',
    ...unversioned,
    ...tail,
  ],
}

test('there are outputs of both versions', () => expect(versions).toEqual(['ostree-2022.7', 'ostree-2025.2']))

describe.each(versions)('%s', version => {
  const golden = (name: string) => readFileSync(join(GOLDEN, version, `${name}.txt`), 'utf8')

  test.each(Object.keys(expected))('status: %s', state => {
    const list = parseStatus(golden(`status-${state}`), ANY)
    expect(list.map(short)).toEqual(expected[state])
    expect(list.map(one => one.index)).toEqual(list.map((_, at) => at))
    for (const one of list) expect(golden(`status-${state}`)).toContain(` ${one.os} ${deploymentId(one)}`)
  })

  test('no state was captured that is not looked at', () => {
    const states = readdirSync(join(GOLDEN, version)).flatMap(name => /^status-(.*)\.txt$/.exec(name)?.[1] ?? [])
    expect(states.sort()).toEqual(Object.keys(expected).sort())
  })
})

test.each([
  ['nothing', ''],
  ['an error', 'error: opening repo: No such file or directory\n'],
  ['a detail without a deployment', '    Version: 1.0\n'],
  ['a short checksum', '* sample abc.0\n'],
  ['no serial', `* sample ${'a'.repeat(64)}\n`],
  ['words after the flags', `  sample ${'a'.repeat(64)}.0 (pending) and more\n`],
  ['another marker', `? sample ${'a'.repeat(64)}.0\n`],
])('status: %s is no status', (_, text) => {
  expect(() => parseStatus(text, ANY)).toThrow(expect.objectContaining({ code: 'ostree-output' }))
})

test('status: details that are not known are passed over, flags too', () => {
  const text = `* sample ${'a'.repeat(64)}.3 (finalization locked) (soft-reboot)
    Version: 1.0
    Unlocked: hotfix
    origin: <unknown origin type>
    GPG: something
  other-os ${'b'.repeat(64)}.0
    origin: none\n`
  expect(parseStatus(text, ANY).map(short)).toEqual(['*sample 1.0.3 <> staged', 'other-os -.0 <>'])
})

describe('status: what a commit says of its version leads nobody', () => {
  const [first, second, made] = ['a', 'b', 'c'].map(letter => letter.repeat(64)) as [string, string, string]
  const versions: Record<string, string> = { [second]: '1.0' }
  /** Two deployments, of which the first states this version. */
  const status = (version: string) => {
    versions[first] = version
    const text = `  acme ${first}.0 (pending)\n    Version: ${version}\n    origin refspec: acme/line\n* acme ${second}.0\n    Version: 1.0\n    origin refspec: acme/line\n`
    const known: Known = { version: commit => versions[commit], isThere: (_, commit) => commit !== made }
    return parseStatus(text, known).map(one => [one.commit, one.version, one.booted, one.pinned])
  }
  const right = (version: string) => [
    [first, version, false, false],
    [second, '1.0', true, false],
  ]

  test.each([
    ['a deployment', `2.0\n* acme ${made}.0\n    Version: 9.9\n    origin refspec: acme/line`],
    ['one that is there', `2.0\n* acme ${second}.0\n    Version: 9.9`],
    ['a pin', `2.0\n    Pinned: yes\n  acme ${made}.7 (rollback)`],
    ['a pin of the other', `2.0\n  acme ${second}.0\n    Pinned: yes`],
    ['an empty line', '2.0\n\nx'],
    ['its own next line', '2.0\n    Version: 2.0'],
    ['nothing', ''],
  ])('that imitates %s', (_, version) => {
    expect(status(version)).toEqual(right(version))
  })

  test('of a commit that cannot be read, no deployment is made up', () => {
    const text = `  acme ${first}.0\n    Version: 2.0\n* acme ${made}.0\n    Version: 3\n* acme ${second}.0\n`
    const known: Known = { version: () => undefined, isThere: (_, commit) => commit !== made }
    expect(parseStatus(text, known).map(one => one.commit)).toEqual([first, second])
  })
})

describe('surplus', () => {
  const list = (...entries: Partial<Deployment>[]): Deployment[] =>
    entries.map((entry, index) => ({
      ...{ index, os: 'sample', commit: 'a'.repeat(64), serial: index, version: String(index), ref: 'r' },
      ...{ booted: false, pending: false, rollback: false, staged: false, pinned: false },
      ...entry,
    }))
  const gone = (all: Deployment[], keep: number, safe: number[] = []) =>
    surplusOf(all, keep, one => safe.includes(one.index)).map(one => one.index)

  test('goes from the end, down to what is kept', () => {
    const all = list({ pending: true }, { booted: true }, { rollback: true }, {}, {})
    expect(bootedOf(all)?.index).toBe(1)
    expect(gone(all, 5)).toEqual([])
    expect(gone(all, 3)).toEqual([4, 3])
    expect(gone(all, 2)).toEqual([4, 3, 2])
    expect(gone(all, 0)).toEqual([4, 3, 2])
  })
  test('never takes the booted, the next, a pinned, staged, protected or foreign one', () => {
    expect(gone(list({}, {}, { pinned: true }, {}, { booted: true }), 1, [3])).toEqual([1])
    expect(gone(list({ staged: true }, { pending: true }, { booted: true }, { os: 'other' }), 1)).toEqual([])
    expect(gone(list({ os: 'other' }, { os: 'other' }, { booted: true }, {}, {}), 2)).toEqual([4])
    // Nothing booted: what boots next stays.
    expect(gone(list({}, {}), 1)).toEqual([1])
  })
})
