/** What must survive a power cut: the job's state and what the device will never forget. One file, replaced whole. */
import { join } from 'node:path'
import * as v from 'valibot'
import { diskTrouble } from '../base/disk.ts'
import { isThere, privateFolder, readBounded, setAside } from '../base/files.ts'
import { RecordSchema } from './record.ts'
import { replaceEvenIfFull } from './reserve.ts'
import type { HealthInfo } from './snapshot.ts'
import type { State } from './state.ts'

/** The last health check, of the boot with this id. */
export type BootHealth = Omit<HealthInfo, 'current'> & { bootId: string }

export interface Record {
  format: 1
  state: State
  /** commit timestamp of the newest release that ever ran here; empty before the first */
  newest: string
  /** rises only when a release was found good */
  epochFloor: number
  /** commits that were left again, by an operator or by a health check, with the reason: never chosen by themselves */
  left: { [commit: string]: string }
  /** commits that an operator went back from for good, since they were dated wrong: how new they are does not count */
  disowned: string[]
  health: BootHealth | null
}

export interface Journal {
  read(): Readonly<Record>
  /**
   * Replace the parts given; when this resolves they are on the disk, or that is full to the last byte: then they are kept until there is
   * room, see `isSaved`.
   * @throws system errors of a disk that is read-only or fails
   */
  write(change: Partial<Record>): Promise<void>
  isSaved(): boolean
  /** the journal could not be read at start and was set aside under this name */
  readonly damaged?: string
}

/** Bytes of a journal at most: it has some thousand. */
const LIMIT = 1024 * 1024

const EMPTY: Record = {
  format: 1,
  state: { at: 'idle' },
  newest: '',
  epochFloor: 0,
  left: {},
  disowned: [],
  health: null,
}

/**
 * A journal that cannot be read or understood is set aside, not obeyed: the machine itself says what is booted, and the
 * history what must not be forgotten.
 */
export async function openJournal(folder: string): Promise<Journal> {
  await privateFolder(folder)
  const path = join(folder, 'state.json')
  let record: Record = EMPTY
  let damaged: string | undefined
  if (await isThere(path)) {
    const parsed = await readBounded(path, LIMIT).then(
      bytes => parse(bytes?.toString('utf8') ?? ''),
      () => undefined,
    )
    if (parsed) record = parsed
    else damaged = await setAside(path).catch(() => path)
  }
  let saved = true
  let queue: Promise<void> = Promise.resolve()
  return {
    damaged,
    read: () => record,
    isSaved: () => saved,
    write(change) {
      record = { ...record, ...change }
      const whole = JSON.stringify(record, null, 1)
      const work = queue.then(async () => {
        try {
          await replaceEvenIfFull(folder, path, whole)
          saved = true
        } catch (error) {
          saved = false
          if (diskTrouble(error) !== 'full') throw error
        }
      })
      queue = work.catch(() => {})
      return work
    },
  }
}

function parse(text: string): Record | undefined {
  try {
    const parsed = v.safeParse(RecordSchema, JSON.parse(text))
    return parsed.success ? (parsed.output as Record) : undefined
  } catch {
    return undefined
  }
}
