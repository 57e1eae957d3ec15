/** All media: every mount below the configured roots, each read by a child of its own, and the inbox. */
import { basename, dirname } from 'node:path'
import { Failure } from '../base/failure.ts'
import { openFile, type Source } from '../base/source.ts'
import { MANY, type Medium, type Remark, SILENT, told, unreadable } from './medium.ts'
import { isBelow, type Mount, mountsBelow } from './mounts.ts'
import { openProber } from './probe.ts'
import { readRefused } from './refused.ts'
import type { Found } from './scan.ts'
import { openStick, type StickReader } from './stick.ts'
import { type UsbIdentity, usbOf } from './usb.ts'
import { onMounts } from './wake.ts'
import { watchMedium } from './watch.ts'

export interface Media {
  list(): Medium[]
  /** Look at the mounts now instead of at the next tick. */
  look(): Promise<void>
  /** The medium that a file is on, of those that are known. */
  holding(path: string): Medium | undefined
  /** Open a file on whatever medium it is. @throws Failure `media-gone`, `media-error`, `not-a-package`, `not-answering` */
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
  /** is the device being changed? Memory and processor belong to that, and who the sticks are is asked afterwards */
  isBusy: () => boolean
}

interface Stick extends Medium {
  /** the mount and those that lie on it: when one of these changes, the stick is looked at anew */
  mount: string
  usb?: UsbIdentity | undefined
  /** undefined while it waits to be started again */
  reader?: Promise<StickReader> | undefined
  /** the first look is complete */
  isRead: boolean
  isSilent: boolean
  /** what is wrong with it, and what is only to be said */
  trouble?: Remark | undefined
  remark?: Remark | undefined
  /** seconds until a child that ended by itself is started again */
  patience: number
  restart?: NodeJS.Timeout
}

/** Sticks that are read at the same time: each costs a process. */
const MOST = 8
const SURPLUS = { code: 'too-many-media', text: `${MOST} others are being read; take one of those out` }

/** @param folder private and on a tmpfs */
export function openMedia(
  config: { roots: readonly string[]; refused: string; inbox: string; tick: number },
  folder: string,
  on: Listeners,
): Media {
  const sticks = new Map<string, Stick>()
  const inbox: Medium = { path: config.inbox, name: 'inbox', kind: 'inbox', filesystem: '', state: 'reading' }
  /** those without a reader: what could not be mounted, and what is too many */
  let unread: Medium[] = []
  let closed = false

  function show(medium: Medium, state: Medium['state'], remark?: Remark): void {
    const isNews = medium.state !== state || medium.code !== remark?.code || medium.text !== remark?.text
    medium.state = state
    medium.code = remark?.code
    medium.text = remark?.text
    if (isNews) on.change()
  }

  function showStick(stick: Stick): void {
    if (sticks.get(stick.path) !== stick) return
    const trouble = stick.isSilent ? SILENT : stick.trouble
    if (trouble) show(stick, 'trouble', trouble)
    else show(stick, stick.isRead ? 'ready' : 'reading', stick.remark)
  }

  function holding(path: string): Stick | undefined {
    return [...sticks.values()]
      .filter(stick => isBelow(path, stick.path))
      .sort((a, b) => b.path.length - a.path.length)[0]
  }

  async function read(stick: Stick): Promise<StickReader> {
    const set = (change: Partial<Stick>) => {
      Object.assign(stick, change)
      showStick(stick)
    }
    const isHere = () => !closed && sticks.get(stick.path) === stick
    const again = () => {
      stick.reader = undefined
      if (!isHere()) return
      set({ isRead: false, isSilent: false, trouble: unreadable('it is tried again in a moment') })
      on.left(stick)
      stick.restart = setTimeout(() => begin(stick), stick.patience * 1000)
      stick.patience = Math.min(60, stick.patience * 2)
    }
    try {
      return await openStick(
        stick.path,
        folder,
        {
          // What is on a mount of its own is that one's, also when its files can be seen from here.
          found: file => isHere() && holding(file.path) === stick && on.found(stick, file),
          gone: path => isHere() && on.gone(stick, path),
          ready: beyond => set({ isRead: true, remark: beyond ? MANY : undefined }),
          error: why => set({ trouble: unreadable(why) }),
          answering: does => set({ isSilent: !does }),
          unmounted() {
            stick.mount = ''
            void look()
          },
          ended: again,
        },
        true,
      )
    } catch (error) {
      again()
      throw error
    }
  }

  function begin(stick: Stick): void {
    stick.trouble = undefined
    stick.reader = read(stick)
    stick.reader.catch(on.failed)
    showStick(stick)
  }

  async function drop(stick: Stick): Promise<void> {
    sticks.delete(stick.path)
    clearTimeout(stick.restart)
    on.left(stick)
    on.change()
    await stick.reader?.then(reader => reader.close()).catch(() => {})
  }

  async function lookOnce(): Promise<void> {
    const mounts = await mountsBelow(config.roots)
    const marks = new Map(mounts.map(mount => [mount.path, markOf(mount, mounts)]))
    for (const stick of [...sticks.values()]) if (marks.get(stick.path) !== stick.mount) await drop(stick)
    const surplus: Medium[] = []
    for (const { path, filesystem, source } of mounts) {
      if (sticks.has(path) || closed) continue
      const medium: Medium = { path, name: basename(path), kind: 'stick', filesystem, state: 'reading' }
      if (sticks.size >= MOST) {
        surplus.push({ ...medium, state: 'trouble', ...SURPLUS })
        continue
      }
      const known = { mount: marks.get(path) ?? '', usb: await usbOf(source), patience: 1 }
      const stick: Stick = { ...medium, ...known, isRead: false, isSilent: false }
      sticks.set(path, stick)
      begin(stick)
      on.change()
      prober.ask()
    }
    const now = [...(await readRefused(config.refused)), ...surplus]
    if (JSON.stringify(now) !== JSON.stringify(unread)) {
      unread = now
      on.change()
    }
    // What asks for sizes would hang with a silent one.
    prober.need(sticks.size > 0 && [...sticks.values()].every(stick => !stick.isSilent) && !on.isBusy())
  }
  let looking: Promise<void> | undefined
  let isStale = false
  /** What changes during a look is seen by another one. */
  const look = () => {
    isStale = true
    looking ??= (async () => {
      while (isStale) {
        isStale = false
        await lookOnce().catch(on.failed)
      }
      looking = undefined
    })()
    return looking
  }

  const prober = openProber(() => {
    on.change()
    void look()
  })
  const watcher = watchMedium(inbox.path, {
    found: file => on.found(inbox, file),
    gone: path => on.gone(inbox, path),
    ready: beyond => show(inbox, 'ready', beyond ? MANY : undefined),
    error: error => show(inbox, 'trouble', unreadable(error.message)),
  })
  const mounting = onMounts(() => void look())
  void look()
  const timer = setInterval(look, config.tick * 1000)

  return {
    list: () =>
      [inbox, ...sticks.values(), ...unread].map(medium => told(medium, sticks.get(medium.path)?.usb, prober.last())),
    look,
    holding: path => (isBelow(path, inbox.path) ? inbox : holding(path)),
    async open(path) {
      if (isBelow(path, inbox.path)) return openFile(path)
      // It may have been mounted since the last look.
      if (!holding(path)) await look()
      const stick = holding(path)
      if (!stick) return openAnywhere(path, folder)
      const reader = await stick.reader
      if (!reader)
        throw new Failure('media-gone', `cannot read ${path}: the stick is not there; put it back to continue`)
      return reader.open(path)
    },
    async close() {
      closed = true
      clearInterval(timer)
      mounting.close()
      prober.close()
      await looking
      for (const stick of [...sticks.values()]) await drop(stick)
      await watcher.close()
    },
  }
}

/** What tells a mount from an earlier one on the same folder, with what is mounted on it. */
function markOf(mount: Mount, all: readonly Mount[]): string {
  const inner = all.filter(one => isBelow(one.path, mount.path))
  return [mount, ...inner].map(({ id, origin, source }) => `${id} ${origin} ${source}`).join('\n')
}

/** A file on no medium that is known: wherever it is, it may hang, so a child of its own reads it. */
async function openAnywhere(path: string, folder: string): Promise<Source> {
  const silent = new Failure('not-answering', `cannot read ${path}: what it is on is not answering; try another stick`)
  const reader: StickReader = await openStick(
    dirname(path),
    folder,
    { answering: does => void (does || reader.close(silent)) },
    false,
  )
  try {
    const source = await reader.open(path)
    return { ...source, close: () => reader.close() }
  } catch (error) {
    await reader.close()
    throw error
  }
}
