/** Every way through the console by keys, and that nothing happens to the device without a yes. */
import { expect, test } from 'vitest'
import { type Around, type Key, press, type Request } from '../../../src/console/press.ts'
import { deploymentName, noticed, offerName, placeOf, returnable, START, type Ui } from '../../../src/console/view.ts'
import type { Snapshot } from '../../../src/control/protocol.ts'
import { deployment, job, medium, offer, refusedOffer, snapshot } from '../../kit/snapshots.ts'

const other = offer({ id: 'ee'.repeat(32), path: '/m/old.superblock', preselected: false })
const HOME = snapshot({ offers: [refusedOffer(), offer(), other] })

const INSTALL = { do: 'install', id: offer().id, path: offer().path } as const

const FREE: Around = { kiosk: false, entries: 5, log: 3 }

/** Press one key after the other. */
function play(keys: readonly Key[], now: Snapshot, from: Ui = START, around = FREE): { ui: Ui; asked: Request[] } {
  const asked: Request[] = []
  let ui = noticed(from, now)
  for (const key of keys) {
    const step = press(ui, key, now, around)
    ui = step.ui
    if (step.request) asked.push(step.request)
  }
  return { ui, asked }
}
const screen = (keys: readonly Key[], now: Snapshot, from?: Ui) => placeOf(play(keys, now, from).ui, now)

test('the offer that fits best is the one that Enter takes', () => {
  expect(play(['enter', 'enter', 'down', 'enter'], HOME).asked).toEqual([INSTALL])
})

test.each([
  ['p and y', ['p', 'enter', 'y'], [INSTALL]],
  ['p and j, as Germans say it', ['p', 'enter', 'j'], [INSTALL]],
  ['another one', ['p', 'down', 'enter', 'y'], [{ do: 'install', id: other.id, path: other.path }]],
  ['a held Enter', Array(9).fill('enter'), []],
  ['Esc', ['p', 'enter', 'down', 'esc'], []],
  ['one that does not fit', ['p', 'down', 'down', 'enter', 'y', 'down', 'enter'], []],
  ['y where nothing is asked', ['y', 'p', 'y'], []],
])('install by %s', (_, keys, asked) => {
  expect(play(keys as Key[], HOME).asked).toEqual(asked)
})

test('the ends of the list stay where they are', () => {
  const { ui } = play(['p', 'up', 'up', 'down', 'down', 'down', 'down', 'down', 'up'], HOME)
  expect(ui.view).toEqual({ at: 'packages', chosen: offerName(other) })
  expect(play(['p', 'page-down', 'up'], HOME).ui.view).toEqual({ at: 'packages', chosen: offerName(other) })
})

test('an offer that goes away under the confirmation takes it along', () => {
  const { ui } = play(['p', 'enter', 'down'], HOME)
  const gone = snapshot({ offers: [other] })
  expect(placeOf(ui, gone)).toBe('packages')
  expect(play(['y'], gone, ui).asked).toEqual([])
  expect(play(['enter'], gone, ui).asked).toEqual([])
})

test('another offer that takes the place in the list is not the chosen one', () => {
  const { ui } = play(['p', 'down'], HOME)
  expect(play(['enter', 'y'], snapshot({ offers: [offer(), refusedOffer(), other] }), ui).asked).toEqual([
    { do: 'install', id: other.id, path: other.path },
  ])
})

const older = refusedOffer({ verdict: { fits: false, code: 'older', why: 'it is older' } })
const WITH_OLDER = snapshot({ offers: [older] })

test('an older release wants a reason and a yes', () => {
  const request = { do: 'install', id: older.id, path: older.path, allowDowngrade: true, reason: 'support said' }
  const typed = ['p', 'enter', 's', 'upport said', 'enter']
  expect(screen(['p', 'enter'], WITH_OLDER)).toBe('why')
  expect(screen(['p', 'enter', 'enter'], WITH_OLDER)).toBe('why')
  expect(screen(['p', 'enter', 'q'], WITH_OLDER)).toBe('why')
  expect(screen(typed, WITH_OLDER)).toBe('downgrade')
  expect(play([...typed, 'enter'], WITH_OLDER).asked).toEqual([])
  expect(screen([...typed, 'esc'], WITH_OLDER)).toBe('why')
  expect(screen([...typed, 'esc', 'esc'], WITH_OLDER)).toBe('packages')
  expect(play([...typed, 'y'], WITH_OLDER).asked).toEqual([request])
  expect(play([...typed, 'down', 'enter'], WITH_OLDER).asked).toEqual([request])
  // What became of it in the meantime decides.
  const { ui } = play(typed, WITH_OLDER)
  expect(play(['y'], snapshot({ offers: [refusedOffer()] }), ui).asked).toEqual([])
  expect(placeOf(ui, snapshot({ offers: [refusedOffer()] }))).toBe('packages')
})

test('a release that may go is removed after a yes, and no other', () => {
  const [runs, old] = snapshot().deployments
  const may = snapshot({ deployments: [runs, { ...old, removable: true }] as never })
  expect(screen(['r', 'd'], may)).toBe('remove')
  expect(play(['r', 'd', 'enter'], may).asked).toEqual([])
  expect(screen(['r', 'd', 'esc'], may)).toBe('rollback')
  expect(play(['r', 'd', 'y'], may).asked).toEqual([{ do: 'remove', index: 1 }])
  expect(screen(['r', 'd', 'y'], may)).toBe('rollback')
  expect(screen(['r', 'd'], snapshot())).toBe('rollback')
  const { ui } = play(['r', 'd'], may)
  expect(play(['y'], snapshot(), ui).asked).toEqual([])
})

test('what is nearly a package is looked at, and never taken', () => {
  const misses = [{ path: '/m/a.superblock.zip', file: 'a.superblock.zip', code: 'packed' as const, text: 'x' }]
  const now = snapshot({ media: [medium({ misses })], offers: [refusedOffer()] })
  expect(play(['p', 'down'], now).ui.view).toEqual({ at: 'packages', chosen: '/m/a.superblock.zip' })
  expect(play(['p', 'down', 'enter', 'y', 'enter'], now).asked).toEqual([])
  expect(screen(['enter'], snapshot({ media: [medium({ misses })] }))).toBe('packages')
})

test('rollback wants a release, a reason and a yes', () => {
  const now = snapshot()
  const to = now.deployments[1]
  expect(to).toBeDefined()
  expect(play(['r', 'enter', 'enter', 'y', 'enter'], now).ui.view).toMatchObject({
    at: 'return',
    reason: 'y',
    yes: false,
  })
  const typed = ['r', 'enter', 'b', 'a', 'd', ' ', 'x', 'erase', 'erase', 'enter']
  expect(screen(typed, now)).toBe('return')
  expect(play(typed, now).asked).toEqual([])
  expect(play([...typed, 'y'], now).asked).toEqual([{ do: 'rollback', index: 1, reason: 'bad' }])
  expect(play([...typed, 'down', 'enter'], now).asked).toEqual([{ do: 'rollback', index: 1, reason: 'bad' }])
  expect(play([...typed, 'enter'], now).asked).toEqual([])
  expect(screen([...typed, 'esc', 'esc', 'esc'], now)).toBe('home')
})

test('a return that a hook refused can be forced, with the same reason, after a yes', () => {
  const to = snapshot().deployments[1] ?? deployment()
  const gone = { version: to.version, commit: to.commit }
  const failed = job({ kind: 'rollback', state: 'failed', code: 'hook-failed', to: gone, reason: 'too loud' })
  const now = snapshot({ job: failed })
  expect(screen(['f'], now)).toBe('return')
  expect(play(['f', 'enter'], now).asked).toEqual([])
  expect(screen(['f', 'esc'], now)).toBe('home')
  expect(play(['f', 'y'], now).asked).toEqual([{ do: 'rollback', index: 1, reason: 'too loud', force: true }])
  // It is found again, as long as that job is the last one.
  expect(play(['f', 'esc', 't', 'f', 'down', 'enter'], now).asked).toHaveLength(1)
})

test.each([
  ['another failure', job({ kind: 'rollback', state: 'failed', code: 'flip-failed' })],
  ['a release that refuses to be installed', job({ state: 'failed', code: 'hook-failed' })],
])('%s cannot be forced', (_, failed) => {
  expect(play(['f', 'y', 'enter'], snapshot({ job: failed })).asked).toEqual([])
  expect(screen(['f'], snapshot({ job: failed }))).toBe('outcome')
})

test('letters that are keys elsewhere are text in a reason', () => {
  expect(play(['r', 'enter', 'q', 'r', 'up', 'b', 'c', 'pasted\r\ntext'], snapshot()).ui.view).toMatchObject({
    reason: 'qrbcpastedtext',
  })
})

test('the index is the one at the time of the yes', () => {
  const { ui } = play(['r', 'enter', 'x', 'enter'], snapshot())
  const now = snapshot({ deployments: [...snapshot().deployments].reverse().map((d, index) => ({ ...d, index })) })
  expect(play(['y'], now, ui).asked).toEqual([{ do: 'rollback', index: 0, reason: 'x' }])
})

test('what can be returned to: not what runs, unless something else is due', () => {
  const [runs, old] = snapshot().deployments
  expect(returnable(snapshot())).toEqual([old])
  const pending = deployment({ pending: true, commit: 'cc' })
  expect(returnable(snapshot({ deployments: [pending, ...snapshot().deployments] }))).toEqual([runs, old])
})

test('two deployments of one commit are told apart', () => {
  expect(deploymentName(deployment({ serial: 0 }))).not.toBe(deploymentName(deployment({ serial: 1 })))
})

test.each([
  ['y', ['b', 'y'], [{ do: 'reboot' }]],
  ['Enter on yes', ['b', 'down', 'enter'], [{ do: 'reboot' }]],
  ['a held Enter', ['b', 'enter', 'enter'], []],
  ['Esc', ['b', 'esc'], []],
])('reboot with %s', (_, keys, asked) => {
  expect(play(keys, snapshot()).asked).toEqual(asked)
})

test.each(['running', 'paused', 'trying'] as const)('a job that is %s is what is shown, whatever was open', state => {
  const now = snapshot({ ...HOME, job: job({ state }) })
  for (const keys of [[], ['p'], ['p', 'enter'], ['r'], ['r', 'enter', 'x'], ['b'], ['h'], ['h', 'l']]) {
    const { ui } = play(keys, HOME)
    expect(placeOf(ui, now)).toBe(state === 'trying' ? 'trial' : 'progress')
    expect(play(['enter', 'y', 'r', 'b', 'p', 'esc'], now, ui).asked).toEqual([])
  }
})

test('cancel only where it can be honoured, and only with a yes', () => {
  const can = snapshot({ job: job({ cancellable: true }) })
  const cannot = snapshot({ job: job({ cancellable: false }) })
  expect(play(['c', 'y'], can).asked).toEqual([{ do: 'cancel' }])
  expect(play(['c', 'enter'], can).asked).toEqual([])
  expect(play(['c', 'y'], cannot).asked).toEqual([])
  expect(placeOf(play(['c'], cannot).ui, can)).toBe('progress')
  const { ui } = play(['c'], can)
  expect(placeOf(ui, cannot)).toBe('progress')
  expect(play(['y'], cannot, ui).asked).toEqual([])
})

test('when the job waits for the reboot: now with a yes, or later', () => {
  const now = snapshot({ job: job({ state: 'reboot', cancellable: true }) })
  expect(screen([], now)).toBe('ready')
  expect(play(['enter', 'enter', 'enter'], now).asked).toEqual([])
  expect(play(['b', 'y'], now).asked).toEqual([{ do: 'reboot' }])
  expect(play(['c', 'y'], now).asked).toEqual([{ do: 'cancel' }])
  expect(screen(['esc'], now)).toBe('home')
  expect(play(['esc', 'b', 'y'], now).asked).toEqual([{ do: 'reboot' }])
})

test.each(['failed', 'fell-back'] as const)(
  'a job that %s is shown until it was read, and the next one anew',
  state => {
    const now = snapshot({ job: job({ state, code: 'x' }) })
    expect(screen([], now)).toBe('outcome')
    const { ui } = play(['esc'], now)
    expect(placeOf(ui, now)).toBe('home')
    expect(placeOf(ui, snapshot({ job: job({ id: 'job-2', state }) }))).toBe('outcome')
  },
)

test.each(['done', 'cancelled'] as const)(
  'a job that is %s is told to who saw it at work, and to nobody else',
  state => {
    const ended = snapshot({ job: job({ state }) })
    expect(screen([], ended)).toBe('home')
    const { ui } = play([], snapshot({ job: job() }))
    expect(placeOf(ui, ended)).toBe('trial')
    expect(screen(['enter'], ended, ui)).toBe('home')
    expect(placeOf(ui, snapshot({ job: job({ id: 'job-2', state }) }))).toBe('home')
  },
)

test('what went wrong can be read again', () => {
  const now = snapshot({ job: job({ state: 'failed', code: 'x' }) })
  expect(screen(['enter', 't'], now)).toBe('outcome')
  expect(screen(['enter', 't', 'esc'], now)).toBe('home')
})

test('a reboot that comes by itself cannot be put off', () => {
  expect(screen(['esc'], snapshot({ job: job({ state: 'reboot', rebootIn: 9 }) }))).toBe('ready')
})

test('history and log: asked for when opened, and the ends stay', () => {
  const { ui, asked } = play(['h', 'down', 'down', 'page-down', 'down', 'up'], snapshot())
  expect(asked).toEqual([{ do: 'history' }])
  expect(ui.view).toEqual({ at: 'history', place: 3 })
  expect(play(['l', 'page-down'], snapshot(), ui).ui.view).toEqual({ at: 'log', place: 2 })
  expect(play(['l', 'h'], snapshot(), ui).asked).toEqual([{ do: 'history' }])
  expect(screen(['l', 'esc'], snapshot(), ui)).toBe('home')
  const empty = play(['h', 'down', 'up'], snapshot(), START, { kiosk: false, entries: 0, log: 0 })
  expect(empty.ui.view).toEqual({ at: 'history', place: 0 })
})

test("the device's own console is not left by any key", () => {
  const kiosk = { ...FREE, kiosk: true }
  for (const now of [HOME, snapshot({ job: job() }), snapshot({ job: job({ state: 'failed' }) })])
    for (const keys of [[], ['p'], ['r'], ['h'], ['b']])
      expect(play([...keys, 'q', 'ctrl-c', 'q'], now, START, kiosk).asked).not.toContainEqual({ do: 'quit' })
})

test('pasted text is nobody’s key, and a reason all the same', () => {
  expect(play(['p', 'enter', '\0y', '\0enter', '\0yy'], HOME).asked).toEqual([])
  expect(play(['r', 'enter', '\0up and down'], snapshot()).ui.view).toMatchObject({ reason: 'up and down' })
})

test('Ctrl-L paints anew and changes nothing', () => {
  const { ui, asked } = play(['ctrl-l'], HOME, { ...START, note: 'stays' })
  expect(asked).toEqual([{ do: 'redraw' }])
  expect(ui.note).toBe('stays')
})

test('Ctrl-C leaves where nothing goes on and is harmless where a job does', () => {
  expect(play(['ctrl-c'], snapshot()).asked).toEqual([{ do: 'quit' }])
  expect(play(['r', 'enter', 'ctrl-c'], snapshot()).asked).toEqual([{ do: 'quit' }])
  expect(play(['ctrl-c'], snapshot({ job: job() })).asked).toEqual([{ do: 'goes-on' }])
})

test('a note goes with the next key', () => {
  expect(press({ ...START, note: 'cannot' }, 'x', snapshot(), FREE).ui.note).toBe('')
})

test('problems have a screen of their own', () => {
  expect(screen(['t'], snapshot())).toBe('trouble')
  const now = snapshot({ problems: [{ code: 'a', text: 'b', next: 'c' }] })
  expect(screen(['t'], now)).toBe('trouble')
  expect(screen(['t', 'esc'], now)).toBe('home')
})

test('what is stored is read and mended after a question, and not while something else goes on', () => {
  expect(screen(['t', 'x'], snapshot())).toBe('repair')
  expect(screen(['t', 'x', 'esc'], snapshot())).toBe('trouble')
  expect(screen(['t', 'x', 'enter'], snapshot())).toBe('trouble')
  expect(play(['t', 'x', 'y'], snapshot()).asked).toEqual([{ do: 'repair' }])
  expect(play(['t', 'x', 'down', 'enter'], snapshot()).asked).toEqual([{ do: 'repair' }])
  const waits = snapshot({ job: job({ state: 'reboot' }) })
  expect(screen(['esc', 't', 'x'], waits)).toBe('trouble')
})
