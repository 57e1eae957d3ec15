/** The console: holds the snapshot and where the person is, shows the screen that is due, sends what a key asks for. */
import { useApp, useInput, useStdout } from 'ink'
import { useEffect, useRef, useState } from 'react'
import { asFailure } from '../base/failure.ts'
import type { Client } from '../control/client.ts'
import { isUnreachable } from '../control/protocol.ts'
import { due } from './due.ts'
import { makeKeys } from './keys.ts'
import type { Frame } from './lines.ts'
import { Page } from './page.tsx'
import { type Key, press, type Request } from './press.ts'
import type { Past } from './screens/history.ts'
import { wait } from './screens/wait.ts'
import { useLog, usePulse, useService } from './service.ts'
import { noticed, START, type Ui } from './view.ts'
import { failureWords } from './words.ts'

/** Milliseconds that an answer stays when no key takes it away. */
const NOTE_STAYS = 10_000
const KERNEL_SPEAKS = 1500
/** A reboot that was so many seconds off when the service went is taken for its reason. */
const SOON = 4

export type Look = Omit<Frame, 'columns' | 'rows'>

/** @param onRedraw puts the whole screen on the terminal again, over whatever else was written there */
export function App({ client, look, onRedraw }: { client: Client; look: Look; onRedraw: () => void }) {
  const { exit } = useApp()
  const link = useService(client)
  const { snapshot, lost } = link
  const { job } = snapshot ?? {}
  const pulse = usePulse(!lost && job?.state === 'running' ? job.progress?.heartbeat : undefined)
  const seen = useLog(link, look.t)
  const [past, setPast] = useState<Past>()
  const [ui, setUi] = useState<Ui>(START)
  // Keys that come in one burst must each see what the one before them did, before React has drawn it.
  const now = useRef(ui)
  if (snapshot) now.current = noticed(now.current, snapshot)
  // Ink gives keys to the handler of the drawing before for a moment; that one would know an older snapshot.
  const latest = useRef({ snapshot, past, seen, lost })
  latest.current = { snapshot, past, seen, lost }
  // Once the service is gone, it was the reboot; once it is back, the reboot is over.
  const rebooting = useRef(false)
  const away = useRef(false)
  if (lost && (snapshot?.job?.rebootIn ?? SOON) < SOON) rebooting.current = true
  if (!lost && away.current) rebooting.current = false
  away.current = lost !== undefined
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
  const media = snapshot?.media.length
  useEffect(() => {
    // What the kernel says of a new stick, it says on the device's own console.
    if (!look.kiosk || media === undefined) return
    const timer = setTimeout(onRedraw, KERNEL_SPEAKS)
    return () => clearTimeout(timer)
  }, [media, look.kiosk, onRedraw])
  const send = async (request: Request) => {
    try {
      if (request.do === 'history') setPast(await client.history(true))
      else await perform(client, request)
      if (request.do !== 'reboot') return
      rebooting.current = true
      note(look.t.ready.rebooting)
    } catch (error) {
      const failure = asFailure(error, request.do)
      if (!isUnreachable(failure)) note(`${failureWords(failure, look.t)} (${failure.code})`) // else the screen says it
    }
  }

  const act = (key: Key) => {
    const known = latest.current
    if (!known.snapshot || known.lost) {
      if ((key === 'q' || key === 'ctrl-c') && !look.kiosk) exit()
      else if (key === 'ctrl-l') onRedraw()
      return
    }
    const around = { kiosk: look.kiosk, entries: known.past?.entries.length ?? 0, log: known.seen.length }
    const { ui: next, request } = press(now.current, key, known.snapshot, around)
    change(next)
    if (request?.do === 'quit') exit()
    else if (request?.do === 'goes-on') note(look.t.goesOn)
    else if (request?.do === 'redraw') onRedraw()
    else if (request) void send(request)
  }
  const keys = useRef<ReturnType<typeof makeKeys>>(undefined)
  keys.current ??= makeKeys()
  useInput((input, pressed) => keys.current?.(input, pressed).forEach(act))

  if (!snapshot || lost)
    return <Page frame={frame} snapshot={snapshot} screen={wait(frame, lost, snapshot, rebooting.current)} />
  const screen = due(frame, snapshot, now.current, { pulse, past, seen })
  return <Page frame={frame} snapshot={snapshot} screen={screen} note={now.current.note} />
}

async function perform(client: Client, request: Request): Promise<void> {
  if (request.do === 'install') {
    const { do: _, ...wanted } = request
    await client.install(wanted)
  } else if (request.do === 'remove') await client.remove(request.index)
  else if (request.do === 'repair') await client.repair()
  else if (request.do === 'rollback') {
    const { do: _, ...wanted } = request
    await client.rollback(wanted)
  } else if (request.do === 'reboot') await client.reboot()
  else if (request.do === 'cancel') await client.cancel()
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
