/** What a key does: pure, so that every path can be tested without a terminal. */
import type { DeploymentInfo, JobInfo, Snapshot } from '../control/protocol.ts'
import {
  chosenDeployment,
  chosenName,
  chosenOffer,
  deploymentName,
  HOME,
  isFree,
  isOlder,
  isWorking,
  listed,
  offerName,
  outcomeName,
  placeOf,
  refusedReturn,
  returnable,
  type Ui,
  type View,
} from './view.ts'

/** What a key asks the outside world for. */
export type Request =
  | { do: 'install'; id: string; path: string; allowDowngrade?: true; reason?: string }
  | { do: 'rollback'; index: number; reason: string; force?: true }
  | { do: 'remove'; index: number }
  | { do: 'reboot' | 'cancel' | 'repair' | 'history' | 'redraw' | 'quit' | 'goes-on' }

export interface Step {
  ui: Ui
  request?: Request
}

/** A key by its name: up, down, page-up, page-down, enter, esc, erase, ctrl-c, ctrl-l; anything else is text that was typed. */
export type Key = string

/** What beside the snapshot decides: whether the console may be left, and how long the lists are. */
export interface Around {
  kiosk: boolean
  entries: number
  log: number
}

const MOVES: { [key: string]: number } = { up: -1, down: 1, 'page-up': -10, 'page-down': 10 }

/** What becomes of the console when a key is pressed. Nothing that changes the device happens without a confirmation. */
export function press(before: Ui, key: Key, snapshot: Snapshot, around: Around): Step {
  const ui: Ui = { ...before, note: '' }
  const place = placeOf(ui, snapshot)
  const { job, problems } = snapshot
  const to = (view: View, request?: Request): Step => ({ ui: { ...ui, view }, ...(request && { request }) })
  const stay: Step = { ui }
  if (key === 'ctrl-l') return { ui: before, request: { do: 'redraw' } }
  if (key === 'ctrl-c') return around.kiosk ? stay : { ui, request: { do: isWorking(job) ? 'goes-on' : 'quit' } }
  if (key === 'q' && place !== 'reason' && place !== 'why') return around.kiosk ? stay : { ui, request: { do: 'quit' } }
  const { view } = ui
  const move = MOVES[key]

  switch (place) {
    case 'home':
      if (key === 'p' || (key === 'enter' && listed(snapshot).length > 0)) return to({ at: 'packages', chosen: '' })
      if (key === 'r') return to({ at: 'rollback', chosen: '' })
      if (key === 'h') return to({ at: 'history', place: 0 }, { do: 'history' })
      if (key === 'b') return to({ at: 'reboot', yes: false })
      if (key !== 't') return stay
      return problems.length === 0 && isBad(job) ? { ui: { ...ui, closed: '' } } : to({ at: 'trouble' })
    case 'packages': {
      const name = chosenName(snapshot, view.at === 'packages' ? view.chosen : '')
      const chosen = chosenOffer(snapshot, name ?? '')
      if (move) return to({ at: 'packages', chosen: beside(listed(snapshot), name, move, one => one) })
      if (key === 'enter' && chosen?.verdict.fits) return to({ at: 'install', offer: offerName(chosen), yes: false })
      if (key === 'enter' && chosen && isOlder(chosen)) return to({ at: 'why', offer: offerName(chosen), reason: '' })
      return key === 'esc' ? to(HOME) : stay
    }
    case 'progress':
      return key === 'c' && job?.cancellable ? to({ at: 'cancel', yes: false }) : stay
    case 'ready':
      if (key === 'b' || key === 'enter') return to({ at: 'reboot', yes: false })
      if (key === 'c' && job?.cancellable) return to({ at: 'cancel', yes: false })
      return key === 'esc' && job?.rebootIn === undefined ? close(ui, job) : stay
    case 'trial':
      return (key === 'esc' || key === 'enter') && !isWorking(job) ? close(ui, job) : stay
    case 'outcome': {
      const refused = key === 'f' ? refusedReturn(snapshot) : undefined
      if (refused) return { ui: { ...close(ui, job).ui, view: forced(refused, job) } }
      return key === 'esc' || key === 'enter' ? close(ui, job) : stay
    }
    case 'trouble':
      if (key === 'x' && isFree(snapshot)) return to({ at: 'repair', yes: false })
      return key === 'esc' || key === 'enter' ? to(HOME) : stay
    case 'history':
    case 'log': {
      const last = Math.max(0, around[place === 'log' ? 'log' : 'entries'] - 1)
      const at = view.at === place ? view.place : 0
      if (move) return to({ at: place, place: Math.min(last, Math.max(0, at + move)) })
      if (key === 'l' && place === 'history') return to({ at: 'log', place: 0 })
      if (key === 'h' && place === 'log') return to({ at: 'history', place: 0 }, { do: 'history' })
      return key === 'esc' ? to(HOME) : stay
    }
    case 'rollback': {
      const chosen = chosenDeployment(snapshot, view.at === 'rollback' ? view.chosen : '')
      if (move) return to({ at: 'rollback', chosen: beside(returnable(snapshot), chosen, move, deploymentName) })
      if (key === 'enter' && chosen) return to({ at: 'reason', to: deploymentName(chosen), reason: '' })
      if (key === 'd' && chosen?.removable) return to({ at: 'remove', to: deploymentName(chosen), yes: false })
      return key === 'esc' ? to(HOME) : stay
    }
    case 'reason':
    case 'why':
      return view.at === place ? typed(ui, view, key) : stay
    default:
      return 'yes' in view ? answered(ui, view, key, snapshot) : stay
  }
}

export const isBad = (job: JobInfo | null): boolean => job?.state === 'failed' || job?.state === 'fell-back'

type Confirm = Extract<View, { yes: boolean }>

/** Arrows move between no and yes, Enter takes what is chosen, `y` or `j` is yes at once; no comes first, so that a held Enter does nothing. */
function answered(ui: Ui, view: Confirm, key: Key, snapshot: Snapshot): Step {
  const request = requestOf(view, snapshot)
  const go = (next: View): Step => ({ ui: { ...ui, view: next } })
  if (key === 'esc' || (key === 'enter' && (!view.yes || !request))) return go(behind(view))
  if (!request) return { ui }
  if (key === 'up' || key === 'down') return go({ ...view, yes: !view.yes })
  const after: View = view.at === 'remove' ? { at: 'rollback', chosen: '' } : HOME
  if (key === 'y' || key === 'j' || key === 'enter') return { ui: { ...ui, view: after }, request }
  return { ui }
}

function behind(view: Confirm): View {
  if (view.at === 'install') return { at: 'packages', chosen: view.offer }
  if (view.at === 'downgrade') return { at: 'why', offer: view.offer, reason: view.reason }
  if (view.at === 'remove') return { at: 'rollback', chosen: view.to }
  if (view.at === 'repair') return { at: 'trouble' }
  return view.at === 'return' && !view.force ? { at: 'reason', to: view.to, reason: view.reason } : HOME
}

/** What a yes would ask for; undefined where it cannot be done. */
function requestOf(view: Confirm, snapshot: Snapshot): Request | undefined {
  // What was looked at is a file: another copy may be damaged.
  if (view.at === 'install') {
    const offer = snapshot.offers.find(o => offerName(o) === view.offer)
    return offer?.verdict.fits ? { do: 'install', id: offer.id, path: offer.path } : undefined
  }
  if (view.at === 'downgrade') {
    const offer = snapshot.offers.find(o => offerName(o) === view.offer)
    const wanted = offer && isOlder(offer) && { id: offer.id, path: offer.path }
    return wanted ? { do: 'install', ...wanted, allowDowngrade: true, reason: view.reason } : undefined
  }
  if (view.at === 'remove') {
    const target = snapshot.deployments.find(d => deploymentName(d) === view.to)
    return target?.removable ? { do: 'remove', index: target.index } : undefined
  }
  if (view.at === 'return') {
    const target = snapshot.deployments.find(d => deploymentName(d) === view.to)
    const force = view.force && { force: view.force }
    return target ? { do: 'rollback', index: target.index, reason: view.reason, ...force } : undefined
  }
  return { do: view.at }
}

const REASON_LENGTH = 200

function typed(ui: Ui, view: Extract<View, { at: 'reason' | 'why' }>, key: Key): Step {
  const go = (next: View): Step => ({ ui: { ...ui, view: next } })
  const isReturn = view.at === 'reason'
  if (key === 'esc') return go(isReturn ? { at: 'rollback', chosen: view.to } : { at: 'packages', chosen: view.offer })
  if (key === 'enter') {
    const reason = view.reason.trim()
    if (reason === '') return { ui }
    const next = { reason, yes: false }
    return go(isReturn ? { at: 'return', to: view.to, ...next } : { at: 'downgrade', offer: view.offer, ...next })
  }
  if (key in MOVES) return { ui }
  const letters = [...view.reason]
  if (key === 'erase') letters.pop()
  else letters.push(...[...key].filter(letter => letter >= ' ' && letter !== '\u007f'))
  return { ui: { ...ui, view: { ...view, reason: letters.slice(0, REASON_LENGTH).join('') } } }
}

/** The same return once more, with the reason that was given. */
const forced = (to: DeploymentInfo, job: JobInfo | null): View => ({
  ...{ at: 'return', to: deploymentName(to), reason: job?.reason ?? '', yes: false, force: true },
})

function close(ui: Ui, job: JobInfo | null): Step {
  return { ui: { ...ui, view: HOME, closed: job ? outcomeName(job) : '' } }
}

/** The name of what lies so many places away; the ends stay where they are. */
function beside<T>(list: readonly T[], from: T | undefined, move: number, name: (item: T) => string): string {
  const at = from === undefined ? 0 : list.indexOf(from)
  const next = list[Math.min(list.length - 1, Math.max(0, at + move))]
  return next === undefined ? '' : name(next)
}
