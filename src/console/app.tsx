/** The console: holds the snapshot and where the person is, shows the screen that is due, sends what a key asks for. */
import { useApp, useInput, useStdout } from 'ink'
import { useEffect, useRef, useState } from 'react'
import { asFailure } from '../base/failure.ts'
import { type Client, isUnreachable } from '../control/client.ts'
import type { Snapshot } from '../control/protocol.ts'
import type { Frame } from './frame.tsx'
import { ConfirmCancel, ConfirmInstall, ConfirmReboot, ConfirmReturn } from './screens/confirm.tsx'
import { Home } from './screens/home.tsx'
import { Progress, type Pulse } from './screens/progress.tsx'
import { Ready } from './screens/ready.tsx'
import { Reason, Rollback } from './screens/rollback.tsx'
import { Outcome, Problems } from './screens/trouble.tsx'
import { Wait } from './screens/wait.tsx'
import { usePulse, useService } from './service.ts'
import { deploymentName, type Key, offerName, press, type Request, START, screenOf, type Ui } from './view.ts'

/** Milliseconds that an answer stays when no key takes it away. */
const NOTE_STAYS = 10_000

type Look = Pick<Frame, 't' | 'glyphs' | 'colour'>

export function App({ client, look }: { client: Client; look: Look }) {
  const { exit } = useApp()
  const { snapshot, lost } = useService(client)
  const pulse = usePulse(snapshot?.job?.state === 'running' ? snapshot.job.progress?.heartbeat : undefined)
  const [ui, setUi] = useState<Ui>(START)
  // Keys that come in one burst must each see what the one before them did, before React has drawn it.
  const now = useRef(ui)
  // Ink gives keys to the handler of the drawing before for a moment; that one would know an older snapshot.
  const latest = useRef<Snapshot>(undefined)
  latest.current = snapshot
  const frame = { ...look, ...useSize() }
  const change = (next: Ui) => {
    now.current = next
    setUi(next)
  }
  const note = (text: string) => change({ ...now.current, note: text })
  useEffect(() => {
    if (!ui.note) return
    const timer = setTimeout(() => {
      now.current = { ...now.current, note: '' }
      setUi(now.current)
    }, NOTE_STAYS)
    return () => clearTimeout(timer)
  }, [ui.note])
  useEffect(() => {
    if (!lost) return
    now.current = { ...now.current, note: '' } // what a service that is gone said is of no use
    setUi(now.current)
  }, [lost])
  const send = (request: Request) =>
    perform(client, request).then(
      () => request.do === 'reboot' && note(frame.t.rebooting),
      error => {
        const failure = asFailure(error, request.do)
        if (!isUnreachable(failure)) note(`${failure.message} (${failure.code})`) // else the screen says it
      },
    )

  useInput((input, key) => {
    const name = nameOf(input, key)
    const shown = latest.current
    if (!shown) {
      if (name === 'q' || name === 'ctrl-c') exit()
      return
    }
    const { ui: next, request } = press(now.current, name, shown)
    change(next)
    if (request?.do === 'quit') exit()
    else if (request?.do === 'goes-on') note(frame.t.goesOn)
    else if (request) void send(request)
  })

  return snapshot ? <Due frame={frame} snapshot={snapshot} ui={ui} pulse={pulse} /> : <Wait frame={frame} lost={lost} />
}

async function perform(client: Client, request: Request): Promise<void> {
  if (request.do === 'install') await client.install({ id: request.id })
  else if (request.do === 'rollback') await client.rollback({ index: request.index, reason: request.reason })
  else if (request.do === 'reboot') await client.reboot()
  else if (request.do === 'cancel') await client.cancel()
}

/** The screen that is due, as a function of snapshot and place. */
export function Due({ frame, snapshot, ui, pulse }: { frame: Frame; snapshot: Snapshot; ui: Ui; pulse: Pulse }) {
  const { view, note } = ui
  const { job } = snapshot
  const common = { frame, snapshot, note, yes: 'yes' in view && view.yes }
  const target = 'to' in view ? snapshot.deployments.find(d => deploymentName(d) === view.to) : undefined
  switch (screenOf(ui, snapshot)) {
    case 'progress':
      return job && <Progress {...common} job={job} pulse={pulse} />
    case 'ready':
      return job && <Ready {...common} job={job} />
    case 'outcome':
      return job && <Outcome {...common} job={job} />
    case 'install': {
      const offer = view.at === 'install' ? snapshot.offers.find(o => offerName(o) === view.offer) : undefined
      return offer ? <ConfirmInstall {...common} offer={offer} /> : null
    }
    case 'reboot':
      return <ConfirmReboot {...common} />
    case 'cancel':
      return <ConfirmCancel {...common} />
    case 'rollback':
      return <Rollback {...common} chosen={view.at === 'rollback' ? view.chosen : ''} />
    case 'reason':
      return target && view.at === 'reason' ? <Reason {...common} to={target} reason={view.reason} /> : null
    case 'return':
      return target && view.at === 'return' ? <ConfirmReturn {...common} to={target} reason={view.reason} /> : null
    case 'trouble':
      return <Problems {...common} />
    default:
      return <Home {...common} chosen={view.at === 'home' ? view.chosen : ''} />
  }
}

type Pressed = Parameters<Parameters<typeof useInput>[0]>[1]

function nameOf(input: string, key: Pressed): Key {
  if (key.ctrl && input === 'c') return 'ctrl-c'
  if (key.upArrow) return 'up'
  if (key.downArrow) return 'down'
  if (key.return) return 'enter'
  if (key.escape) return 'esc'
  // The erase key sends DEL, which Ink calls delete.
  if (key.backspace || key.delete) return 'erase'
  return key.ctrl || key.meta || key.tab ? '' : input
}

/** The terminal's size, and again when it changes; a terminal that does not say is taken for a VT100. */
function useSize(): { columns: number; rows: number } {
  const { stdout } = useStdout()
  const read = () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 })
  const [size, setSize] = useState(read)
  useEffect(() => {
    const changed = () => setSize({ columns: stdout.columns || 80, rows: stdout.rows || 24 })
    stdout.on('resize', changed)
    return () => void stdout.off('resize', changed)
  }, [stdout])
  return size
}
