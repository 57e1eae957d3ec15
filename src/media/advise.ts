/** How a stick's file is going to be read: here and there, which the kernel has to be told. */
import type Koffi from 'koffi'

/** POSIX_FADV_RANDOM, posix_fadvise(2) */
const RANDOM = 1

type Advise = (fd: number, offset: number, length: number, advice: number) => number
let advise: Promise<Advise | undefined> | undefined

/**
 * Only what is asked for is read. Otherwise the kernel reads ahead of every read, by 128 KiB and more, and an update, which
 * leaves out what the device has, would read nearly twice as much. Without the library for it that is all that is lost.
 */
export async function readAsAsked(fd: number): Promise<void> {
  advise ??= bind().catch(() => undefined)
  ;(await advise)?.(fd, 0, 0, RANDOM)
}

async function bind(): Promise<Advise> {
  const koffi = (await import('koffi')).default as typeof Koffi
  return koffi
    .load('libc.so.6')
    .func('int posix_fadvise64(int fd, int64_t offset, int64_t length, int advice)') as Advise
}
