/** The screen that is due, as a function of what the service said and where the person is. */
import type { Snapshot } from '../control/protocol.ts'
import type { Frame, Screen } from './lines.ts'
import {
  confirmCancel,
  confirmDowngrade,
  confirmInstall,
  confirmReboot,
  confirmRemove,
  confirmRepair,
  confirmReturn,
} from './screens/confirm.ts'
import { history, log, type Past, type Seen } from './screens/history.ts'
import { home } from './screens/home.ts'
import { packages } from './screens/packages.ts'
import { type Pulse, progress } from './screens/progress.ts'
import { ready } from './screens/ready.ts'
import { reason, whyOlder } from './screens/reason.ts'
import { rollback } from './screens/rollback.ts'
import { trial } from './screens/trial.ts'
import { outcome, problems } from './screens/trouble.ts'
import { deploymentName, offerName, placeOf, type Ui } from './view.ts'

/** What there is to show beside the snapshot. */
export interface Known {
  pulse: Pulse
  /** undefined until it was asked for and answered */
  past: Past | undefined
  seen: readonly Seen[]
}

export function due(frame: Frame, snapshot: Snapshot, ui: Ui, { pulse, past, seen }: Known): Screen {
  const { view } = ui
  const { job } = snapshot
  const yes = 'yes' in view && view.yes
  const place = placeOf(ui, snapshot)
  const target = 'to' in view ? snapshot.deployments.find(d => deploymentName(d) === view.to) : undefined
  const offer = 'offer' in view ? snapshot.offers.find(o => offerName(o) === view.offer) : undefined
  if (job && place === 'progress') return progress(frame, job, pulse)
  if (job && place === 'trial') return trial(frame, snapshot, job)
  if (job && place === 'ready') return ready(frame, job)
  if (job && place === 'outcome') return outcome(frame, snapshot, job)
  if (offer && place === 'install') return confirmInstall(frame, snapshot, offer, yes)
  if (offer && place === 'why' && view.at === 'why') return whyOlder(frame, snapshot, offer, view.reason)
  if (offer && place === 'downgrade' && view.at === 'downgrade')
    return confirmDowngrade(frame, snapshot, offer, view.reason, yes)
  if (place === 'reboot') return confirmReboot(frame, snapshot, yes)
  if (place === 'cancel') return confirmCancel(frame, snapshot, yes)
  if (place === 'packages') return packages(frame, snapshot, view.at === 'packages' ? view.chosen : '')
  if (place === 'rollback') return rollback(frame, snapshot, view.at === 'rollback' ? view.chosen : '')
  if (target && view.at === 'reason') return reason(frame, snapshot, target, view.reason)
  if (target && place === 'remove') return confirmRemove(frame, target, yes)
  if (place === 'repair') return confirmRepair(frame, snapshot, yes)
  if (target && view.at === 'return') return confirmReturn(frame, snapshot, target, view, yes)
  if (view.at === 'history') return history(frame, past, view.place)
  if (view.at === 'log') return log(frame, seen, view.place)
  return place === 'trouble' ? problems(frame, snapshot) : home(frame, snapshot)
}
