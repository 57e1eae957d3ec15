/** Every way through the console by keys, and that nothing happens to the device without a yes. */
import { expect, test } from 'vitest'
import {
  deploymentName,
  type Key,
  offerName,
  press,
  type Request,
  returnable,
  START,
  screenOf,
  type Ui,
} from '../../../src/console/view.ts'
import type { Snapshot } from '../../../src/control/protocol.ts'
import { deployment, job, offer, refusedOffer, snapshot } from '../../kit/snapshots.ts'

const other = offer({ id: 'ee'.repeat(32), path: '/m/old.superblock', preselected: false })
const HOME = snapshot({ offers: [refusedOffer(), offer(), other] })

/** Press one key after the other. */
function play(keys: readonly Key[], now: Snapshot, from: Ui = START): { ui: Ui; asked: Request[] } {
  const asked: Request[] = []
  let ui = from
  for (const key of keys) {
    const step = press(ui, key, now)
    ui = step.ui
    if (step.request) asked.push(step.request)
  }
  return { ui, asked }
}
const screen = (keys: readonly Key[], now: Snapshot, from?: Ui) => screenOf(play(keys, now, from).ui, now)

test('the offer that fits best is the one that Enter takes', () => {
  expect(play(['enter', 'down', 'enter'], HOME).asked).toEqual([{ do: 'install', id: offer().id }])
})

test.each([
  ['i and y', ['i', 'y'], [{ do: 'install', id: offer().id }]],
  ['another one', ['down', 'enter', 'y'], [{ do: 'install', id: other.id }]],
  ['a held Enter', Array(9).fill('enter'), []],
  ['Esc', ['enter', 'down', 'esc'], []],
  ['one that does not fit', ['up', 'enter', 'y', 'down', 'enter'], []],
])('install by %s', (_, keys, asked) => {
  expect(play(keys as Key[], HOME).asked).toEqual(asked)
})

test('the ends of the list stay where they are', () => {
  const { ui } = play(['up', 'up', 'up', 'down', 'down', 'down', 'down', 'down'], HOME)
  expect(ui.view).toEqual({ at: 'home', chosen: offerName(other) })
})

test('an offer that goes away under the confirmation takes it along', () => {
  const { ui } = play(['enter', 'down'], HOME)
  const gone = snapshot({ offers: [other] })
  expect(screenOf(ui, gone)).toBe('home')
  expect(play(['y'], gone, ui).asked).toEqual([])
  expect(play(['enter'], gone, ui).asked).toEqual([])
})

test('another offer that takes the place in the list is not the chosen one', () => {
  const { ui } = play(['down'], HOME)
  expect(play(['enter', 'y'], snapshot({ offers: [offer(), refusedOffer(), other] }), ui).asked).toEqual([
    { do: 'install', id: other.id },
  ])
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
  for (const keys of [[], ['enter'], ['r'], ['r', 'enter', 'x'], ['b']]) {
    const { ui } = play(keys, HOME)
    expect(screenOf(ui, now)).toBe('progress')
    expect(play(['enter', 'y', 'r', 'b', 'i'], now, ui).asked).toEqual([])
  }
})

test('cancel only where it can be honoured, and only with a yes', () => {
  const can = snapshot({ job: job({ cancellable: true }) })
  const cannot = snapshot({ job: job({ cancellable: false }) })
  expect(play(['c', 'y'], can).asked).toEqual([{ do: 'cancel' }])
  expect(play(['c', 'enter'], can).asked).toEqual([])
  expect(play(['c', 'y'], cannot).asked).toEqual([])
  expect(screenOf(play(['c'], cannot).ui, can)).toBe('progress')
  const { ui } = play(['c'], can)
  expect(screenOf(ui, cannot)).toBe('progress')
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
    expect(screenOf(ui, now)).toBe('home')
    expect(screenOf(ui, snapshot({ job: job({ id: 'job-2', state }) }))).toBe('outcome')
  },
)

test.each(['done', 'cancelled'] as const)('a job that is %s needs no attention', state => {
  expect(screen([], snapshot({ job: job({ state }) }))).toBe('home')
})

test('Ctrl-C leaves where nothing goes on and is harmless where a job does', () => {
  expect(play(['ctrl-c'], snapshot()).asked).toEqual([{ do: 'quit' }])
  expect(play(['r', 'enter', 'ctrl-c'], snapshot()).asked).toEqual([{ do: 'quit' }])
  expect(play(['ctrl-c'], snapshot({ job: job() })).asked).toEqual([{ do: 'goes-on' }])
})

test('a note goes with the next key', () => {
  expect(press({ ...START, note: 'cannot' }, 'x', snapshot()).ui.note).toBe('')
})

test('problems have a screen of their own', () => {
  expect(screen(['t'], snapshot())).toBe('home')
  const now = snapshot({ problems: [{ code: 'a', text: 'b', next: 'c' }] })
  expect(screen(['t'], now)).toBe('trouble')
  expect(screen(['t', 'esc'], now)).toBe('home')
})
