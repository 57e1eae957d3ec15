/** Extended attributes, for which Node has nothing: xattr(7), by the calls that follow no link. */
import type Koffi from 'koffi'
import { Failure } from '../base/failure.ts'

/** Names, with the NUL that ends them, and values. */
export type Attributes = [name: Buffer, value: Buffer][]

/** Bytes of a value, and of all names, at most: XATTR_SIZE_MAX, XATTR_LIST_MAX. */
const LIMIT = 65536

interface Calls {
  set(path: string, name: Buffer, value: Buffer, size: number, flags: number): number
  get(path: string, name: Buffer, value: Buffer, size: number): number
  list(path: string, names: Buffer, size: number): number
  errno(): number
}
let calls: Promise<Calls> | undefined

/** @throws Failure `internal` when the file system or the rights of this process do not allow it */
export async function setAttributes(path: string, attributes: Attributes): Promise<void> {
  const { set, errno } = await bound()
  for (const [name, value] of attributes)
    if (set(path, name, value, value.length, 0) !== 0) throw refused(path, 'give it', errno())
}

/** In the order that ostree has them: by their names' bytes. @throws Failure `internal` */
export async function getAttributes(path: string): Promise<Attributes> {
  const { list, get, errno } = await bound()
  const room = Buffer.allocUnsafe(LIMIT)
  const length = list(path, room, LIMIT)
  if (length < 0) throw refused(path, 'read', errno())
  const names = room.toString('latin1', 0, length).split('\0').slice(0, -1)
  return names.sort().map(name => {
    const bytes = Buffer.from(`${name}\0`, 'latin1')
    const size = get(path, bytes, room, LIMIT)
    if (size < 0) throw refused(path, 'read', errno())
    return [bytes, Buffer.from(room.subarray(0, size))]
  })
}

const refused = (path: string, doing: string, errno: number) =>
  new Failure('internal', `cannot use ${path}: cannot ${doing} its extended attributes (error ${errno})`)

async function bound(): Promise<Calls> {
  calls ??= bind()
  try {
    return await calls
  } catch (error) {
    calls = undefined
    throw error
  }
}

async function bind(): Promise<Calls> {
  const koffi = (await import('koffi')).default as typeof Koffi
  const libc = koffi.load(null)
  const fn = <K extends keyof Calls>(declaration: string) => libc.func(declaration) as unknown as Calls[K]
  return {
    set: fn<'set'>('int lsetxattr(const char *path, void *name, void *value, size_t size, int flags)'),
    get: fn<'get'>('intptr_t lgetxattr(const char *path, void *name, void *value, size_t size)'),
    list: fn<'list'>('intptr_t llistxattr(const char *path, void *names, size_t size)'),
    errno: () => koffi.errno(),
  }
}
