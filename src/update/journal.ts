/** What must survive a power cut: the job's state and what the device will never forget. One file, replaced whole. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { isThere, privateFolder, replaceFile, setAside } from '../base/files.ts'
import { RecordSchema } from './record.ts'
import { evenIfFull } from './reserve.ts'
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
  health: BootHealth | null
}

export interface Journal {
  read(): Readonly<Record>
  /** Replace the parts given; when this resolves they are on the disk. */
  write(change: Partial<Record>): Promise<void>
  /** the journal could not be read at start and was set aside under this name */
  readonly damaged?: string
}

const EMPTY: Record = { format: 1, state: { at: 'idle' }, newest: '', epochFloor: 0, left: {}, health: null }

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
    const parsed = await readFile(path, 'utf8').then(parse, () => undefined)
    if (parsed) record = parsed
    else damaged = await setAside(path)
  }
  let queue: Promise<void> = Promise.resolve()
  return {
    damaged,
    read: () => record,
    write(change) {
      record = { ...record, ...change }
      const whole = JSON.stringify(record, null, 1)
      const work = queue.then(() => evenIfFull(folder, () => replaceFile(path, whole)))
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
