/** All media: every mount below the configured roots, and the inbox; each with its own watcher. */
import { basename } from 'node:path'
import { mountsBelow } from './mounts.ts'
import { type Found, type MediumWatch, watchMedium } from './watch.ts'

export interface Medium {
  path: string
  name: string
  kind: 'stick' | 'inbox'
  filesystem: string
  state: 'reading' | 'ready' | 'trouble'
  text?: string
}

export interface Media {
  list(): Medium[]
  /** Look at the mounts now instead of at the next tick. */
  look(): Promise<void>
  close(): Promise<void>
}

interface Watched extends Medium {
  mountId: number
  watcher: MediumWatch
}

/**
 * @param on.change the list of media differs from before
 * @param on.found, on.gone package files come and go; a medium that goes takes its files along without a `gone` each
 * @param on.left the medium is no longer there
 */
export function openMedia(
  config: { roots: readonly string[]; inbox: string; tick: number },
  on: {
    change: () => void
    found: (medium: Medium, file: Found) => void
    gone: (medium: Medium, path: string) => void
    left: (medium: Medium) => void
    failed: (error: unknown) => void
  },
): Media {
  const watched = new Map<string, Watched>()

  function add(path: string, mountId: number, kind: Medium['kind'], filesystem: string): void {
    const medium: Medium = {
      path,
      name: kind === 'inbox' ? 'inbox' : basename(path),
      kind,
      filesystem,
      state: 'reading',
    }
    const watcher = watchMedium(path, {
      found: file => on.found(entry, file),
      gone: gone => on.gone(entry, gone),
      ready: beyond => {
        if (entry.state === 'reading') entry.state = 'ready'
        if (beyond) entry.text = 'there are more files here than are looked at; put the package into the top folder'
        on.change()
      },
      error: error => {
        entry.state = 'trouble'
        entry.text = `cannot read all of it: ${error.message}`
        on.change()
      },
    })
    const entry: Watched = Object.assign(medium, { mountId, watcher })
    watched.set(path, entry)
    on.change()
  }

  async function drop(entry: Watched): Promise<void> {
    watched.delete(entry.path)
    on.left(entry)
    on.change()
    await entry.watcher.close()
  }

  let looking: Promise<void> | undefined
  async function lookOnce(): Promise<void> {
    const mounts = new Map((await mountsBelow(config.roots)).map(mount => [mount.path, mount]))
    for (const entry of [...watched.values()])
      if (entry.kind === 'stick' && mounts.get(entry.path)?.id !== entry.mountId) await drop(entry)
    for (const mount of mounts.values())
      if (!watched.has(mount.path)) add(mount.path, mount.id, 'stick', mount.filesystem)
  }
  const look = () => {
    looking ??= lookOnce()
      .catch(on.failed)
      .finally(() => {
        looking = undefined
      })
    return looking
  }

  add(config.inbox, 0, 'inbox', '')
  void look()
  const timer = setInterval(look, config.tick * 1000)

  return {
    list: () =>
      [...watched.values()].map(({ path, name, kind, filesystem, state, text }) => ({
        path,
        name,
        kind,
        filesystem,
        state,
        ...(text === undefined ? {} : { text }),
      })),
    look,
    async close() {
      clearInterval(timer)
      await looking
      for (const entry of [...watched.values()]) await drop(entry)
    },
  }
}
