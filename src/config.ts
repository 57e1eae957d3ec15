/** Configuration: defaults, then the tree's files in /usr/lib/superblock, then the device's in /etc/superblock; one frozen value. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import * as v from 'valibot'
import { Failure } from './base/failure.ts'
import { listIfThere, readIfThere } from './base/files.ts'

const folder = v.pipe(v.string(), v.startsWith('/', 'must be an absolute path'))
const seconds = (least: number) => v.pipe(v.number(), v.minValue(least))
const count = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most))
const command = v.pipe(v.array(v.string()), v.minLength(1))

/** Every key with its default; what each means is in docs/integration.md. */
const Schema = v.strictObject({
  device: v.optional(
    v.strictObject({
      /** what packages must name in `compatible`; none means nothing fits */
      compatible: v.optional(v.string(), ''),
      /** what the console calls this device */
      name: v.optional(v.string(), ''),
      /** the line of releases it follows; empty means that of the booted deployment */
      ref: v.optional(v.string(), ''),
    }),
    {},
  ),
  install: v.optional(
    v.strictObject({
      policy: v.optional(v.picklist(['ask', 'auto']), 'ask'),
      /** deployments kept: booted, new, and older ones known to be good */
      keep: v.optional(count(2), 3),
      /** bytes set aside so that a full disk never blocks a rollback */
      reserve: v.optional(count(0), 1024 * 1024),
    }),
    {},
  ),
  reboot: v.optional(
    v.strictObject({
      policy: v.optional(v.picklist(['ask', 'auto']), 'ask'),
      /** seconds an automatic reboot waits */
      delay: v.optional(seconds(0), 15),
      command: v.optional(command, ['systemctl', 'reboot']),
    }),
    {},
  ),
  signatures: v.optional(
    v.strictObject({
      required: v.optional(count(1), 1),
      keys: v.optional(v.array(folder), ['/usr/lib/superblock/keys', '/etc/superblock/keys']),
    }),
    {},
  ),
  media: v.optional(
    v.strictObject({
      /** every mount below these is looked at */
      roots: v.optional(v.array(folder), ['/run/superblock/media']),
      /** notes about sticks that were not mounted, from superblock-media@.service */
      refused: v.optional(folder, '/run/superblock/trouble'),
      /** a folder on the device's own disk, for packages that arrive another way */
      inbox: v.optional(folder, '/var/lib/superblock/inbox'),
      /** seconds between looks at the mounts when nothing else wakes the service */
      tick: v.optional(seconds(0.1), 0.5),
    }),
    {},
  ),
  health: v.optional(
    v.strictObject({
      checks: v.optional(v.array(folder), ['/usr/lib/superblock/health.d', '/etc/superblock/health.d']),
      /** seconds each check may take */
      timeout: v.optional(seconds(0.1), 60),
      /** systemd units that must be active */
      units: v.optional(v.array(v.string()), []),
    }),
    {},
  ),
  hooks: v.optional(
    v.strictObject({
      folder: v.optional(folder, '/usr/lib/superblock/hooks'),
      /** seconds each hook may take */
      timeout: v.optional(seconds(0.1), 300),
    }),
    {},
  ),
  trial: v.optional(
    v.strictObject({
      /** starts of a new release that may end badly, or before user space; U-Boot's script cannot count further than 10 */
      tries: v.optional(count(1, 10), 3),
      /** starts that may end without a trace, as in a power cut */
      patience: v.optional(count(0), 10),
      /** seconds that a start has until its verdict */
      deadline: v.optional(seconds(1), 900),
    }),
    {},
  ),
  state: v.optional(folder, '/var/lib/superblock'),
  socket: v.optional(folder, '/run/superblock/control.sock'),
  log: v.optional(v.picklist(['trace', 'debug', 'info', 'warn', 'error']), 'info'),
})

export type Config = Readonly<v.InferOutput<typeof Schema>>

/** Where the files are, weakest first: later ones win key by key. */
export const CONFIG_FOLDERS = ['/usr/lib/superblock', '/etc/superblock'] as const

type Table = Record<string, unknown>
const isTable = (value: unknown): value is Table => typeof value === 'object' && value !== null && !Array.isArray(value)

function merge(under: Table, over: Table): Table {
  const merged: Table = { ...under }
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key]
    merged[key] = isTable(below) && isTable(value) ? merge(below, value) : value
  }
  return merged
}

/**
 * @param folders weakest first; in each `superblock.toml`, then `superblock.d/*.toml` by name
 * @throws Failure `config` with the file's name and the key
 */
export const loadConfig = (folders: readonly string[] = CONFIG_FOLDERS): Promise<Config> =>
  readConfig(folders, { list: listIfThere, read: readIfThere })

/**
 * The same from files that are somewhere else, as in a tree that is not booted.
 * @param from how a folder's names are had, none where there is no such folder, and a file's text
 */
export async function readConfig(
  folders: readonly string[],
  from: { list(folder: string): Promise<string[]>; read(path: string): Promise<string | undefined> },
): Promise<Config> {
  let merged: Table = {}
  for (const folder of folders) {
    const dropIns = (await from.list(join(folder, 'superblock.d'))).filter(name => name.endsWith('.toml')).sort()
    for (const path of [join(folder, 'superblock.toml'), ...dropIns.map(name => join(folder, 'superblock.d', name))]) {
      const text = await from.read(path)
      if (text === undefined) continue
      merged = merge(merged, check(path, text))
    }
  }
  return freeze(v.parse(Schema, merged))
}

function check(path: string, text: string): Table {
  try {
    const table = parse(text) as Table
    v.parse(Schema, table)
    return table
  } catch (error) {
    const where =
      error instanceof v.ValiError ? `${v.getDotPath(error.issues[0]) ?? 'top level'}: ${error.message}` : String(error)
    throw new Failure('config', `cannot use ${path}: ${where}`, { cause: error })
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) freeze(inner)
  return Object.freeze(value)
}

/** The group's id by name, from /etc/group, or undefined. */
export async function groupId(name: string): Promise<number | undefined> {
  for (const line of (await readFile('/etc/group', 'utf8')).split('\n')) {
    const [group, , id] = line.split(':')
    if (group === name && id) return Number(id)
  }
  return undefined
}
