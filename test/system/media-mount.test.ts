/** systemd/superblock-media on real block devices: loop devices, in a mount namespace of their own. Needs root. */
import { once } from 'node:events'
import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { run, start } from '../../src/base/run.ts'
import { readRefused } from '../../src/media/refused.ts'
import { PROJECT } from '../kit/project.ts'

const MIB = 1024 * 1024
const SCRIPT = join(PROJECT, 'systemd/superblock-media')
const isRoot = process.getuid?.() === 0
const why = isRoot ? '' : ' (skipped: only root may attach loop devices)'

describe.skipIf(!isRoot)(`superblock-media${why}`, () => {
  let folder: string
  let namespace: ReturnType<typeof start>
  const loops: string[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mount-'))
    const script = 'mkdir -p /run/superblock && mount -t tmpfs -o mode=755 t /run/superblock && echo ready && exec cat'
    namespace = start(
      ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script],
      ['pipe', 'pipe', 'inherit'],
    )
    if (namespace.stdout) await once(createInterface({ input: namespace.stdout }), 'line')
  })
  afterEach(async () => {
    for (const name of loops.splice(0)) {
      await media('unmount', name)
      await inside('umount', '--all-targets', `/dev/${name}`).catch(() => {})
      await run(['losetup', '--detach', `/dev/${name}`])
    }
  })
  afterAll(async () => {
    namespace.kill('SIGKILL')
    await rm(folder, { recursive: true })
  })

  const inside = (...argv: string[]) => run(['nsenter', '--mount', '--target', String(namespace.pid), ...argv])
  const media = (verb: string, name: string, env?: Record<string, string>) =>
    run(['nsenter', '--mount', '--target', String(namespace.pid), 'sh', SCRIPT, verb, name], {
      accept: [2],
      ...(env && { env }),
    })
  /** As the namespace sees it. */
  const seen = (path: string) => `/proc/${namespace.pid}/root/run/superblock/${path}`
  const notes = () => readRefused(seen('trouble'))
  const left = async () => {
    const mounts = (await inside('cat', '/proc/self/mounts')).stdout
    return {
      mounts: mounts.split('\n').filter(line => line.includes('/run/superblock/media')),
      folders: await readdir(seen('media')).catch(() => []),
      notes: await readdir(seen('trouble')).catch(() => []),
    }
  }
  const NOTHING = { mounts: [], folders: [], notes: [] }

  /** An image with what `format` makes of it, and then these bytes at its begin. */
  async function image(format: readonly string[] = [], head = Buffer.alloc(0)): Promise<string> {
    const path = join(folder, `image-${Math.random().toString(36).slice(2)}`)
    await writeFile(path, '')
    await truncate(path, 8 * MIB)
    if (format.length > 0) await run([...format, path])
    await overwrite(path, head, 0)
    return path
  }
  async function overwrite(path: string, bytes: Buffer, position: number): Promise<void> {
    const file = await open(path, 'r+')
    await file.write(bytes, 0, bytes.length, position)
    await file.close()
  }
  async function insert(path: string): Promise<string> {
    const name = basename((await run(['losetup', '--find', '--show', path])).stdout.trim())
    loops.push(name)
    return name
  }
  const EXT4 = ['mke2fs', '-q', '-F', '-t', 'ext4', '-b', '1024']

  test('an ext4 stick is mounted so that it cannot harm, and leaves nothing', async () => {
    const source = join(folder, 'content')
    await run(['mkdir', '-p', source])
    await writeFile(join(source, 'a b.superblock'), 'x')
    const name = await insert(await image([...EXT4, '-d', source]))
    await media('mount', name)
    expect(await readFile(seen(`media/${name}/a b.superblock`), 'utf8')).toBe('x')
    const [line = ''] = (await left()).mounts
    const [, , type, options = ''] = line.split(' ')
    expect(type).toBe('ext4')
    expect(options.split(',')).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec', 'norecovery']))
    await media('unmount', name)
    expect(await left()).toEqual(NOTHING)
  })

  test('a journal that was left unfinished is not replayed: nothing is written', async () => {
    const first = await image(EXT4)
    const writer = await insert(first)
    await inside('mkdir', '-p', '/run/superblock/rw')
    await inside('mount', `/dev/${writer}`, '/run/superblock/rw')
    await inside('touch', '/run/superblock/rw/half')
    await inside('sync', '-f', '/run/superblock/rw')
    const pulled = `${first}-pulled`
    await run(['cp', first, pulled])
    expect((await run(['dumpe2fs', '-h', pulled])).stdout).toContain('needs_recovery')
    const before = await readFile(pulled)
    const name = await insert(pulled)
    await media('mount', name)
    expect((await left()).mounts).toHaveLength(1)
    await media('unmount', name)
    expect(before.equals(await readFile(pulled))).toBe(true)
  })

  test('a stick does not get to choose that the kernel panics', async () => {
    const name = await insert(await image([...EXT4, '-e', 'panic']))
    await media('mount', name)
    expect((await left()).mounts[0]).toContain('errors=continue')
  })

  // As LUKS 1 begins: 592 bytes, which fit before the superblocks of others.
  const luks = Buffer.alloc(592)
  luks.write('LUKS\xba\xbe\0\x01aes', 'latin1')
  const squashfs = Buffer.alloc(96)
  squashfs.write('hsqs')
  squashfs.writeUInt16LE(4, 28) // its version
  // As mkfs.minix begins one of 8 MiB; Debian 13 has that program in a package of its own.
  const minix = Buffer.alloc(1024 + 20)
  for (const [at, value] of [64, 8192, 1, 1, 6, 0, 0x1c00, 0x1008, 0x137f, 1].entries())
    minix.writeUInt16LE(value, 1024 + 2 * at)
  test.each([
    ['an encrypted one', [], luks, 'encrypted', /^it is encrypted; use one that is not$/],
    ['an unsupported one', [], minix, 'unsupported-filesystem', /^its filesystem is minix; use FAT32/],
    ['one without a filesystem', [], undefined, 'no-filesystem', /^there is no filesystem on it/],
    ['one with the marks of two', EXT4, squashfs, 'ambivalent', /several filesystems/],
  ] as const)(
    '%s becomes visible with a sentence, and goes with the stick',
    async (_, format, head, code, sentence) => {
      const path = await image(format, head)
      const name = await insert(path)
      expect((await media('mount', name)).status).toBe(0)
      expect(await notes()).toMatchObject([{ path: `/dev/${name}`, state: 'trouble', code }])
      const [{ text = '' } = {}] = await notes()
      expect(text).toMatch(sentence)
      expect((await left()).mounts).toEqual([])
      await media('unmount', name)
      expect(await left()).toEqual(NOTHING)
    },
  )

  test('a damaged one is reported as unreadable, with what the kernel said', async () => {
    const path = await image(EXT4)
    await overwrite(path, Buffer.alloc(2048, 0xff), 2048) // the group descriptors
    const name = await insert(path)
    await media('mount', name)
    const [note] = await notes()
    expect(note).toMatchObject({ code: 'unreadable', filesystem: 'ext4' })
    expect(note?.text).toMatch(/^it cannot be read: mount: .*; use another one$/)
    expect((await left()).folders).toEqual([])
  })

  test('one that gives only errors is reported as unreadable', async () => {
    const path = await image(EXT4)
    const name = await insert(path)
    await truncate(path, 0)
    await run(['blockdev', '--flushbufs', `/dev/${name}`])
    await media('mount', name)
    expect(await notes()).toMatchObject([{ code: 'unreadable', text: 'it cannot be read; use another one' }])
  })

  test('the allow-list is configuration', async () => {
    const name = await insert(await image(EXT4))
    await media('mount', name, { SUPERBLOCK_FILESYSTEMS: 'vfat exfat' })
    expect(await notes()).toMatchObject([{ code: 'unsupported-filesystem', filesystem: 'ext4' }])
    // The next look is the one that counts.
    await media('mount', name)
    expect(await notes()).toEqual([])
    expect((await left()).mounts).toHaveLength(1)
  })

  test.each(['/boot', '/mnt'])('what is mounted at %s already is left alone', async place => {
    const name = await insert(await image(EXT4))
    await inside('mount', `/dev/${name}`, place)
    const { stdout, status } = await media('mount', name)
    expect(status).toBe(0)
    expect(stdout).toMatch(place === '/boot' ? /the disk that this system runs from/ : /mounted at \/mnt/)
    expect(await left()).toEqual(NOTHING)
  })

  test('a file that is open does not keep the mount', async () => {
    const name = await insert(await image(EXT4))
    await media('mount', name)
    const held = await open(seen(`media/${name}`), 'r')
    try {
      await media('unmount', name)
      expect(await left()).toEqual(NOTHING)
    } finally {
      await held.close()
    }
  })

  test('twenty times in and out leave nothing', async () => {
    const name = await insert(await image(EXT4))
    for (let count = 0; count < 20; count++) {
      await media('mount', name)
      expect((await left()).mounts).toHaveLength(1)
      await media('unmount', name)
      expect(await left()).toEqual(NOTHING)
    }
  })

  test.each(['../sda1', 'sda/1', '.sda1', 'sda1\n', 'sd a1', '-sda1', '', 'sda1;reboot', 'SDA1', '$(id)'])(
    'the name %j is refused',
    async name => {
      expect((await media('mount', name)).status).toBe(2)
      expect((await media('unmount', name)).status).toBe(2)
      expect(await left()).toEqual(NOTHING)
    },
  )

  test('what is no block device is refused', async () => {
    const { status, stderr } = await media('mount', 'null')
    expect({ status, stderr }).toEqual({ status: 2, stderr: 'cannot use /dev/null: it is no block device\n' })
  })
})
