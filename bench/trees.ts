/** The releases that are installed: a real Debian system, then a twentieth of its files changed, then a new kernel. */
import { createCipheriv, createHash } from 'node:crypto'
import { lstat, open, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../src/base/run.ts'
import { PROJECT } from '../test/kit/project.ts'
import { builder } from '../test/kit/sample.ts'
import { makeTree } from '../test/kit/sysroot.ts'
import { cached, code } from './cache.ts'

export type Version = '0' | '1' | '2' | '3'
export type Size = 300 | 1000

const SUITE = 'trixie'
const LARGER = ['chromium', 'cage', 'python3', 'fonts-dejavu']
/** What a device of this size has no use for. */
const WITHOUT = [
  ...['/usr/share/man/*', '/usr/share/locale/*', '/usr/share/doc/*'],
  ...['gpu', 'media', 'infiniband', 'isdn', 'staging', 'iio', 'net/wireless', 'net/ethernet'].map(
    kind => `/usr/lib/modules/*/kernel/drivers/${kind}/*`,
  ),
  ...['/usr/lib/modules/*/kernel/sound/*', '/usr/lib/udev/hwdb.d/*', '/usr/lib/*/gconv/*'],
]

/** @returns the folder of each release, in OSTree's layout; release 0 is what devices leave the factory with: next to nothing */
export async function makeTrees(size: Size): Promise<Record<Version, string>> {
  const how = code(makeTrees, filesBelow, spread, rebuild, replace, makeTree)
  const base = await makeBase(size)
  const initramfs = await cached(`initramfs-${size}`, [base], async path => {
    await builder(['initramfs', '--sysroot-image-path', base, '--out', path])
  })
  const first = await cached(`tree-${size}-1`, [how, base, initramfs], async path => {
    await builder(['sysroot', '--sysroot-image-path', base, '--initramfs', initramfs, '--out', path])
  })
  const second = await cached(`tree-${size}-2`, [how, first], async path => {
    await run(['cp', '--archive', first, path])
    const all = await filesBelow(path)
    const programs = all.filter(file => file.startsWith(join(path, 'usr/')) && !file.includes('/usr/lib/modules/'))
    for (const file of spread(programs, Math.round(all.length / 20))) await rebuild(file)
  })
  const third = await cached(`tree-${size}-3`, [how, second], async path => {
    await run(['cp', '--archive', second, path])
    const modules = join(path, 'usr/lib/modules')
    const [kernel = 'no kernel'] = await readdir(modules)
    await rename(join(modules, kernel), join(modules, `${kernel}.1`))
    for (const file of await filesBelow(join(modules, `${kernel}.1`))) await replace(file)
  })
  const factory = await cached('tree-0', [how], async path => void (await makeTree(path, { version: '0' })))
  return { 0: factory, 1: first, 2: second, 3: third }
}

async function makeBase(size: Size): Promise<string> {
  const listed = await readFile(join(PROJECT, 'samples/image/packages'), 'utf8')
  const packages = [...listed.split('\n').filter(line => line !== '' && !line.startsWith('#'))]
  if (size === 1000) packages.push(...LARGER)
  const mirror = (await run(['sh', join(PROJECT, '.ci/mirror')])).stdout.trim()
  const without = WITHOUT.map(path => `--dpkgopt=path-exclude=${path}`)
  return cached(`base-${size}.tar`, [SUITE, mirror, ...packages, ...without], async path => {
    await run([
      ...['mmdebstrap', '--variant=minbase', '--format=tar', `--include=${packages.join(',')}`],
      // It is thrown away when it is interrupted: dpkg need not flush every file.
      ...['--dpkgopt=force-unsafe-io', '--aptopt=APT::Install-Recommends "false"', ...without, SUITE, path, mirror],
    ])
  })
}

/** Regular files, always in the same order. */
async function filesBelow(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = found.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return files.sort()
}

/** So many of them, at equal distances. */
const spread = <T>(all: readonly T[], count: number): T[] =>
  all.filter((_, at) => Math.floor((at * count) / all.length) !== Math.floor(((at + 1) * count) / all.length))

const stream = (name: string) =>
  createCipheriv('aes-128-ctr', createHash('sha256').update(name).digest().subarray(0, 16), Buffer.alloc(16))

/** As when a program is compiled again: most of it stays, and here and there is a difference. */
async function rebuild(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    for (let at = Math.min(4096, size >> 1); at < size; at += 16384) {
      const bytes = stream(`${at} of ${size}`).update(Buffer.alloc(Math.min(32, size - at)))
      await file.write(bytes, 0, bytes.length, at)
    }
  } finally {
    await file.close()
  }
}

/** Other contents of the same size behind the same first block, which says what kind of file it is. */
async function replace(path: string): Promise<void> {
  const { size } = await lstat(path)
  if (size <= 4096) return
  const bytes = await readFile(path)
  stream(path.slice(path.indexOf('/usr/')))
    .update(bytes.subarray(4096))
    .copy(bytes, 4096)
  await writeFile(path, bytes)
}

/** What is different between two trees: files that the second has and the first has not, or has otherwise; paths from the top. */
export async function changedFiles(from: string, to: string): Promise<string[]> {
  const changed: string[] = []
  for (const path of await filesBelow(to)) {
    const name = path.slice(to.length + 1)
    const before = await readFile(join(from, name)).catch(() => undefined)
    if (!before?.equals(await readFile(path))) changed.push(name)
  }
  return changed
}
