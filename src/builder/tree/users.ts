/**
 * System users and groups of a release as sysusers.d(5) has them. /etc/passwd is a device's own from its first change on, and no
 * later release's reaches it; but systemd-sysusers runs at the first start of each release and makes who is missing.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { find, newPath } from './inside.ts'

/** Before the files of packages, which let the device choose ids: owners in /usr and /var are those of the tree. */
const FILE = 'usr/lib/sysusers.d/00-superblock.conf'
/** First id of people, where login.defs(5) says nothing else. */
const PEOPLE = 1000
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,30}$/

interface Entry {
  name: string
  id: number
  fields: string[]
}

/**
 * Write the file, unless the tree has no system users and groups but root.
 * @returns whether there is something for systemd-sysusers to do, and no systemd-sysusers
 */
export async function writeUsers(tree: string): Promise<boolean> {
  const read = async (path: string) => {
    const found = await find(tree, path)
    return found?.stats.isFile() ? readFile(found.path, 'utf8') : ''
  }
  const lines = sysusers(await read('etc/passwd'), await read('etc/group'), await read('etc/login.defs'))
  if (lines.length === 0) return false
  const text = ['# The system users and groups of this release, with its ids; made when it was built.', ...lines, '']
  await writeFile(await newPath(tree, FILE), text.join('\n'))
  return (await find(tree, 'usr/bin/systemd-sysusers')) === undefined
}

/** @param login text of login.defs, which says where the ids of people begin */
export function sysusers(passwd: string, group: string, login: string): string[] {
  const least = (name: string) => Number(new RegExp(`^\\s*${name}\\s+(\\d+)`, 'm').exec(login)?.[1] ?? PEOPLE)
  const isSystem = ({ id }: Entry, first: number) => id > 0 && id < first
  const users = entries(passwd, 7).filter(user => isSystem(user, least('UID_MIN')))
  const primary = new Set(users.map(({ fields }) => Number(fields[3])))
  const groups = entries(group, 4).filter(one => isSystem(one, least('GID_MIN')) || (one.id > 0 && primary.has(one.id)))
  const known = new Set(users.map(({ name }) => name))
  return [
    ...groups.map(({ name, id }) => `g ${name} ${id}`),
    ...users.map(({ name, id, fields: [, , , gid = '', about = '', home = '', shell = ''] }) =>
      ['u', name, `${id}:${gid}`, quoted(about), path(home), path(shell)].join(' '),
    ),
    ...groups.flatMap(({ name, fields }) =>
      (fields[3] ?? '').split(',').flatMap(user => (known.has(user) ? [`m ${user} ${name}`] : [])),
    ),
  ]
}

/** Lines of passwd(5) or group(5) whose names sysusers.d takes. */
const entries = (text: string, count: number): Entry[] =>
  text.split('\n').flatMap(line => {
    const fields = line.split(':')
    const [name = '', , id = ''] = fields
    return fields.length === count && NAME.test(name) && /^\d+$/.test(id) ? [{ name, id: Number(id), fields }] : []
  })

/** In quotes, as sysusers.d reads them; a percent sign begins a specifier. */
const quoted = (text: string) => (text === '' ? '-' : `"${text.replace(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`)
const path = (text: string) => (text.startsWith('/') ? quoted(text) : '-')
