/** The screens as functions of a snapshot: at every size what matters is there, and nothing foreign gets through. */
import { describe, expect, test } from 'vitest'
import { due } from '../../../src/console/due.ts'
import { glyphsFor } from '../../../src/console/glyphs.ts'
import { BLANK, type Frame, fitted, type Line } from '../../../src/console/lines.ts'
import { rowsOf } from '../../../src/console/page.tsx'
import { english, german } from '../../../src/console/texts.ts'
import { deploymentName, START, type Ui, type View } from '../../../src/console/view.ts'
import type { Snapshot } from '../../../src/control/protocol.ts'
import { MOMENTS, type Moment } from '../../kit/moments.ts'
import { deployment, job, medium, offer, snapshot } from '../../kit/snapshots.ts'

const frame = (over: Partial<Frame> = {}): Frame => ({
  ...{ t: english, columns: 80, rows: 24, glyphs: glyphsFor({ TERM: 'linux' }), colour: false, kiosk: false },
  ...over,
})

function draw({ snapshot: now, ui, known }: Omit<Moment, 'name'>, over: Partial<Frame> = {}): string {
  const look = frame(over)
  const rows = rowsOf({ frame: look, snapshot: now, screen: due(look, now, ui, known), note: ui.note })
  return rows.map(row => row.text).join('\n')
}
const NOTHING = { pulse: { beats: 1, quiet: 0 }, past: undefined, seen: [] }
const show = (now: Snapshot, view: View = START.view, over: Partial<Frame> = {}, ui: Partial<Ui> = {}) =>
  draw({ snapshot: now, ui: { ...START, view, ...ui }, known: NOTHING }, over)

describe.each([
  [80, 24],
  [132, 43],
  [40, 12],
  [60, 15],
  [300, 60],
])('at %i columns and %i rows', (columns, rows) => {
  test.each(MOMENTS)('$name: no line too wide, one row left, head and keys whole, in both languages', one => {
    for (const t of [english, german]) {
      const lines = draw(one, { columns, rows, t }).split('\n')
      expect(lines).toHaveLength(rows - 1)
      expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(columns)
      expect(lines[0]).toContain('superblock')
      const foot = lines.slice(lines.findLastIndex(line => line.startsWith('───')) + 1).join(' ')
      const keys = due(frame({ t, columns, rows }), one.snapshot, one.ui, one.known).keys
      for (const key of keys) expect(foot).toContain(key)
    }
  })
})

test.each(MOMENTS)('$name: only glyphs of the Linux console, or of ASCII where that is all there is', one => {
  for (const t of [english, german]) {
    expect(draw(one, { t })).toMatch(/^[\n -~äöüÄÖÜß─│┌┐└┘█░√→]*$/)
    expect(draw(one, { t, glyphs: glyphsFor({ TERM: 'vt100' }) })).toMatch(/^[\n -~]*$/)
  }
})

test.each(MOMENTS)('$name: on the device’s own console no key leaves it', one => {
  expect(draw(one, { kiosk: true })).not.toMatch(/q quit/)
})

const WORKING = MOMENTS.filter(one => one.name.startsWith('progress'))
test.each(WORKING)('$name: even on the smallest screen what it does and what of the stick', one => {
  const text = draw(one, { columns: 40, rows: 12 }).replaceAll(/\s+/g, ' ')
  expect(text).toMatch(/Installing 2\.0|Returning to 0\.9|Check and repair/)
  if (one.snapshot.job?.stick !== 'none') expect(text).toMatch(/LEAVE THE STICK IN|STICK MAY BE REMOVED NOW|STICK BACK/)
})

test('of a long list the chosen entry is in view, and how many are not', () => {
  const offers = Array.from({ length: 40 }, (_, i) =>
    offer({ path: `/m/${i + 10}`, file: `file-${i + 10}.superblock`, preselected: false }),
  )
  for (const at of [10, 30, 49]) {
    const text = show(snapshot({ offers }), { at: 'packages', chosen: `/m/${at}` })
    expect(text).toMatch(new RegExp(`→ .*file-${at}\\.superblock`))
    expect(text).toMatch(/\(\d+ more\)/)
    expect(text).toContain('It fits this device')
  }
})

describe('lines find their room', () => {
  const lines = (...texts: string[]): Line[] => texts.map(text => (text ? { text } : BLANK))
  const texts = (...args: Parameters<typeof fitted>) => fitted(...args).map(one => one.text)
  const more = (count: number) => ({ text: `+${count}` })
  const screen = { head: '', keys: [], lines: lines('a', '', 'b'), after: lines('', 'z') }

  test('where there is enough nothing is changed', () => {
    expect(texts(screen, 5, more)).toEqual(['a', '', 'b', '', 'z'])
  })
  test('blank ones go first, what is below last', () => {
    expect(texts(screen, 4, more)).toEqual(['a', 'b', 'z'])
    expect(texts(screen, 2, more)).toEqual(['a', 'b'])
  })
  test('of a list the chosen one stays, with the count of the others', () => {
    const entries = ['1', '2', '3', '4', '5', '6'].map(text => lines(text))
    expect(texts({ ...screen, list: { entries, chosen: 4 } }, 6, more)).toEqual(['a', 'b', '4', '5', '+4', 'z'])
    expect(texts({ ...screen, list: { entries, chosen: 0 } }, 4, more)).toEqual(['a', 'b', '1', 'z'])
    expect(texts({ ...screen, list: { entries, chosen: 5 } }, 20, more)).toHaveLength(11)
  })
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

test('home: what is on the stick decides what is said first', () => {
  const first = (over: Partial<Snapshot>) => show(snapshot({ media: [medium()], ...over })).split('\n')[2]
  const installed = { fits: false as const, code: 'already-installed' as const, why: 'here' }
  expect(first({ offers: [offer({ verdict: installed, preselected: false })] })).toContain('installed already')
  expect(first({ offers: [offer({ preselected: false })] })).toContain('is older or was left before')
  expect(first({ media: [medium({ state: 'trouble', code: 'encrypted' })] })).toContain('cannot be used')
  expect(first({ device: { ...snapshot().device, policy: 'auto' } })).toContain('no package')
})

test('a device that reboots by itself offers no later', () => {
  const waiting = (rebootIn?: number) =>
    show(snapshot({ job: job({ state: 'reboot', ...(rebootIn === undefined ? {} : { rebootIn }) }) }))
  expect(waiting()).toMatch(/Esc later/)
  expect(waiting(9)).not.toMatch(/later/)
})

test('going back from an unhealthy release is not sold as success', () => {
  const now = job({ state: 'reboot', phase: 'returning', code: 'flux', text: 'The flux was low' })
  const text = show(snapshot({ job: now }))
  expect(text).toContain('was not healthy')
  expect(text).toContain('The flux was low')
  expect(text).not.toContain('Ready')
  expect(text).not.toContain('runs version 2.0')
})

test('a bad verdict on another release than the one that runs is no reproach to it', () => {
  const health = { verdict: 'bad' as const, at: '2026-03-02T10:00:00Z', version: '2.0', current: false, checks: [] }
  const now = snapshot({ health, job: job({ state: 'fell-back', code: 'boot-failed', facts: { version: '2.0' } }) })
  expect(show(now)).toContain('The device runs version 1.0 and can be used.')
  expect(show({ ...now, job: null })).toMatch(/BAD {2}2\.0/)
})

test('a note stands above the keys', () => {
  expect(show(snapshot(), START.view, {}, { note: 'cannot do that (busy)' })).toMatch(
    /cannot do that \(busy\)\s*\n─+\n.*quit/,
  )
})

test('a step and a state that a newer service made up are shown by their names', () => {
  const strange = job({ progress: { ...(job().progress as object), step: 'polish' } as never })
  expect(show(snapshot({ job: strange }))).toContain('polish')
})

test('names from a stick are shown safely on every screen', () => {
  const evil = 'a\u001b[2Jb\u202ec'
  const now = snapshot({
    media: [medium({ name: evil, text: evil })],
    offers: [
      offer({
        file: evil,
        path: evil,
        signers: [{ fingerprint: evil, userId: evil }],
        release: { ...(offer().release as object), version: evil, notes: evil } as never,
      }),
    ],
    deployments: [
      deployment({ booted: true, version: evil }),
      deployment({ index: 1, version: evil, leftBecause: evil, commit: 'c' }),
    ],
    health: {
      ...{ verdict: 'bad', at: evil, version: evil, current: true },
      checks: [{ name: evil, ok: false, required: true, seconds: 1, output: evil }],
    },
    problems: [{ code: evil, text: evil, next: evil }],
  })
  const away = deploymentName(now.deployments[1] ?? deployment())
  const entry = { at: evil, event: evil, version: evil, reason: evil, code: evil, prev: '' }
  const views: View[] = [
    START.view,
    { at: 'packages', chosen: '' },
    { at: 'install', offer: evil, yes: false },
    { at: 'rollback', chosen: '' },
    { at: 'reason', to: away, reason: evil },
    { at: 'return', to: away, reason: evil, yes: false },
    { at: 'history', place: 0 },
    { at: 'log', place: 0 },
    { at: 'trouble' },
  ]
  const known = {
    ...NOTHING,
    past: { entries: [entry], chain: { ok: true, lines: 1 } },
    seen: [{ at: evil, text: evil }],
  }
  const all: [Snapshot, View][] = views.map(view => [now, view])
  for (const state of ['running', 'paused', 'reboot', 'trying', 'failed'] as const) {
    const strange = job({ state, text: evil, code: evil, to: { version: evil, commit: '' } })
    all.push([{ ...now, job: strange }, START.view])
  }
  for (const TERM of ['linux', 'vt100', 'xterm'])
    for (const [one, view] of all) {
      const text = draw({ snapshot: one, ui: { ...START, view }, known }, { glyphs: glyphsFor({ TERM }) })
      expect(text).toContain('\\u001b')
      expect(text.includes('\u001b') || text.includes('\u202e')).toBe(false)
    }
})
