/** All media: every mount below the configured roots, each read by a child of its own, and the inbox. */
import { basename, dirname } from 'node:path'
import { Failure } from '../base/failure.ts'
import { openFile, type Source } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { type Inserted, insertStick } from './inserted.ts'
import { type Medium, missesOf, remarksOn, SILENT, show, told } from './medium.ts'
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
  /**
   * Has all that is in been looked at, so that what was found on it is all there is? A medium in trouble is not waited for:
   * nobody knows whether that will end.
   */
  isLookedOver(): boolean
  /** Those in trouble, by their paths. */
  inTrouble(): ReadonlySet<string>
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

interface Stick extends Inserted {
  /** the mount and those that lie on it: when one of these changes, the stick is looked at anew; undefined once it has gone */
  mount: string | undefined
  usb: UsbIdentity | undefined
}

/** Sticks that are read at the same time: each costs a process. */
const MOST = 8
const SURPLUS = { code: 'too-many-media', text: `${MOST} others are being read; take one of those out` }
/** Of a stick that makes place for another. */
const silent = (path: string) =>
  new Failure('not-answering', `cannot read ${safe(path)}: what it is on is not answering; try another stick`)

/** @param folder private and on a tmpfs */
export function openMedia(
  config: { roots: readonly string[]; refused: string; inbox: string; tick: number },
  folder: string,
  on: Listeners,
): Media {
  const sticks = new Map<string, Stick>()
  /** mounts that did not answer and had to make place for others; they are tried again when there is place */
  const givenUp = new Set<string>()
  const inbox: Medium = { path: config.inbox, name: 'inbox', kind: 'inbox', filesystem: '', state: 'reading' }
  /** those without a reader: what could not be mounted, what is too many, and what had to make place */
  let unread: Medium[] = []
  let isLooked = false
  let closed = false

  const all = () => [inbox, ...[...sticks.values()].map(({ medium }) => medium), ...unread]

  function holding(path: string): Stick | undefined {
    return [...sticks.values()]
      .filter(stick => isBelow(path, stick.medium.path))
      .sort((a, b) => b.medium.path.length - a.medium.path.length)[0]
  }

  async function insert({ path, filesystem, source }: Mount, mount: string): Promise<void> {
    const medium: Medium = { path, name: basename(path), kind: 'stick', filesystem, state: 'reading' }
    const usb = await usbOf(source)
    if (closed) return
    const isHere = () => sticks.get(path)?.medium === medium
    const stick: Stick = {
      ...insertStick(medium, folder, {
        change: on.change,
        // What is on a mount of its own is that one's, also when its files can be seen from here.
        found: file => holding(file.path)?.medium === medium && on.found(medium, file),
        gone: gone => on.gone(medium, gone),
        lost: () => isHere() && on.left(medium),
        unmounted() {
          stick.mount = undefined
          void look()
        },
        failed: on.failed,
      }),
      ...{ mount, usb },
    }
    sticks.set(path, stick)
    on.change()
    prober.ask()
  }

  async function drop(stick: Stick, why?: Failure): Promise<void> {
    const { medium } = stick
    sticks.delete(medium.path)
    on.left(medium)
    on.change()
    await stick.close(why)
  }

  /** The place of the one that has been silent for longest: there may be no end to that. */
  async function makePlace(): Promise<boolean> {
    const [longest] = [...sticks.values()].sort((a, b) => b.silence() - a.silence())
    if (!longest || longest.silence() === 0) return false
    if (longest.mount !== undefined) givenUp.add(longest.mount)
    await drop(longest, silent(longest.medium.path))
    return true
  }

  async function lookOnce(): Promise<void> {
    const mounts = await mountsBelow(config.roots)
    const marks = new Map(mounts.map(mount => [mount.path, markOf(mount, mounts)]))
    const markAt = (path: string) => marks.get(path) ?? ''
    for (const stick of [...sticks.values()]) {
      const mark = marks.get(stick.medium.path)
      if (mark === undefined || mark !== stick.mount) await drop(stick)
    }
    for (const mark of givenUp) if (![...marks.values()].includes(mark)) givenUp.delete(mark)
    const others: Medium[] = []
    const isGivenUp = ({ path }: Mount) => givenUp.has(markAt(path))
    for (const mount of mounts.sort((a, b) => Number(isGivenUp(a)) - Number(isGivenUp(b)))) {
      const { path, filesystem } = mount
      if (sticks.has(path) || closed) continue
      if (sticks.size < MOST || (!isGivenUp(mount) && (await makePlace()))) {
        givenUp.delete(markAt(path))
        await insert(mount, markAt(path))
      } else {
        const remark = isGivenUp(mount) ? SILENT : SURPLUS
        others.push({ path, name: basename(path), kind: 'stick', filesystem, state: 'trouble', ...remark })
      }
    }
    const now = [...(await readRefused(config.refused)), ...others]
    const isNews = !isLooked || JSON.stringify(now) !== JSON.stringify(unread)
    unread = now
    isLooked = true
    if (isNews) on.change()
    // What asks for sizes would hang with a silent one.
    const answers = [...sticks.values()].every(stick => stick.silence() === 0) && givenUp.size === 0
    prober.need(sticks.size > 0 && answers && !on.isBusy())
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
    looked(look) {
      const { trouble, remark } = remarksOn(inbox, look)
      if (show(inbox, trouble ? 'trouble' : 'ready', trouble ?? remark, missesOf(look))) on.change()
    },
  })
  const mounting = onMounts(() => void look())
  void look()
  const timer = setInterval(look, config.tick * 1000)

  return {
    list: () => all().map(medium => told(medium, sticks.get(medium.path)?.usb, prober.last())),
    isLookedOver: () => isLooked && all().every(({ state }) => state !== 'reading'),
    inTrouble: () => new Set(all().flatMap(({ state, path }) => (state === 'trouble' ? path : []))),
    look,
    holding: path => (isBelow(path, inbox.path) ? inbox : holding(path)?.medium),
    async open(path) {
      if (isBelow(path, inbox.path)) return openFile(path)
      // It may have been mounted since the last look.
      if (!holding(path)) await look()
      return (await holding(path)?.open(path)) ?? openAnywhere(path, folder)
    },
    async close() {
      closed = true
      clearInterval(timer)
      mounting.close()
      prober.close()
      await looking
      for (const stick of [...sticks.values()]) await drop(stick)
      watcher.close()
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
  const late = silent(path)
  const reader: StickReader = await openStick(
    dirname(path),
    folder,
    { answering: does => void (does || reader.close(late)) },
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
