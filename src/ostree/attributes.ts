/** Extended attributes, for which Node has nothing: by lsetxattr(2), which follows no link. */
import type Koffi from 'koffi'
import { Failure } from '../base/failure.ts'

type Set = (path: string, name: Buffer, value: Buffer, size: number, flags: number) => number
let library: Promise<{ set: Set; errno: () => number }> | undefined

/**
 * @param attributes names, with the NUL that ends them, and values
 * @throws Failure `attributes` when the file system or the rights of this process do not allow it
 */
export async function setAttributes(path: string, attributes: readonly [Buffer, Buffer][]): Promise<void> {
  library ??= bind()
  const { set, errno } = await library
  for (const [name, value] of attributes)
    if (set(path, name, value, value.length, 0) !== 0)
      throw new Failure(
        'attributes',
        `cannot give ${path} its attribute ${name.toString('latin1', 0, name.length - 1)}: error ${errno()}`,
      )
}

async function bind() {
  const koffi = (await import('koffi')).default as typeof Koffi
  const set = koffi
    .load('libc.so.6')
    .func('int lsetxattr(const char *path, const void *name, const void *value, size_t size, int flags)') as Set
  return { set, errno: () => koffi.errno() }
}
