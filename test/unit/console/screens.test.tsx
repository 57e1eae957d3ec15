/** The screens as functions of a snapshot: what a technician must find on each, at every size. */
import { cleanup, render } from 'ink-testing-library'
import { afterEach, describe, expect, test } from 'vitest'
import { Due } from '../../../src/console/app.tsx'
import { cut, type Frame, glyphsFor, hasColour, wrapped } from '../../../src/console/frame.tsx'
import { texts } from '../../../src/console/texts.ts'
import { deploymentName, offerName, START, type View } from '../../../src/console/view.ts'
import type { Snapshot } from '../../../src/control/protocol.ts'
import { deployment, job, medium, offer, progress, refusedOffer, snapshot } from '../../kit/snapshots.ts'

afterEach(cleanup)

const LINUX = glyphsFor({ TERM: 'linux' })
const frame = (over: Partial<Frame> = {}): Frame => ({
  t: texts('en'),
  columns: 80,
  rows: 24,
  glyphs: LINUX,
  colour: false,
  ...over,
})

function show(now: Snapshot, view: View = START.view, over: Partial<Frame> = {}, quiet = 0, note = ''): string {
  const shown = render(
    <Due frame={frame(over)} snapshot={now} ui={{ ...START, view, note }} pulse={{ beats: 1, quiet }} />,
  )
  return shown.lastFrame() ?? ''
}

const to = snapshot().deployments[1] ?? deployment()
const FULL = snapshot({
  media: [medium(), medium({ path: '/b', name: 'APPLE', state: 'trouble', text: 'its filesystem is APFS' })],
  offers: [offer(), refusedOffer()],
  problems: [{ code: 'no-keys', text: 'no usable key', next: 'put one there' }],
})
const long = 'A sentence that is a good deal longer than most and wraps around. '.repeat(4)
const CASES: [string, Snapshot, View][] = [
  ['home', FULL, START.view],
  [
    'home with much of everything',
    snapshot({
      ...FULL,
      offers: Array.from({ length: 40 }, (_, i) => offer({ path: `/m/${i}` })),
      media: Array.from({ length: 9 }, (_, i) => medium({ path: `/m${i}` })),
    }),
    START.view,
  ],
  ['an empty device', snapshot({ deployments: [], health: null }), START.view],
  ['install', FULL, { at: 'install', offer: offerName(offer()), yes: true }],
  ['progress', snapshot({ job: job({ text: long }) }), START.view],
  ['paused', snapshot({ job: job({ state: 'paused', code: 'media-gone', text: long }) }), START.view],
  ['ready', snapshot({ job: job({ state: 'reboot', rebootIn: 12, text: long }) }), START.view],
  ['rollback', snapshot(), { at: 'rollback', chosen: '' }],
  ['reason', snapshot(), { at: 'reason', to: deploymentName(to), reason: 'x'.repeat(200) }],
  ['return', snapshot(), { at: 'return', to: deploymentName(to), reason: long, yes: false }],
  ['outcome', snapshot({ job: job({ state: 'fell-back', code: 'health-bad', text: long }) }), START.view],
  ['trouble', FULL, { at: 'trouble' }],
]

describe.each([
  [80, 24],
  [132, 43],
  [40, 12],
  [300, 60],
])('at %i columns and %i rows', (columns, rows) => {
  test.each(CASES)('%s: no line too wide, one row left, the keys at the foot', (_, now, view) => {
    const lines = show(now, view, { columns, rows }).split('\n')
    expect(lines).toHaveLength(rows - 1)
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(columns)
    expect(lines.at(-1)).toMatch(/(q quit|Esc back|Esc close)$/)
    expect(lines[0]).toContain('superblock')
  })
})

test.each(CASES)('%s: only glyphs of the Linux console, or of ASCII where that is all there is', (_, now, view) => {
  expect(show(now, view)).toMatch(/^[\n -~─│┌┐└┘█░▒▓√■→]*$/)
  expect(show(now, view, { glyphs: glyphsFor({ TERM: 'vt100' }) })).toMatch(/^[\n -~]*$/)
})

test('home: what runs, what a rollback returns to, every package with its verdict', () => {
  const text = show(FULL)
  expect(text).toMatch(/Press line 4/)
  expect(text).toMatch(/Running +1\.0/)
  expect(text).toMatch(/Rollback to +0\.9/)
  expect(text).toMatch(/Health +good/)
  expect(text).toMatch(/STICK \(vfat\): ready/)
  expect(text).toMatch(/APPLE \(vfat\): its filesystem is APFS/)
  expect(text).toMatch(/→ +2\.0 +fits +4\.2 MB to read {2}gadget-2\.0\.superblock/)
  expect(text).toMatch(/unknown-signer +other\.superblock/)
  expect(text).toMatch(/! no usable key/)
})

test('home: the reason against the chosen package in full', () => {
  const text = show(FULL, { at: 'home', chosen: offerName(refusedOffer()) })
  expect(text).toContain('it was signed with a key that is not trusted here')
  expect(text).toMatch(/Enter\/i details/)
})

test('home: nothing inserted, nothing to return to', () => {
  const text = show(snapshot({ deployments: [deployment({ booted: true })] }))
  expect(text).toContain('Insert a stick with an update.')
  expect(text).toMatch(/Rollback to +nothing/)
})

test('home: the inbox, which is always there, is no stick', () => {
  const inbox = medium({ kind: 'inbox', name: 'inbox', filesystem: '', path: '/var/lib/superblock/inbox' })
  const text = show(snapshot({ media: [inbox] }))
  expect(text).toContain('Insert a stick with an update.')
  expect(text).not.toContain('inbox')
  expect(show(snapshot({ media: [{ ...inbox, state: 'trouble', text: 'cannot be read' }] }))).toContain(
    'inbox: cannot be read',
  )
})

test('progress: at 80x24 a long sentence is there to its end, below steps, bar and stick', () => {
  const text = `${'A sentence for the technician that needs two whole lines of the screen. '.repeat(2)}End`
  expect(show(snapshot({ job: job({ text }) }))).toMatch(/copying[\s\S]*25 %[\s\S]*working[\s\S]*L E A V E[\s\S]*End/)
})

test('home: of a long list the chosen line is in view', () => {
  const offers = Array.from({ length: 40 }, (_, i) =>
    offer({ path: `/m/${i}`, file: `file-${i}.superblock`, preselected: false }),
  )
  for (const at of [0, 20, 39]) {
    const text = show(snapshot({ offers }), { at: 'home', chosen: `/m/${at}` })
    expect(text).toMatch(new RegExp(`→ .*file-${at}\\.superblock`))
    expect(text).toMatch(/of 40/)
  }
})

test('confirm: from, to, signers, cost, notes, consequences; no is chosen first', () => {
  const text = show(FULL, { at: 'install', offer: offerName(offer()), yes: false })
  for (const words of [
    '1.0 → 2.0',
    'release@gadget.example',
    '4.2 MB to read',
    '9.0 MB of disk',
    'Faster printing.',
    '1.0 remains',
  ])
    expect(text).toContain(words)
  expect(text).toMatch(/→ +No, go back/)
})

test('confirm: one that does not fit has its reason and no yes', () => {
  const text = show(FULL, { at: 'install', offer: offerName(refusedOffer()), yes: false })
  expect(text).toContain('cannot install: unknown-signer')
  expect(text).not.toContain('Yes')
})

test('progress: step, bar, bytes, rate, time left and the stick in large words', () => {
  const text = show(snapshot({ job: job() }))
  expect(text).toMatch(/√ +checking the package/)
  expect(text).toMatch(/→ +copying from the stick/)
  expect(text).toMatch(/█{19,20}░{58,59}/)
  expect(text).toContain('25 %  1.0 MB of 4.0 MB  500 kB/s  0:06 left')
  expect(text).toContain('L E A V E   T H E   S T I C K   I N')
  expect(text).toContain('c cancel')
})

test('progress: when the stick may go, and the job can no longer be cancelled', () => {
  const text = show(
    snapshot({ job: job({ stick: 'remove', cancellable: false, progress: progress({ step: 'import', at: 3 }) }) }),
  )
  expect(text).toContain('M A Y   B E   R E M O V E D')
  expect(text).not.toContain('cancel')
  expect(show(snapshot({ job: job({ stick: 'remove' }) }), START.view, { columns: 40 })).toContain(
    'STICK MAY BE REMOVED NOW',
  )
})

test.each([
  [1, 'working'],
  [20, 'no movement for 0:20; slow'],
  [90, 'no movement for 1:30: keep the power on'],
])('progress: %i seconds without a heartbeat: %s', (quiet, words) => {
  expect(show(snapshot({ job: job() }), START.view, {}, quiet)).toContain(words)
})

test('progress: a step that a newer service made up', () => {
  expect(show(snapshot({ job: job({ progress: progress({ step: 'polish' as 'stage' }) }) }))).toContain('polish')
})

test('trying: the checks as they come', () => {
  const checks = [{ name: 'printer', ok: true, seconds: 1, output: '' }]
  const health = { verdict: 'checking' as const, at: '', version: '2.0', checks }
  const { progress: _, ...rest } = job({ state: 'trying' })
  expect(show(snapshot({ job: rest, health }))).toMatch(/√ +printer/)
})

test('ready: what the reboot does, and when it comes by itself', () => {
  const text = show(snapshot({ job: job({ state: 'reboot', rebootIn: 11.2, stick: 'remove' }) }))
  expect(text).toContain('Ready. Reboot to finish.')
  expect(text).toContain('1.0 → 2.0')
  expect(text).toContain('by itself in 12 s')
})

test('ready: going back from an unhealthy release is not sold as success', () => {
  const text = show(snapshot({ job: job({ state: 'reboot', code: 'health-bad', text: 'The printer check failed' }) }))
  expect(text).toContain('was not healthy')
  expect(text).toContain('The printer check failed (health-bad)')
  expect(text).not.toContain('Ready')
  expect(text).not.toContain('runs 2.0')
})

test('rollback: each release with its record', () => {
  const text = show(snapshot(), { at: 'rollback', chosen: '' })
  expect(text).toMatch(/→ +0\.9 {2}090909090909/)
  expect(text).toMatch(/installed 2025-11-01 .*never found good/)
  expect(text).toContain('left because: update to 1.0')
  expect(show(snapshot({ deployments: [deployment({ booted: true })] }), { at: 'rollback', chosen: '' })).toContain(
    'no other release',
  )
})

test('outcome: what happened, what is safe, the code', () => {
  const text = show(snapshot({ job: job({ state: 'failed', code: 'no-space', text: 'It needs 3 GB' }) }))
  expect(text).toContain('Installing 2.0 did not succeed.')
  expect(text).toContain('It needs 3 GB')
  expect(text).toContain('The device runs 1.0')
  expect(text).toContain('Code for support: no-space')
})

test('an ellipsis, which the Linux console lacks, is written in full stops', () => {
  expect(cut('a…b', 10)).toBe('a...b')
  expect(cut('a…b', 4)).toBe('a..~')
  expect(wrapped('x'.repeat(700))).toMatch(/^x+\.\.\.$/)
})

test('a note stands above the keys', () => {
  expect(show(snapshot(), START.view, {}, 0, 'cannot do that (busy)')).toMatch(/cannot do that \(busy\) *\n─+\n.*quit/)
})

test('names from a stick are shown safely on every screen', () => {
  const evil = 'a\u001b[2Jb\u202ec'
  const now = snapshot({
    media: [medium({ name: evil, text: evil })],
    offers: [
      offer({
        file: evil,
        path: evil,
        release: { ...(offer().release as object), version: evil, notes: evil } as never,
      }),
    ],
    deployments: [
      deployment({ booted: true, version: evil }),
      deployment({ index: 1, version: evil, leftBecause: evil, commit: 'c' }),
    ],
  })
  const away = deploymentName(now.deployments[1] ?? deployment())
  const views: View[] = [
    START.view,
    { at: 'install', offer: evil, yes: false },
    { at: 'rollback', chosen: '' },
    { at: 'reason', to: away, reason: evil },
    { at: 'return', to: away, reason: evil, yes: false },
  ]
  const texts = views.map(view => show(now, view))
  for (const state of ['running', 'reboot', 'failed'] as const)
    texts.push(show({ ...now, job: job({ state, text: evil, code: evil, to: { version: evil, commit: '' } }) }))
  for (const text of texts) {
    expect(text).toContain('\\u001b')
    expect(text.includes('\u001b') || text.includes('\u202e')).toBe(false)
  }
})

test.each([
  [{ TERM: 'linux' }, true, true],
  [{ TERM: 'xterm-256color', LANG: 'de_DE.UTF-8' }, true, true],
  [{ TERM: 'xterm-256color', LANG: 'C' }, false, true],
  [{ TERM: 'xterm', LC_ALL: 'C', LANG: 'de_DE.UTF-8' }, false, true],
  [{ TERM: 'vt100', LANG: 'de_DE.UTF-8' }, false, false],
  [{ TERM: 'linux', NO_COLOR: '' }, true, false],
  [{}, false, false],
])('terminal %j: line glyphs %s, colour %s', (env, lines, colour) => {
  expect(glyphsFor(env) === LINUX).toBe(lines)
  expect(hasColour(env)).toBe(colour)
})
