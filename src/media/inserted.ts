/** One stick that is in: what is said of it, and the child that reads it, which is started again when it ends by itself. */
import { Failure } from '../base/failure.ts'
import type { Source } from '../base/source.ts'
import { safe } from '../base/text.ts'
import { type Medium, type MissInfo, missesOf, type Remark, remarksOn, SILENT, show, unreadable } from './medium.ts'
import type { Found } from './scan.ts'
import { openStick, type StickReader } from './stick.ts'

export interface Inserted {
  /** what is said of it changes in here */
  readonly medium: Medium
  /** milliseconds for which it has not answered; 0 when it does */
  silence(): number
  /** @throws Failure `media-gone`, `media-error`, `not-a-package` */
  open(path: string): Promise<Source>
  /** Let go of it at once. @param why what is being read fails with this; `media-gone` unless something else is said */
  close(why?: Failure): Promise<void>
}

interface Listeners {
  /** what is said of it is another than before */
  change(): void
  found(file: Found): void
  gone(path: string): void
  /** nothing of what was found counts any more: all of it is looked at anew */
  lost(): void
  unmounted(): void
  failed(error: unknown): void
}

/** Seconds until a child that ended by itself is started again: the first time, and at most. */
const AGAIN = { first: 1, most: 60 }

/**
 * @param medium as it is said to be before anything of it is known
 * @param folder private and on a tmpfs
 */
export function insertStick(medium: Medium, folder: string, on: Listeners): Inserted {
  /** undefined while it waits to be started again */
  let reader: Promise<StickReader> | undefined
  let isRead = false
  let isClosed = false
  let silentSince: number | undefined
  let trouble: Remark | undefined
  let remark: Remark | undefined
  let misses: MissInfo[] | undefined
  let patience = AGAIN.first
  let restart: NodeJS.Timeout | undefined

  function say(): void {
    const bad = silentSince === undefined ? trouble : SILENT
    const state = bad ? 'trouble' : isRead ? 'ready' : 'reading'
    if (!isClosed && show(medium, state, bad ?? remark, misses)) on.change()
  }

  function again(): void {
    reader = undefined
    if (isClosed) return
    isRead = false
    silentSince = remark = misses = undefined
    trouble = unreadable('it is tried again in a moment')
    say()
    on.lost()
    restart = setTimeout(begin, patience * 1000)
    patience = Math.min(AGAIN.most, patience * 2)
  }

  async function read(): Promise<StickReader> {
    try {
      return await openStick(
        medium.path,
        folder,
        {
          found: file => isClosed || on.found(file),
          gone: path => isClosed || on.gone(path),
          looked(look) {
            ;({ trouble, remark } = remarksOn(medium, look))
            misses = missesOf(look)
            isRead = true
            say()
          },
          error(why) {
            trouble = unreadable(why)
            say()
          },
          answering(does) {
            silentSince = does ? undefined : performance.now()
            say()
          },
          unmounted: () => isClosed || on.unmounted(),
          ended: again,
        },
        true,
      )
    } catch (error) {
      again()
      throw error
    }
  }

  function begin(): void {
    trouble = undefined
    reader = read()
    reader.catch(on.failed)
    say()
  }

  begin()
  return {
    medium,
    silence: () => (silentSince === undefined ? 0 : performance.now() - silentSince),
    async open(path) {
      const open = await reader
      if (open) return open.open(path)
      throw new Failure('media-gone', `cannot read ${safe(path)}: the stick is not there; put it back to continue`)
    },
    async close(why) {
      isClosed = true
      clearTimeout(restart)
      await reader?.then(open => open.close(why)).catch(() => {})
    },
  }
}
