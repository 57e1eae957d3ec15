import { describe, expect, it } from 'vitest'
import { sentence } from '../../../src/update/describe.ts'
import {
  type ChangeJob,
  type InstallJob,
  isCancellable,
  isOver,
  type Machine,
  type RollbackJob,
  reconcile,
  type State,
} from '../../../src/update/state.ts'

const old = { commit: 'a'.repeat(64), serial: 0 }
const fresh = { commit: 'b'.repeat(64), serial: 0 }
const install = {
  kind: 'install',
  id: '1',
  onStick: true,
  from: { ...old, version: '1.0' },
  to: { commit: fresh.commit, version: '2.0', ref: 'r', os: 'o', epoch: 0, timestamp: '' },
} as InstallJob
const rollback = {
  kind: 'rollback',
  id: '2',
  from: { ...fresh, version: '2.0' },
  to: { ...old, version: '1.0' },
} as RollbackJob
const cause = { code: 'unhealthy', text: 'bad' }
const machine = (bootId: string, booted: typeof old, next = booted): Machine => ({
  bootId,
  booted,
  next,
  account: '',
})
const at = (state: State, found: Machine) => reconcile(state, found).at

describe('the machine is believed before the journal', () => {
  it('rebooted into the target: its health decides', () =>
    expect(at({ at: 'reboot', job: install, bootId: 'x' }, machine('y', fresh))).toBe('trying'))
  it('only the service was restarted: the reboot is still awaited', () =>
    expect(at({ at: 'reboot', job: install, bootId: 'x' }, machine('x', old, fresh))).toBe('reboot'))
  it('rebooted into the old one: it did not start', () =>
    expect(at({ at: 'reboot', job: install, bootId: 'x' }, machine('y', old, fresh))).toBe('falling-back'))
  it('power cut while its health was checked, then the boot loader gave up: it did not start', () =>
    expect(at({ at: 'trying', job: install }, machine('y', old, fresh))).toBe('falling-back'))
  it('power cut while its health was checked: checked again', () =>
    expect(at({ at: 'trying', job: install }, machine('y', fresh))).toBe('trying'))
  it('somebody chose another one by hand', () =>
    expect(at({ at: 'reboot', job: install, bootId: 'x' }, machine('x', old, old))).toBe('failed'))
  it('returned', () =>
    expect(at({ at: 'returning', job: install, bootId: 'x', cause }, machine('y', old))).toBe('fell-back'))
  it('not returned yet', () =>
    expect(at({ at: 'returning', job: install, bootId: 'x', cause }, machine('x', fresh, old))).toBe('returning'))
  it('the bad one again: stops instead of rebooting for ever', () =>
    expect(at({ at: 'returning', job: install, bootId: 'x', cause }, machine('y', fresh, old))).toBe('failed'))
  it('power cut after the boot order was changed and before that was journalled: it settles', () => {
    for (const step of ['deploy', 'settle'] as const)
      expect(reconcile({ at: 'installing', job: install, step }, machine('y', fresh))).toMatchObject({
        at: 'installing',
        step: 'settle',
      })
    const admitting: State = { at: 'installing', job: install, step: 'admit' }
    expect(reconcile(admitting, machine('y', fresh))).toBe(admitting)
  })
  it('power cut in a cancel, and what was to be cancelled runs: it goes back, or has gone back already', () => {
    const undoing = (job: ChangeJob): State => ({ at: 'undoing', job, step: 'settle', cause })
    expect(reconcile(undoing(install), machine('y', fresh))).toEqual({ at: 'falling-back', job: install, cause })
    expect(at(undoing(install), machine('y', old, fresh))).toBe('undoing')
    expect(at(undoing(rollback), machine('y', old))).toBe('trying')
  })
  it('a rollback is told by commit and serial', () => {
    expect(at({ at: 'reboot', job: rollback, bootId: 'x' }, machine('y', old))).toBe('trying')
    expect(at({ at: 'reboot', job: rollback, bootId: 'x' }, machine('y', { ...old, serial: 1 }))).toBe('failed')
  })
  it('interrupted work keeps its place', () => {
    const state: State = { at: 'installing', job: install, step: 'deploy' }
    expect(reconcile(state, machine('y', old, fresh))).toBe(state)
  })
})

it('a release that could not be left is not said to have changed nothing', () => {
  expect(sentence({ at: 'failed', job: install, cause: { code: 'no-space', text: 'no room' } })).toContain(
    'Nothing was',
  )
  expect(sentence({ at: 'failed', job: install, cause, stuck: true })).toBe(
    'Bad. Call support, and install nothing before.',
  )
})

it('the stick is spoken of where one takes part', () => {
  const staging = (onStick: boolean) => sentence({ at: 'installing', job: { ...install, onStick }, step: 'stage' })
  expect(staging(true)).toBe('Copying version 2.0 from the stick. Leave the stick in.')
  expect(staging(false)).toBe('Copying version 2.0 to the device.')
})

describe('what may be asked for', () => {
  it('a new job only when the last is over', () => {
    expect(isOver({ at: 'idle' })).toBe(true)
    expect(isOver({ at: 'fell-back', job: install, cause })).toBe(true)
    expect(isOver({ at: 'trying', job: install })).toBe(false)
    expect(isOver({ at: 'installing', job: install, step: 'stage', paused: cause })).toBe(false)
  })
  it('cancel only where it can be honoured', () => {
    expect(isCancellable({ at: 'installing', job: install, step: 'stage' })).toBe(true)
    expect(isCancellable({ at: 'installing', job: install, step: 'import' })).toBe(false)
    expect(isCancellable({ at: 'installing', job: install, step: 'deploy' })).toBe(false)
    expect(isCancellable({ at: 'reboot', job: install, bootId: 'x' })).toBe(true)
    expect(isCancellable({ at: 'trying', job: install })).toBe(false)
  })
})
