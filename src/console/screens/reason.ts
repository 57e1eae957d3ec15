/** The reason for the history, typed by the person who decides: for a return, and for an older release. */
import type { DeploymentInfo, OfferInfo, Snapshot } from '../../control/protocol.ts'
import { BLANK, type Frame, type Screen, say } from '../lines.ts'
import { running } from '../view.ts'

const typing = (frame: Frame, head: string, text: string): Screen => {
  const { t } = frame
  const lines = say(frame, `${t.rollback.reasonPrompt}: ${text}`)
  const last = lines.at(-1)?.text ?? ''
  return {
    head,
    lines: [
      ...say(frame, t.rollback.reasonHead),
      BLANK,
      ...lines.slice(0, -1),
      { text: `${last}_`, bold: true },
      BLANK,
      ...say(frame, t.rollback.reasonNeeded),
    ],
    keys: [t.keys.next, t.keys.back],
  }
}

const versionNow = (snapshot: Snapshot) => running(snapshot)?.version ?? '?'

export const reason = (frame: Frame, snapshot: Snapshot, to: DeploymentInfo, text: string): Screen =>
  typing(frame, frame.t.confirm.rollback(versionNow(snapshot), to.version), text)

export const whyOlder = (frame: Frame, snapshot: Snapshot, { release, file }: OfferInfo, text: string): Screen =>
  typing(frame, frame.t.confirm.downgrade(versionNow(snapshot), release?.version ?? file), text)
