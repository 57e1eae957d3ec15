/** systemd/superblock-media on real block devices: loop devices, in a mount namespace of their own. Needs root. */
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { run, start } from '../../src/base/run.ts'
import { readRefused } from '../../src/media/refused.ts'
import { mountLying } from '../kit/lying.ts'
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
    // What the system says of its own disks is this namespace's to change.
    await run(['cp', '-a', '/etc', folder])
    const script = `mount -t tmpfs -o mode=755 t /run && mkdir /run/superblock && mount --bind ${folder}/etc /etc && echo ready && exec cat`
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
    const [, table] = /^sfdisk-(.*)$/.exec(format[0] ?? '') ?? []
    if (table) await run(['sfdisk', '--quiet', path], { input: `label: ${table}\n` })
    else if (format.length > 0) await run([...format, path])
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
    ['an unsupported one', [], minix, 'unsupported-filesystem', /^its filesystem is minix; use (.*or )?ext4$/],
    ['one that is swap space', ['mkswap'], undefined, 'unsupported-filesystem', /^its filesystem is swap; use /],
    [
      ...['one without a filesystem', [], undefined, 'no-filesystem'],
      /^there is no filesystem on it that this device knows; format it as (.*or )?ext4$/,
    ],
    ['one with the marks of two', EXT4, squashfs, 'ambivalent', /several filesystems; format it as (.*or )?ext4$/],
    [
      'one with an empty table',
      ['sfdisk-dos'],
      undefined,
      'no-partition',
      /no partition on it .* format it as (.*or )?ext4$/,
    ],
    ['one with an empty GPT', ['sfdisk-gpt'], undefined, 'no-partition', /no partition on it/],
    ['one with a damaged GPT', ['sfdisk-gpt'], Buffer.alloc(0), 'no-partition', /no partition on it/],
  ] as const)(
    '%s becomes visible with a sentence, and goes with the stick',
    async (_, format, head, code, sentence) => {
      const path = await image(format, head)
      // Of a damaged GPT what is left is the table that keeps old systems from taking the disk for empty.
      if (head?.length === 0) for (const place of [512, 8 * MIB - 512]) await overwrite(path, Buffer.alloc(512), place)
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

  test('a sentence names only what the kernel has of the allow-list', async () => {
    const name = await insert(await image())
    const { stdout: kernel } = await run(['cat', '/proc/filesystems'])
    expect(kernel).toMatch(/\text4\n/)
    await media('mount', name, { SUPERBLOCK_FILESYSTEMS: 'ext4 nosuchfs btrfs iso9660' })
    const names = /\tbtrfs\n/.test(kernel) ? 'ext4 btrfs' : 'ext4'
    expect(await notes()).toMatchObject([{ code: 'no-filesystem', facts: { formats: names } }])
    await media('mount', name, { SUPERBLOCK_FILESYSTEMS: 'nosuchfs' })
    expect(await notes()).toMatchObject([
      {
        facts: { formats: '' },
        text: 'there is no filesystem on it that this device knows; format it anew',
      },
    ])
    // What the list allows and the kernel lacks is no broken stick.
    const other = await insert(await image(['mkfs.vfat']))
    const hasVfat = /\tvfat\n/.test(kernel)
    await media('mount', other)
    if (!hasVfat) expect((await notes()).at(-1)).toMatchObject({ code: 'unsupported-filesystem', filesystem: 'vfat' })
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

  const LABELLED = [...EXT4, '-L', 'my data', '-U', '3d1c6b1e-7a4e-4c55-9d4e-2f1f0a1b2c3d']
  const UUID = '3d1c6b1e-7a4e-4c55-9d4e-2f1f0a1b2c3d'
  const systemFile = (path: string, text: string) => writeFile(join(folder, path), text)
  afterEach(async () => {
    for (const path of ['etc/fstab', 'etc/crypttab']) await systemFile(path, '')
    await inside('rm', '-rf', '/run/systemd')
  })
  const FSTAB = 'none /tmp/x tmpfs defaults 0 0\n\n# LABEL=other /x ext4\n'
  const unit = (folder: string, what: string) =>
    inside(
      'sh',
      '-c',
      `mkdir -p ${folder} && printf '[Mount]\\nWhat=%s\\nWhere=/data\\n' "$0" >${folder}/sb-test.mount`,
      what,
    )

  test.each<[string, (name: string) => Promise<unknown>]>([
    ['by its device', name => systemFile('etc/fstab', `${FSTAB}/dev/${name} /data ext4 noauto 0 2\n`)],
    ['by its label', () => systemFile('etc/fstab', `${FSTAB}LABEL=my\\040data\t/data ext4 noauto,x-systemd.automount`)],
    ['by its UUID', () => systemFile('etc/fstab', `${FSTAB}UUID=${UUID.toUpperCase()} none swap sw 0 0\n`)],
    ['in quotes', () => systemFile('etc/fstab', `${FSTAB}LABEL="my\\040data" /data ext4 noauto\n`)],
    ['by a link of udev', () => systemFile('etc/fstab', `${FSTAB}/dev/disk/by-label/my\\x20data /data ext4 noauto\n`)],
    ['in a mount unit', () => unit('/run/systemd/system', `/dev/disk/by-uuid/${UUID}`)],
    ['in a unit that a generator made', () => unit('/run/systemd/generator', `UUID=${UUID}`)],
    ['to be unlocked', name => systemFile('etc/crypttab', `# x\ndata /dev/${name} none luks\n`)],
  ])('what the product itself mounts is left alone, mounted or not: %s', async (_, say) => {
    const name = await insert(await image(LABELLED))
    await say(name)
    const { stdout, status } = await media('mount', name)
    expect({ stdout, status }).toMatchObject({
      stdout: expect.stringMatching(/this system mounts it itself/),
      status: 0,
    })
    expect(await left()).toEqual(NOTHING)
    // Another one is none of its business.
    const other = await insert(await image(EXT4))
    await media('mount', other)
    expect((await left()).mounts).toHaveLength(1)
  })

  test('a stick with the label of a disk of the product that is mounted in its place is a stick', async () => {
    await inside('mkdir', '-p', '/run/superblock/data')
    await systemFile('etc/fstab', 'LABEL=my\\040data /run/superblock/data ext4 defaults 0 2\n')
    const own = await insert(await image([...EXT4, '-L', 'my data']))
    await inside('mount', '-o', 'ro', `/dev/${own}`, '/run/superblock/data')
    const name = await insert(await image(LABELLED))
    await media('mount', name)
    expect((await left()).mounts).toHaveLength(1)
  })

  /** The kernel of the build machines reads no tables: it is told of the partitions, as others tell it of theirs. */
  async function partitioned(table: string, ...fill: Buffer[]): Promise<[string, string[]]> {
    const path = await image()
    await run(['sfdisk', '--quiet', path], { input: table })
    for (const [at, bytes] of fill.entries()) await overwrite(path, bytes, (1 + at) * MIB)
    const name = await insert(path)
    await run(['partx', '--add', `/dev/${name}`])
    const names = (await readdir(`/sys/class/block/${name}`)).filter(one => one.startsWith(`${name}p`)).sort()
    partitions.push(name)
    return [name, names]
  }
  const partitions: string[] = []
  afterEach(async () => {
    for (const name of partitions.splice(0)) await run(['partx', '--delete', `/dev/${name}`])
  })
  const small = async () => {
    const path = await image([...EXT4, '-L', 'small'])
    await truncate(path, MIB)
    await run(['mke2fs', '-q', '-F', '-t', 'ext4', '-b', '1024', '-L', 'small', path])
    return readFile(path)
  }

  test('the partitions of a disk stand for themselves, by whatever they are named', async () => {
    const uuid = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
    const [disk, [first = '', second = '']] = await partitioned(
      `label: gpt\nsize=2048, uuid=${UUID}, name="product"\nsize=2048, uuid=${uuid}, name="stick"\n`,
      await small(),
      await small(),
    )
    const whole = await media('mount', disk)
    expect(whole.stdout).toContain('its partitions stand for themselves')
    for (const named of ['PARTLABEL=product', `PARTUUID=${UUID}`, '/dev/disk/by-partlabel/product']) {
      await systemFile('etc/fstab', `${named} /data ext4 noauto\n`)
      expect((await media('mount', first)).stdout).toMatch(/mounts it itself/)
    }
    await media('mount', second)
    expect((await left()).mounts).toHaveLength(1)
    await media('unmount', second)
  })

  test('partitions that never hold files are passed over beside others, and told of where there are none', async () => {
    const [, [extended = '']] = await partitioned('label: dos\nsize=4096, type=5\n')
    await media('mount', extended)
    expect(await notes()).toMatchObject([{ code: 'no-partition', path: `/dev/${extended}` }])
    await media('unmount', extended)
    const reserved = 'E3C9E316-0B5C-4DB8-817D-F92DF00215AE'
    const [, [one = '', two = '']] = await partitioned(`label: gpt\nsize=2048, type=${reserved}\nsize=2048\n`)
    expect((await media('mount', one)).stdout).toContain('it never holds files')
    await media('mount', two)
    expect(await notes()).toMatchObject([{ code: 'no-filesystem', path: `/dev/${two}` }])
    for (const name of [one, two]) await media('unmount', name)
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

  test('a stick that does not answer is told of, and mounted once it does', async () => {
    const at = join(folder, 'lying')
    await mkdir(at)
    const disk = await mountLying(at, { files: { disk: await image(EXT4) } })
    try {
      const name = await insert(join(at, 'disk'))
      await disk.behave({ silent: ['read'] })
      await run(['blockdev', '--flushbufs', `/dev/${name}`])
      await writeFile('/proc/sys/vm/drop_caches', '1')
      const mounting = media('mount', name)
      await expect
        .poll(notes, { timeout: 20_000 })
        .toMatchObject([{ code: 'not-answering', text: 'it is not answering; wait, or take it out and put it back' }])
      await disk.behave({})
      expect((await mounting).status).toBe(0)
      const { mounts, notes: noted } = await left()
      expect([mounts.length, noted]).toEqual([1, []])
      await media('unmount', name)
      await run(['losetup', '--detach', `/dev/${loops.pop()}`])
    } finally {
      await disk.remove()
    }
  }, 60_000)

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
