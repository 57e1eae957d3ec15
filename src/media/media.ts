/** All media: every mount below the configured roots, each read by a child of its own, and the inbox. */
import { basename, dirname } from 'node:path'
import { openFile, type Source } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { mountsBelow } from './mounts.ts'
import { openProber } from './probe.ts'
import type { Probe } from './prober.ts'
import { readRefused } from './refused.ts'
import { openStick, type StickReader } from './stick.ts'
import { type UsbIdentity, usbOf } from './usb.ts'
import { type Found, watchMedium } from './watch.ts'

export interface Medium {
  path: string
  name: string
  kind: 'stick' | 'inbox'
  filesystem: string
  state: 'reading' | 'ready' | 'trouble'
  /** where something is to be said: a stable word for it, and the sentence */
  code?: string | undefined
  text?: string | undefined
  /** who it is, where that is known */
  device?: { vendor: string; product: string; serial: string } | undefined
  /** bytes, where they are known */
  size?: number | undefined
  free?: number | undefined
}

export interface Media {
  list(): Medium[]
  /** Look at the mounts now instead of at the next tick. */
  look(): Promise<void>
  /** Open a file on whatever medium it is. @throws Failure `media-gone`, `media-error`, `not-a-package` */
  open(path: string): Promise<Source>
  close(): Promise<void>
}

interface Listeners {
  /** the list of media differs from before */
  change: () => void
  found: (medium: Medium, file: Found) => void
  gone: (medium: Medium, path: string) => void
  /** the medium is no longer there, and its files with it */
  left: (medium: Medium) => void
  failed: (error: unknown) => void
}

interface Stick extends Medium {
  mountId: number
  usb?: UsbIdentity | undefined
  reader?: StickReader
  /** seconds until a child that ended by itself is started again */
  patience: number
  restart?: NodeJS.Timeout
}

interface Remark {
  code: string
  text: string
}
const MANY = {
  code: 'too-many-files',
  text: 'there is more on it than is looked at; put the package into the top folder',
}
const SILENT = { code: 'not-answering', text: 'it is not answering; wait, or take it out and put it back' }
const unreadable = (why: string) => ({ code: 'unreadable', text: `it cannot be read: ${why}` })

/** @param folder private and on a tmpfs */
export function openMedia(
  config: { roots: readonly string[]; refused: string; inbox: string; tick: number },
  folder: string,
  on: Listeners,
): Media {
  const sticks = new Map<string, Stick>()
  const inbox: Medium = { path: config.inbox, name: 'inbox', kind: 'inbox', filesystem: '', state: 'reading' }
  let refused: Medium[] = []
  let closed = false

  function change(medium: Medium, state: Medium['state'], remark?: Remark): void {
    medium.state = state
    medium.code = remark?.code
    medium.text = remark?.text
    on.change()
  }

  async function read(stick: Stick): Promise<void> {
    const isHere = () => !closed && sticks.get(stick.path) === stick
    const reader = await openStick(stick.path, folder, {
      found: file => on.found(stick, file),
      gone: path => on.gone(stick, path),
      ready: beyond => change(stick, 'ready', beyond ? MANY : undefined),
      error: message => change(stick, 'trouble', unreadable(message)),
      answering: does => change(stick, does ? 'ready' : 'trouble', does ? undefined : SILENT),
      ended() {
        if (!isHere()) return
        change(stick, 'trouble', { code: 'unreadable', text: 'it could not be read; trying again' })
        on.left(stick)
        stick.restart = setTimeout(() => void read(stick).catch(on.failed), stick.patience * 1000)
        stick.patience = Math.min(60, stick.patience * 2)
      },
    })
    if (isHere()) stick.reader = reader
    else await reader.close()
  }

  async function drop(stick: Stick): Promise<void> {
    sticks.delete(stick.path)
    clearTimeout(stick.restart)
    on.left(stick)
    on.change()
    await stick.reader?.close()
  }

  let looking: Promise<void> | undefined
  async function lookOnce(): Promise<void> {
    const mounts = new Map((await mountsBelow(config.roots)).map(mount => [mount.path, mount]))
    for (const stick of [...sticks.values()]) if (mounts.get(stick.path)?.id !== stick.mountId) await drop(stick)
    const now = await readRefused(config.refused)
    if (JSON.stringify(now) !== JSON.stringify(refused)) {
      refused = now
      on.change()
    }
    for (const { path, id, filesystem, source } of mounts.values()) {
      if (sticks.has(path) || closed) continue
      const stick: Stick = {
        ...{ path, name: basename(path), kind: 'stick', filesystem, state: 'reading' },
        ...{ mountId: id, patience: 1, usb: await usbOf(source) },
      }
      sticks.set(path, stick)
      on.change()
      void read(stick).catch(on.failed)
      prober.ask()
    }
    prober.need(sticks.size > 0)
  }
  const look = () => {
    looking ??= lookOnce()
      .catch(on.failed)
      .finally(() => {
        looking = undefined
      })
    return looking
  }

  const prober = openProber(() => {
    on.change()
    void look()
  })
  const watcher = watchMedium(inbox.path, {
    found: file => on.found(inbox, file),
    gone: path => on.gone(inbox, path),
    ready: beyond => change(inbox, 'ready', beyond ? MANY : undefined),
    error: error => change(inbox, 'trouble', unreadable(error.message)),
  })
  void look()
  const timer = setInterval(look, config.tick * 1000)

  return {
    list: () => [inbox, ...sticks.values(), ...refused].map(medium => told(medium, prober.last())),
    look,
    async open(path) {
      const isBelow = (root: string) => path.startsWith(`${root}/`)
      const stick = [...sticks.values()]
        .filter(one => isBelow(one.path))
        .sort((a, b) => b.path.length - a.path.length)[0]
      if (stick?.reader) return stick.reader.open(path)
      if (isBelow(inbox.path)) return openFile(path)
      // Wherever this is, it may hang: a child of its own reads it.
      const reader = await openStick(dirname(path), folder)
      try {
        const source = await reader.open(path)
        return { ...source, close: () => reader.close() }
      } catch (error) {
        await reader.close()
        throw error
      }
    },
    async close() {
      closed = true
      clearInterval(timer)
      prober.close()
      await looking
      for (const stick of [...sticks.values()]) await drop(stick)
      await watcher.close()
    },
  }
}

/** A medium as others are told of it, with what the probe knows. */
function told({ path, name, kind, filesystem, state, code, text, usb }: Medium & Partial<Stick>, probe: Probe): Medium {
  const disk = probe.disks.find(one => one.path === path)
  const named = probe.devices.find(
    one =>
      usb &&
      one.vendorId === Number.parseInt(usb.vendorId, 16) &&
      one.productId === Number.parseInt(usb.productId, 16) &&
      (one.serial === '' || safe(one.serial, 60) === usb.serial),
  )
  return {
    ...{ path, name, kind, filesystem, state },
    ...(code === undefined ? {} : { code, text }),
    ...(usb && {
      device: {
        vendor: usb.vendor || safe(named?.vendor ?? '', 60),
        product: usb.product || safe(named?.product ?? '', 60),
        serial: usb.serial,
      },
    }),
    ...(disk && { size: disk.size, free: disk.free }),
  }
}
