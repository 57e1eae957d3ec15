/** Where the person is in the console, and the screen that is due there: values and pure functions of the snapshot. */
import type { DeploymentInfo, JobInfo, MediumInfo, MissInfo, OfferInfo, Snapshot } from '../control/protocol.ts'
import { isOver } from './line.ts'

/** What a person chose to look at. Offers and deployments are held by name: places in a list change under the cursor. */
export type View =
  | { at: 'home' }
  | { at: 'packages'; chosen: string }
  | { at: 'install'; offer: string; yes: boolean }
  /** an older release, although it is one: why, and then whether */
  | { at: 'why'; offer: string; reason: string }
  | { at: 'downgrade'; offer: string; reason: string; yes: boolean }
  | { at: 'reboot'; yes: boolean }
  | { at: 'cancel'; yes: boolean }
  | { at: 'rollback'; chosen: string }
  | { at: 'reason'; to: string; reason: string }
  /** `force`: although a hook of what runs refused */
  | { at: 'return'; to: string; reason: string; yes: boolean; force?: true }
  | { at: 'remove'; to: string; yes: boolean }
  | { at: 'repair'; yes: boolean }
  /** places are counted from the newest entry */
  | { at: 'history' | 'log'; place: number }
  | { at: 'trouble' }

export interface Ui {
  view: View
  /** the outcome that was read and closed, as `outcomeName` calls it */
  closed: string
  /** the job that this console saw at work: its good end is shown too, not only a bad one */
  watched: string
  /** what the last request was answered, until the next key */
  note: string
}

export const HOME: View = { at: 'home' }
export const START: Ui = { view: HOME, closed: '', watched: '', note: '' }

/** The same package may lie on two sticks: only the path is unique. */
export const offerName = (offer: OfferInfo): string => offer.path
export const deploymentName = (d: DeploymentInfo): string => `${d.os} ${d.commit}.${d.serial}`
export const outcomeName = (job: JobInfo): string => `${job.id} ${job.state}`

/** Something is done to the device, or waits for its stick: nothing else is of interest then. */
export const isWorking = (job: JobInfo | null): boolean =>
  job !== null && ['running', 'paused', 'trying'].includes(job.state)

/** What a rollback could return to: all but what runs, unless something else is due at the next start. */
export const returnable = ({ deployments }: Snapshot): DeploymentInfo[] => {
  const pending = deployments.some(d => d.pending)
  return deployments.filter(d => (pending ? !d.pending : !d.booted))
}

/** Where a return was to go that a hook of what runs refused. */
export const refusedReturn = (snapshot: Snapshot): DeploymentInfo | undefined => {
  const { job } = snapshot
  if (job?.kind !== 'rollback' || job.state !== 'failed' || job.code !== 'hook-failed') return undefined
  return returnable(snapshot).find(d => d.commit === job.to.commit)
}

/** The best one first, then what else fits, the newest first, then the rest by name. */
export function sortedOffers({ offers }: Snapshot): OfferInfo[] {
  const rank = (o: OfferInfo) => (o.preselected ? 0 : o.verdict.fits ? 1 : 2)
  const time = (o: OfferInfo) => (o.verdict.fits ? Date.parse(o.release?.timestamp ?? '') || 0 : 0)
  return [...offers].sort((a, b) => rank(a) - rank(b) || time(b) - time(a) || (a.path < b.path ? -1 : 1))
}

/** What is nearly a package, with the medium that it is on. */
export const misses = ({ media }: Snapshot): { medium: MediumInfo; miss: MissInfo }[] =>
  media.flatMap(medium => (medium.misses ?? []).map(miss => ({ medium, miss })))

/** Everything that is listed, by its names: packages first. */
export const listed = (snapshot: Snapshot): string[] => [
  ...sortedOffers(snapshot).map(offerName),
  ...misses(snapshot).map(({ miss }) => miss.path),
]

/** The name of what is chosen: the first, unless it is something that is still there. */
export const chosenName = (snapshot: Snapshot, chosen: string): string | undefined => {
  const names = listed(snapshot)
  return names.includes(chosen) ? chosen : names[0]
}

/** The offer that is chosen, if it is one. */
export const chosenOffer = (snapshot: Snapshot, chosen: string): OfferInfo | undefined => {
  const name = chosenName(snapshot, chosen)
  return snapshot.offers.find(o => offerName(o) === name)
}

/** May an operator install it although it is older than what was here? */
export const isOlder = ({ verdict }: OfferInfo): boolean => !verdict.fits && verdict.code === 'older'

export const chosenDeployment = (snapshot: Snapshot, chosen: string): DeploymentInfo | undefined => {
  const list = returnable(snapshot)
  return list.find(d => deploymentName(d) === chosen) ?? list.find(d => d.rollback) ?? list[0]
}

export const running = ({ deployments }: Snapshot): DeploymentInfo | undefined => deployments.find(d => d.booted)

/** May something new be begun? */
export const isFree = ({ job }: Snapshot): boolean => job === null || isOver(job)

/** What a console that sees this snapshot remembers of it. */
export const noticed = (ui: Ui, { job }: Snapshot): Ui =>
  job && isWorking(job) && ui.watched !== job.id ? { ...ui, watched: job.id } : ui

export type Place = View['at'] | 'progress' | 'trial' | 'ready' | 'outcome'

/** The screen that is due: a job and its outcome come before what a person was looking at. */
export function placeOf({ view, closed, watched }: Ui, snapshot: Snapshot): Place {
  const { job } = snapshot
  if (job?.state === 'trying') return 'trial'
  if (job && isWorking(job)) return view.at === 'cancel' && job.cancellable ? 'cancel' : 'progress'
  if (view.at === 'reboot') return 'reboot'
  if (job && outcomeName(job) !== closed) {
    if (job.state === 'reboot') return view.at === 'cancel' && job.cancellable ? 'cancel' : 'ready'
    if (job.state === 'failed' || job.state === 'fell-back') return 'outcome'
    if (job.id === watched) return 'trial'
  }
  switch (view.at) {
    case 'cancel':
      return 'home'
    case 'repair':
      return isFree(snapshot) ? 'repair' : 'trouble'
    case 'install':
      return snapshot.offers.some(o => offerName(o) === view.offer) ? 'install' : 'packages'
    case 'why':
    case 'downgrade':
      return snapshot.offers.some(o => offerName(o) === view.offer && isOlder(o)) ? view.at : 'packages'
    case 'remove':
      return snapshot.deployments.some(d => deploymentName(d) === view.to && d.removable) ? 'remove' : 'rollback'
    case 'reason':
    case 'return':
      return returnable(snapshot).some(d => deploymentName(d) === view.to) ? view.at : 'rollback'
    default:
      return view.at
  }
}
