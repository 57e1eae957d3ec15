/** Disks and sticks: image files behind loop devices, which count what is read and written. */
import { mkdir, readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { run } from '../src/base/run.ts'

export interface Disk {
  /** /dev/loopN */
  device: string
  /** of the file */
  size: number
  /** bytes that the device has read and written so far */
  transferred(): Promise<{ read: number; written: number }>
  mount(folder: string): Promise<void>
  /** unmount what was mounted, and let the device go */
  remove(): Promise<void>
}

/** Attach an image; reads and writes go past the page cache of the image's own file system. */
export async function attach(image: string, { readOnly = false } = {}): Promise<Disk> {
  const { stdout } = await run([
    ...['losetup', '--find', '--show', '--direct-io=on', ...(readOnly ? ['--read-only'] : [])],
    image,
  ])
  const device = stdout.trim()
  const mounted: string[] = []
  return {
    device,
    size: (await stat(image)).size,
    async transferred() {
      // https://docs.kernel.org/block/stat.html: sectors of 512 bytes
      const fields = (await readFile(`/sys/block/${basename(device)}/stat`, 'utf8')).trim().split(/\s+/).map(Number)
      return { read: (fields[2] ?? 0) * 512, written: (fields[6] ?? 0) * 512 }
    },
    async mount(folder) {
      await mkdir(folder, { recursive: true })
      // Without the option, the kernel would go on making a new file system while an installation is measured (ext4(5)).
      await run(['mount', '-o', readOnly ? 'ro' : 'noinit_itable', device, folder])
      mounted.unshift(folder)
    },
    async remove() {
      for (const folder of mounted) {
        // Who made a mount namespace meanwhile keeps the file system for a while.
        await run(['sync', '--file-system', folder])
        await run(['umount', '--recursive', folder])
      }
      await run(['losetup', '--detach', device])
    },
  }
}

/** Make an image with an ext4 file system of `megabytes`, from the contents of a folder where there is one. */
export async function makeExt4(image: string, megabytes: number, folder?: string): Promise<void> {
  // The same tree gives nearly the same image, as a build system would see to.
  const fixed = ['-U', UUID, '-E', `hash_seed=${UUID},root_owner=0:0`]
  const options = folder === undefined ? [] : [...fixed, '-d', folder]
  await run(['mke2fs', '-q', '-F', '-t', 'ext4', '-m', '0', ...options, image, `${megabytes}M`])
}

const UUID = '5c1b6c9a-6f0e-4c57-9b58-000000000001'

/** What a folder's files take on a file system of blocks of 4 KiB, in MiB. */
export async function megabytesOf(folder: string): Promise<number> {
  const { stdout } = await run(['du', '--summarize', '--block-size=1M', folder])
  return Number.parseInt(stdout, 10)
}
