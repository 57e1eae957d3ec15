/** Where the person is in the console, and what a key does there: pure, so that every path can be tested without a terminal. */
import type { DeploymentInfo, JobInfo, OfferInfo, Snapshot } from '../control/protocol.ts'

/** What a person chose to look at. Offers and deployments are held by name: places in a list change under the cursor. */
export type View =
  | { at: 'home'; chosen: string }
  | { at: 'install'; offer: string; yes: boolean }
  | { at: 'reboot'; yes: boolean }
  | { at: 'cancel'; yes: boolean }
  | { at: 'rollback'; chosen: string }
  | { at: 'reason'; to: string; reason: string }
  | { at: 'return'; to: string; reason: string; yes: boolean }
  | { at: 'trouble' }

export interface Ui {
  view: View
  /** the outcome that was read and closed, as `outcomeName` calls it */
  closed: string
  /** what the last request was answered, until the next key */
  note: string
}

export const START: Ui = { view: { at: 'home', chosen: '' }, closed: '', note: '' }

/** What a key asks the outside world for. */
export type Request =
  | { do: 'install'; id: string }
  | { do: 'rollback'; index: number; reason: string }
  | { do: 'reboot' | 'cancel' | 'quit' | 'goes-on' }

export interface Step {
  ui: Ui
  request?: Request
}

/** A key by its name: up, down, enter, esc, erase, ctrl-c; anything else is text that was typed. */
export type Key = string

/** The same package may lie on two sticks: only the path is unique. */
export const offerName = (offer: OfferInfo): string => offer.path
export const deploymentName = (d: DeploymentInfo): string => `${d.os} ${d.commit}.${d.serial}`
const outcomeName = (job: JobInfo): string => `${job.id} ${job.state}`

export const isWorking = (job: JobInfo | null): boolean =>
  job !== null && ['running', 'paused', 'trying'].includes(job.state)

/** What a rollback could return to: all but what runs, unless something else is due at the next start. */
export const returnable = ({ deployments }: Snapshot): DeploymentInfo[] => {
  const pending = deployments.some(d => d.pending)
  return deployments.filter(d => (pending ? !d.pending : !d.booted))
}

export const chosenOffer = ({ offers }: Snapshot, chosen: string): OfferInfo | undefined =>
  offers.find(o => offerName(o) === chosen) ?? offers.find(o => o.preselected) ?? offers[0]

export const chosenDeployment = (snapshot: Snapshot, chosen: string): DeploymentInfo | undefined => {
  const list = returnable(snapshot)
  return list.find(d => deploymentName(d) === chosen) ?? list.find(d => d.rollback) ?? list[0]
}

/** The screen that is due: a job and its outcome come before what a person was looking at. */
export type Screen = View['at'] | 'progress' | 'ready' | 'outcome'

export function screenOf({ view, closed }: Ui, snapshot: Snapshot): Screen {
  const { job } = snapshot
  if (job && isWorking(job)) return view.at === 'cancel' && job.cancellable ? 'cancel' : 'progress'
  if (view.at === 'reboot') return 'reboot'
  if (job && outcomeName(job) !== closed) {
    if (job.state === 'reboot') return view.at === 'cancel' && job.cancellable ? 'cancel' : 'ready'
    if (job.state === 'failed' || job.state === 'fell-back') return 'outcome'
  }
  switch (view.at) {
    case 'cancel':
      return 'home'
    case 'install':
      return snapshot.offers.some(o => offerName(o) === view.offer) ? 'install' : 'home'
    case 'reason':
    case 'return':
      return returnable(snapshot).some(d => deploymentName(d) === view.to) ? view.at : 'rollback'
    default:
      return view.at
  }
}

const HOME: View = { at: 'home', chosen: '' }

/** What becomes of the console when a key is pressed. Nothing that changes the device happens without a confirmation. */
export function press(before: Ui, key: Key, snapshot: Snapshot): Step {
  const ui: Ui = { ...before, note: '' }
  const screen = screenOf(ui, snapshot)
  const { job } = snapshot
  const to = (view: View, request?: Request): Step => ({ ui: { ...ui, view }, ...(request && { request }) })
  const stay: Step = { ui }
  if (key === 'ctrl-c') return { ui, request: { do: isWorking(job) ? 'goes-on' : 'quit' } }
  if (key === 'q' && screen !== 'reason') return { ui, request: { do: 'quit' } }
  const { view } = ui

  switch (screen) {
    case 'home': {
      const chosen = chosenOffer(snapshot, view.at === 'home' ? view.chosen : '')
      if (key === 'up' || key === 'down')
        return to({ at: 'home', chosen: beside(snapshot.offers, chosen, key, offerName) })
      if ((key === 'enter' || key === 'i') && chosen) return to({ at: 'install', offer: offerName(chosen), yes: false })
      if (key === 'r') return to({ at: 'rollback', chosen: '' })
      if (key === 'b') return to({ at: 'reboot', yes: false })
      if (key === 't' && snapshot.problems.length > 0) return to({ at: 'trouble' })
      return stay
    }
    case 'progress':
      return key === 'c' && job?.cancellable ? to({ at: 'cancel', yes: false }) : stay
    case 'ready':
      if (key === 'b' || key === 'enter') return to({ at: 'reboot', yes: false })
      if (key === 'c' && job?.cancellable) return to({ at: 'cancel', yes: false })
      return key === 'esc' ? close(ui, job) : stay
    case 'outcome':
      return key === 'esc' || key === 'enter' ? close(ui, job) : stay
    case 'trouble':
      return key === 'esc' || key === 'enter' ? to(HOME) : stay
    case 'rollback': {
      const chosen = chosenDeployment(snapshot, view.at === 'rollback' ? view.chosen : '')
      if (key === 'up' || key === 'down')
        return to({ at: 'rollback', chosen: beside(returnable(snapshot), chosen, key, deploymentName) })
      if (key === 'enter' && chosen) return to({ at: 'reason', to: deploymentName(chosen), reason: '' })
      return key === 'esc' ? to(HOME) : stay
    }
    case 'reason':
      return view.at === 'reason' ? typed(ui, view, key) : stay
    default:
      return 'yes' in view ? answered(ui, view, key, snapshot) : stay
  }
}

type Confirm = Extract<View, { yes: boolean }>

/** Arrows move between no and yes, Enter takes what is chosen, `y` is yes at once; no comes first, so that a held Enter does nothing. */
function answered(ui: Ui, view: Confirm, key: Key, snapshot: Snapshot): Step {
  const request = requestOf(view, snapshot)
  const back: View = view.at === 'return' ? { at: 'reason', to: view.to, reason: view.reason } : HOME
  if (key === 'esc' || !request) return key === 'esc' || key === 'enter' ? { ui: { ...ui, view: back } } : { ui }
  if (key === 'up' || key === 'down') return { ui: { ...ui, view: { ...view, yes: !view.yes } } }
  if (key === 'y' || (key === 'enter' && view.yes)) return { ui: { ...ui, view: HOME }, request }
  return { ui: key === 'enter' ? { ...ui, view: back } : ui }
}

/** What a yes would ask for; undefined where it cannot be done. */
function requestOf(view: Confirm, snapshot: Snapshot): Request | undefined {
  if (view.at === 'install') {
    const offer = snapshot.offers.find(o => offerName(o) === view.offer)
    return offer?.verdict.fits ? { do: 'install', id: offer.id } : undefined
  }
  if (view.at === 'return') {
    const target = snapshot.deployments.find(d => deploymentName(d) === view.to)
    return target ? { do: 'rollback', index: target.index, reason: view.reason } : undefined
  }
  return { do: view.at }
}

const REASON_LENGTH = 200

function typed(ui: Ui, view: Extract<View, { at: 'reason' }>, key: Key): Step {
  if (key === 'esc') return { ui: { ...ui, view: { at: 'rollback', chosen: view.to } } }
  if (key === 'enter') {
    const reason = view.reason.trim()
    return { ui: reason ? { ...ui, view: { at: 'return', to: view.to, reason, yes: false } } : ui }
  }
  if (key === 'up' || key === 'down') return { ui }
  const letters = [...view.reason]
  if (key === 'erase') letters.pop()
  else letters.push(...[...key].filter(letter => letter >= ' ' && letter !== '\u007f'))
  return { ui: { ...ui, view: { ...view, reason: letters.slice(0, REASON_LENGTH).join('') } } }
}

function close(ui: Ui, job: JobInfo | null): Step {
  return { ui: { ...ui, view: HOME, closed: job ? outcomeName(job) : '' } }
}

/** The name of what lies above or below; the ends stay where they are. */
function beside<T>(list: readonly T[], from: T | undefined, key: 'up' | 'down', name: (item: T) => string): string {
  const at = from === undefined ? -1 : list.indexOf(from)
  const next = list[Math.min(list.length - 1, Math.max(0, at + (key === 'up' ? -1 : 1)))]
  return next === undefined ? '' : name(next)
}
