/** From ordinary sysroots to trees, packages and images, with the real tools; most of it needs root, as its users do. */
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run, start } from '../../src/base/run.ts'
import { commit } from '../../src/builder/commit.ts'
import { needRoom } from '../../src/builder/disk.ts'
import { image } from '../../src/builder/image.ts'
import { release } from '../../src/builder/release.ts'
import { type SysrootOptions, sysroot } from '../../src/builder/sysroot.ts'
import type { Work } from '../../src/builder/work.ts'
import { makeKey } from '../../src/package/signature.ts'
import { armorKey, handKey, packet, revocationOf } from '../kit/openpgp.ts'
import { PROJECT } from '../kit/project.ts'
import { cpio, type Files, KERNEL, makeRootfs } from '../kit/rootfs.ts'

const BUILDER = [process.execPath, join(PROJECT, 'dist/superblock-builder.js')]
const root = process.getuid?.() === 0

let folder: string
let rootfs: string
let count = 0
const notes: string[] = []
const work: Work = {
  signal: new AbortController().signal,
  progress: (_, task) => task(() => {}),
  note: text => notes.push(text),
}
const path = (name: string) => join(folder, name)
const fresh = (name: string) => path(`${name}-${count++}`)
const there = async (...programs: string[]) =>
  (await run(['sh', '-c', 'for p; do command -v "$p" || exit 1; done', 'sh', ...programs], { accept: [1, 127] }))
    .status === 0

async function convert(options: Partial<SysrootOptions> = {}): Promise<string> {
  const out = options.out ?? fresh('tree')
  await sysroot({ sysrootImagePath: rootfs, ...options, out }, work)
  return out
}
const release1 = { ref: 'acme/gw', version: '1.0', timestamp: 1e9 }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sysroot-'))
  rootfs = await makeRootfs(path('rootfs'))
  if (root && (await there('setcap'))) await run(['setcap', 'cap_net_raw=ep', join(rootfs, 'usr/bin/ostree')])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('without root, what is needed is said', async () => {
  // Nobody is root in a user namespace that maps no one.
  const argv = ['unshare', '--user', ...BUILDER, 'sysroot', '--sysroot-image-path', rootfs, '--out', fresh('tree')]
  const { status, stderr } = await run(argv, { accept: [1] })
  expect([status, stderr]).toEqual([1, expect.stringContaining('run it with sudo')])
})

describe.runIf(root)('the tree (needs root)', () => {
  let tree: string
  const text = (name: string) => readFile(join(tree, name), 'utf8')
  beforeAll(async () => {
    tree = await convert({ kernelArgs: ' console=ttyS0   quiet ' })
  })

  test('has the layout of a deployment', async () => {
    const links = {
      ostree: 'sysroot/ostree',
      home: 'var/home',
      root: 'var/roothome',
      media: 'run/media',
      tmp: 'sysroot/tmp',
    }
    for (const [name, target] of Object.entries(links)) expect(await readlink(join(tree, name))).toBe(target)
    expect(await readlink(join(tree, 'usr/local'))).toBe('../var/usrlocal')
    for (const name of ['boot', 'dev', 'efi', 'proc', 'run', 'sys', 'sysroot', 'var'])
      expect(await readdir(join(tree, name))).toEqual([])
    expect((await readdir(tree)).sort()).toEqual(
      'bin boot dev efi home lib lib64 media mnt opt ostree proc root run sbin srv sys sysroot tmp usr var'.split(' '),
    )
    expect(await text('usr/etc/passwd')).toContain('root:x:0')
  })

  test('has its kernel where OSTree looks, and what belongs to it beside', async () => {
    const names = (await readdir(join(tree, 'usr/lib/modules', KERNEL))).sort()
    expect(names).toEqual(['config', 'initramfs.img', 'modules.builtin', 'vmlinuz'])
    expect(await text('usr/lib/ostree-boot/kargs')).toBe('console=ttyS0 quiet\n')
    expect((await stat(join(tree, 'usr/sbin/grub-mkconfig'))).mode & 0o777).toBe(0o755)
    expect(await text('usr/lib/systemd/system.conf.d/50-superblock.conf')).toContain('RuntimeWatchdogSec=30s')
  })

  test('has the modes of a system, whatever the umask', async () => {
    const out = fresh('tree')
    const argv = ['sysroot', '--sysroot-image-path', rootfs, '--out', out, '--kernel-args', 'console=ttyS0 quiet']
    await run(['sh', '-c', 'umask 077; exec "$@"', 'sh', ...BUILDER, ...argv])
    const modes = async (folder: string) => (await run(['find', '.', '-printf', '%p %m\n'], { cwd: folder })).stdout
    expect((await modes(out)).split('\n').sort()).toEqual((await modes(tree)).split('\n').sort())
  })

  test('is of no particular device', async () => {
    expect(await text('usr/etc/machine-id')).toBe('')
    expect(await text('usr/etc/fstab')).toBe('LABEL=superblock-root / ext4 defaults,x-systemd.growfs 0 1\n')
  })

  test('brings back in /var what the sysroot had there', async () => {
    const lines = (await text('usr/lib/tmpfiles.d/superblock-var.conf')).split('\n')
    for (const line of [
      'd /var/lib/acme 0750 33 33 -',
      'C "/var/lib/acme/initial data" 0644 33 4 -',
      'C /var/roothome/.profile 0644 0 0 -',
      'L+ /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg',
      'L+ /var/opt/vendor - - - - ../../usr/lib/opt/vendor',
      'L /var/run - - - - /run',
      'd /var/cache/acme 0755 0 0 -',
      'd /var/usrlocal/bin 0755 0 0 -',
    ])
      expect(lines).toContain(line)
    // Caches, logs and what the sysroot's own tmpfiles make.
    expect(lines.join('\n')).not.toMatch(/leaving|old|\/var\/log\/acme/)
    expect(await text('usr/share/factory/var/lib/acme/initial data')).toBe('100 % given\n')
    expect(await text('usr/lib/sysimage/dpkg/status')).toBe('Package: acme\n')
    expect(await text('usr/lib/opt/vendor/tool')).toBe('#!/bin/sh\n')
  })

  test('names what does not come back in /var', async context => {
    const input = await makeRootfs(fresh('rootfs'), { 'var/lib/acme/capable': 'x' })
    await mkdir(join(input, 'var/spool/q'), { recursive: true })
    await run(['mkfifo', join(input, 'var/spool/q/pipe'), join(input, 'var/cache/pipe')])
    await run(['mknod', join(input, 'var/spool/q/random'), 'c', '1', '8'])
    const hasSetcap = await there('setcap')
    if (hasSetcap) await run(['setcap', 'cap_net_raw=ep', join(input, 'var/lib/acme/capable')])
    notes.length = 0
    await convert({ sysrootImagePath: input })
    expect(notes.filter(text => text.includes('pipes'))).toEqual([
      expect.stringContaining(
        'Left out of /var, for OSTree holds no pipes, sockets and devices: /var/spool/q/pipe, /var/spool/q/random.',
      ),
    ])
    if (!hasSetcap) context.skip('setcap is not installed')
    expect(notes.join()).toContain(
      'lose their capabilities on a device, for systemd-tmpfiles does not copy them: /var/lib/acme/capable.',
    )
  })

  test('brings its system users to devices whose /etc/passwd was changed', async () => {
    const passwd = 'root:x:0:0:root:/root:/bin/sh\nacmed:x:999:999:Acme:/var/lib/acme:/bin/false\n'
    const input = await makeRootfs(fresh('rootfs'), { 'etc/passwd': passwd, 'etc/group': 'root:x:0:\nacmed:x:999:\n' })
    notes.length = 0
    const made = await convert({ sysrootImagePath: input })
    const lines = (await readFile(join(made, 'usr/lib/sysusers.d/00-superblock.conf'), 'utf8')).split('\n').slice(1)
    expect(lines).toEqual(['g acmed 999', 'u acmed 999:999 "Acme" "/var/lib/acme" "/bin/false"', ''])
    expect(notes.join()).toContain('There is no systemd-sysusers in this sysroot')
  })

  test('systemd-tmpfiles makes all that in an empty /var', async context => {
    if (!(await there('systemd-tmpfiles'))) context.skip('systemd-tmpfiles is not installed')
    const device = fresh('device')
    await run(['cp', '-a', tree, device])
    await run(['cp', '-a', join(tree, 'usr/etc'), join(device, 'etc')])
    await run(['systemd-tmpfiles', `--root=${device}`, '--create'])
    const file = join(device, 'var/lib/acme/initial data')
    expect(await readFile(file, 'utf8')).toBe('100 % given\n')
    expect(await stat(file)).toMatchObject({ uid: 33, gid: 4 })
    expect((await stat(join(device, 'var/lib/acme'))).mode & 0o7777).toBe(0o750)
    expect((await stat(join(device, 'var/roothome'))).mode & 0o7777).toBe(0o700)
    expect(await readFile(join(device, 'var/lib/dpkg/status'), 'utf8')).toBe('Package: acme\n')
    expect(await readFile(join(device, 'var/opt/vendor/tool'), 'utf8')).toBe('#!/bin/sh\n')
  })

  test('keeps owners, modes and capabilities', async () => {
    const repo = fresh('repo')
    await commit({ input: tree, ostreeRepo: repo, ...release1 }, work)
    const list = (await run(['ostree', 'ls', `--repo=${repo}`, '-R', '-X', 'acme/gw', '/usr/bin'])).stdout
    expect(list).toMatch(/^-04750 0 4 .* \/usr\/bin\/su$/m)
    if (await there('setcap')) expect(list).toMatch(/^-00755 0 0 .*security\.capability.* \/usr\/bin\/ostree$/m)
  })

  test('folder, archives and images of one sysroot are the same commit', async () => {
    const tar = ['tar', '--create', '--xattrs', '--xattrs-include=*', '--directory', rootfs]
    for (const [name, how] of [['a.tar'], ['a.tar.gz', '--gzip'], ['a.tar.zst', '--zstd']] as [string, string?][])
      if (how !== '--zstd' || (await there('zstd')))
        await run([...tar, ...(how ? [how] : []), '--file', path(name), '.'])
    await truncate(await touch('a.img'), 32 * 2 ** 20)
    await run(['mke2fs', '-q', '-F', '-t', 'ext4', '-d', rootfs, path('a.img')])
    const inputs = ['a.tar', 'a.tar.gz', 'a.img']
    if (await there('zstd')) inputs.push('a.tar.zst')
    if (await there('sfdisk')) {
      await truncate(await touch('disk.img'), 40 * 2 ** 20)
      await run(['sfdisk', '--quiet', path('disk.img')], { input: 'label: gpt\nstart=2048, size=2048\nstart=4096\n' })
      await run(['dd', `if=${path('a.img')}`, `of=${path('disk.img')}`, 'bs=1M', 'seek=2', 'conv=notrunc,sparse'])
      inputs.push('disk.img')
    }
    const made = async (input: string) => {
      const repo = fresh('repo')
      const out = await convert({ sysrootImagePath: input })
      return (await commit({ input: out, ostreeRepo: repo, ...release1 }, work)).commit
    }
    const expected = await made(rootfs)
    for (const input of inputs) expect(await made(path(input)), input).toBe(expected)
  })
})

async function touch(name: string): Promise<string> {
  await writeFile(path(name), '')
  return path(name)
}

describe.runIf(root)('what is given on the way (needs root)', () => {
  test('keys, keyring, remote, generator and U-Boot settings are where devices look', async () => {
    const key = await makeKey({ userId: 'Acme <a@acme.example>' })
    await writeFile(path('acme.asc'), key.publicKey)
    for (const name of ['ring.gpg', 'ca.pem', 'generator']) await writeFile(path(name), `this is ${name}\n`)
    await writeFile(path('env.txt'), '# the board\nfdtfile=acme.dtb')
    const tree = await convert({
      trustedKey: [path('acme.asc')],
      gpgTrustedKeyring: path('ring.gpg'),
      remoteUrl: 'https://updates.acme.example/repo',
      tlsCaPath: path('ca.pem'),
      grub2CfgGenerator: path('generator'),
      ubootEnvFile: path('env.txt'),
    })
    const text = (name: string) => readFile(join(tree, name), 'utf8')
    expect(await text('usr/lib/superblock/keys/acme.asc')).toBe(key.publicKey)
    expect(await text('usr/share/ostree/trusted.gpg.d/ring.gpg')).toBe('this is ring.gpg\n')
    expect(await text('usr/etc/ostree/remotes.d/updates.conf')).toBe(
      '[remote "updates"]\nurl=https://updates.acme.example/repo\ngpg-verify=true\ntls-ca-path=/etc/ostree/tls/ca.pem\n',
    )
    expect(await text('usr/etc/ostree/tls/ca.pem')).toBe('this is ca.pem\n')
    expect(await text('usr/sbin/grub-mkconfig')).toBe('this is generator\n')
    expect(await text('usr/lib/ostree-boot/uEnv.txt')).toMatch(
      /^# the board\nfdtfile=acme\.dtb\nrelease_id=[0-9a-f]{32}\n$/,
    )
  })

  test('a revocation of a key is taken like a key, and ends it', async () => {
    const [key, other] = [handKey(), await makeKey({ userId: 'Acme <a@acme.example>' })]
    await writeFile(path('hand.asc'), key.publicKey())
    await writeFile(path('other.asc'), other.publicKey)
    await writeFile(path('hand.rev'), armorKey(packet(2, revocationOf(key))))
    const nobody = { 'usr/lib/superblock/keys/nobody.asc': null }
    const input = await makeRootfs(fresh('rootfs'), nobody)
    const given = ['hand.asc', 'hand.rev'].map(path)
    const revoked = convert({ sysrootImagePath: input, trustedKey: given })
    await expect(revoked).rejects.toMatchObject({
      code: 'no-usable-key',
      message: expect.stringMatching(/it was revoked/),
    })
    const tree = await convert({ sysrootImagePath: input, trustedKey: [...given, path('other.asc')] })
    expect((await readdir(join(tree, 'usr/lib/superblock/keys'))).sort()).toEqual(['hand.asc', 'hand.rev', 'other.asc'])
  })

  test('an initramfs takes the place of the own one', async () => {
    await writeFile(path('own.img'), cpio(['usr/lib/ostree/ostree-prepare-root', 'lib/modules/x/ext4.ko']))
    const tree = await convert({ initramfs: path('own.img') })
    const file = join(tree, 'usr/lib/modules', KERNEL, 'initramfs.img')
    expect((await readFile(file)).equals(await readFile(path('own.img')))).toBe(true)
    expect((await stat(file)).mode & 0o777).toBe(0o600) // as dracut's own, so that the commit is the same
  })

  test.each([
    ['a key that is none', 'bad-key', { trustedKey: [join(PROJECT, 'package.json')] }],
    ['a key that is not there', 'bad-key', { trustedKey: [join(PROJECT, 'nowhere.asc')] }],
    ['a folder of keys', 'bad-key', { trustedKey: [PROJECT] }],
    ['certificates without a remote', 'usage', { tlsCaPath: join(PROJECT, 'package.json') }],
    ["settings that are OSTree's own", 'bad-value', { ubootEnvFile: join(PROJECT, 'test/golden/uboot-own.txt') }],
    ['a file that is not there', 'bad-value', { gpgTrustedKeyring: '/nowhere/ring.gpg' }],
    ['an initramfs that is not there', 'bad-value', { initramfs: '/nowhere/initramfs.img' }],
    ['a folder for a file', 'bad-value', { grub2CfgGenerator: PROJECT }],
  ] as const)('%s is refused', async (_, code, options) => {
    const out = join(fresh('parent'), 'tree')
    await mkdir(join(out, '..'))
    if ('ubootEnvFile' in options) await writeFile(path('own.txt'), 'bootargs=quiet\n')
    const given = 'ubootEnvFile' in options ? { ubootEnvFile: path('own.txt') } : options
    await expect(convert({ ...(given as Partial<SysrootOptions>), out })).rejects.toMatchObject({ code })
    expect(await readdir(join(out, '..'))).toEqual([])
  })
})

describe.runIf(root)('a sysroot that could not start is refused (needs root)', () => {
  const cases: [string, string, RegExp, Files][] = [
    ['without ostree', 'not-bootable', /ostree program/, { 'usr/bin/ostree': null }],
    ['without systemd', 'not-bootable', /no systemd/, { 'usr/lib/systemd/systemd': null }],
    ['without a kernel', 'not-bootable', /no kernel/, { [`boot/vmlinuz-${KERNEL}`]: null }],
    ['without ostree-prepare-root', 'not-bootable', /ostree-boot/, { 'usr/lib/ostree/ostree-prepare-root': null }],
    ['without a name', 'not-bootable', /os-release/, { 'usr/lib/os-release': 'VERSION=1\n' }],
    ['without an initramfs', 'no-initramfs', /superblock-builder initramfs/, { [`boot/initrd.img-${KERNEL}`]: null }],
    [
      'with an initramfs that does not know OSTree',
      'not-bootable',
      /does not start OSTree/,
      { [`boot/initrd.img-${KERNEL}`]: cpio(['usr/bin/sh', 'lib/modules/x/ext4.ko']) },
    ],
    [
      'with an initramfs without ext4',
      'not-bootable',
      /no ext4/,
      { [`boot/initrd.img-${KERNEL}`]: cpio(['usr/lib/ostree/ostree-prepare-root']) },
    ],
    [
      'with a damaged initramfs',
      'bad-initramfs',
      /initramfs/,
      { [`boot/initrd.img-${KERNEL}`]: Buffer.from('1f8b0800aa', 'hex') },
    ],
    ['with two kernels', 'several-kernels', /vmlinuz-6\.1\.0, .*vmlinuz-6\.2\.0/, { 'boot/vmlinuz-6.2.0': 'x' }],
    ['with files in /home', 'files-in-home', /\/home\/ann\/letter\\u001b/, { 'home/ann/letter\x1b': 'x' }],
    ['with a line end in a name in /var', 'bad-sysroot', /no way to write .*new\\u000aline/, { 'srv/new\nline': 'x' }],
    ['with /usr/etc', 'bad-sysroot', /both \/etc and \/usr\/etc/, { 'usr/etc/passwd': 'x' }],
  ]
  test.each(cases)('%s', async (_, code, message, changes) => {
    const parent = fresh('parent')
    await mkdir(parent)
    const input = await makeRootfs(fresh('rootfs'), changes)
    const refused = await convert({ sysrootImagePath: input, out: join(parent, 'tree') }).catch(error => error)
    expect(refused).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(refused.message).toMatch(/^cannot /)
    expect(await readdir(parent)).toEqual([])
  })

  test('everything that is missing is said at once', async () => {
    const input = await makeRootfs(fresh('rootfs'), { 'usr/bin/ostree': null, 'usr/lib/systemd/systemd': null })
    await expect(convert({ sysrootImagePath: input })).rejects.toThrow(
      /no systemd; no the ostree|no systemd; no .*ostree/,
    )
  })

  test('with folders of its own beside /usr, pipes, or nothing of a system', async () => {
    const split = await makeRootfs(fresh('rootfs'))
    await unlink(join(split, 'lib'))
    await mkdir(join(split, 'lib'))
    await expect(convert({ sysrootImagePath: split })).rejects.toThrow(/\/lib must be links into \/usr.*usrmerge/)
    const pipe = await makeRootfs(fresh('rootfs'))
    await run(['mkfifo', join(pipe, 'usr/lib/pipe')])
    await expect(convert({ sysrootImagePath: pipe })).rejects.toThrow(/no devices, pipes or sockets: \/usr\/lib\/pipe/)
    const empty = fresh('empty')
    await mkdir(empty)
    await expect(convert({ sysrootImagePath: empty })).rejects.toThrow(/there is no usr in it/)
    for (const input of [join(PROJECT, 'package.json'), '/nowhere'])
      await expect(convert({ sysrootImagePath: input })).rejects.toMatchObject({ code: 'bad-sysroot' })
  })

  test('without an initramfs on purpose, but with a program that needs libraries', async () => {
    const input = await makeRootfs(fresh('rootfs'), { [`boot/initrd.img-${KERNEL}`]: null })
    const kernelArgs = 'root=/dev/mmcblk0p3 init=/usr/lib/ostree/ostree-prepare-root'
    await expect(convert({ sysrootImagePath: input, kernelArgs: 'quiet' })).rejects.toMatchObject({
      code: 'no-initramfs',
    })
    await expect(convert({ sysrootImagePath: input, kernelArgs })).rejects.toThrow(/linked statically/)
    await writeFile(join(input, 'usr/lib/ostree/ostree-prepare-root'), '#!a static program\n')
    expect(await convert({ sysrootImagePath: input, kernelArgs })).toBeTruthy()
  })

  test("a link in it never leads to this computer's files", async () => {
    const outside = fresh('outside')
    await mkdir(outside)
    const links = [
      'etc/fstab',
      'etc/machine-id',
      'usr/lib/superblock/superblock.toml',
      'usr/lib/superblock/keys/nobody.asc',
    ]
    const input = await makeRootfs(fresh('rootfs'), Object.fromEntries(links.map(name => [name, null])))
    await symlink(join(outside, 'fstab'), join(input, 'etc/fstab'))
    await symlink(join(outside, 'machine-id'), join(input, 'etc/machine-id'))
    await symlink(outside, join(input, 'usr/lib/superblock'))
    await symlink(outside, join(input, 'usr/share'))
    await writeFile(path('mine'), 'mine\n')
    await writeFile(path('own.img'), cpio(['usr/lib/ostree/ostree-prepare-root', 'lib/modules/x/ext4.ko']))
    await symlink(path('mine'), join(input, 'usr/lib/tmpfiles.d/superblock-var.conf'))
    await symlink(path('mine'), join(input, 'usr/lib/modules', KERNEL, 'initramfs.img'))
    await writeFile(path('acme.asc'), (await makeKey({ userId: 'Acme <a@acme.example>' })).publicKey)
    const trustedKey = [path('acme.asc')]
    await convert({ sysrootImagePath: input, trustedKey, initramfs: path('own.img'), allowKeyless: true })
    expect(await readdir(outside)).toEqual([])
    expect(await readFile(path('mine'), 'utf8')).toBe('mine\n')
  })

  test('with /etc that is a link, or names that are not in UTF-8', async () => {
    const linked = await makeRootfs(fresh('rootfs'))
    await rename(join(linked, 'etc'), join(linked, 'usr/lib/etc'))
    await symlink('usr/lib/etc', join(linked, 'etc'))
    await expect(convert({ sysrootImagePath: linked })).rejects.toThrow(/\/etc must be a folder and no link/)
    const latin = await makeRootfs(fresh('rootfs'))
    await writeFile(Buffer.concat([Buffer.from(join(latin, 'usr/lib/b')), Buffer.from([0xe4])]), 'x')
    await expect(convert({ sysrootImagePath: latin })).rejects.toThrow(/only names in UTF-8; rename …\/lib\/b/)
  })

  test('when the output is in it, also by way of a link', async () => {
    const input = await makeRootfs(fresh('rootfs'))
    const link = fresh('link')
    await symlink(input, link)
    for (const [from, out] of [
      [link, join(input, 'usr/tree')],
      [input, join(link, 'tree')],
      ['/', fresh('tree')],
    ] as const)
      await expect(convert({ sysrootImagePath: from, out })).rejects.toThrow(/it is in the sysroot itself/)
  })
})

describe.runIf(root)('the disk of the build host (needs root)', () => {
  /** Run the program with its output on a small file system of its own; returns what it said and what was left. */
  async function onDisk(options: string, before = ''): Promise<{ said: string; left: string }> {
    const disk = fresh('disk')
    await mkdir(disk)
    const script = `mount -t tmpfs -o "$1" tmpfs "$2" && cd "$2" && { ${before} : ; } && ls -A >"$2.before"; shift 2
      [ "$0" != remount ] || mount -o remount,ro "$PWD"
      "$@" 2>&1; ls -A | comm -13 "$PWD.before" - >"$PWD.left"`
    const argv = [...BUILDER, 'sysroot', '--sysroot-image-path', rootfs, '--out', 'tree']
    const name = options.includes('ro') ? 'remount' : 'sh'
    const { stdout } = await run(['unshare', '-m', 'sh', '-c', script, name, options.replace(',ro', ''), disk, ...argv])
    return { said: stdout, left: await readFile(`${disk}.left`, 'utf8') }
  }

  test('a full one is said, and nothing is left', async () => {
    const { said, left } = await onDisk('size=64k')
    expect(said).toMatch(/superblock-builder: cannot write .*: the disk is full/)
    expect(left).toBe('')
  })

  test('so is one with a single byte left', async () => {
    const { said, left } = await onDisk('size=64k,nr_inodes=100', 'head -c 65535 /dev/zero >ballast;')
    expect(said).toMatch(/superblock-builder: cannot write .*: the disk is full/)
    expect(left).toBe('')
  })

  test('so is one that has no room for a commit or an image', async () => {
    await expect(needRoom(folder, 2 ** 60)).rejects.toMatchObject({ code: 'no-space' })
    const [tree, disk] = [await convert(), fresh('disk')]
    await mkdir(disk)
    const script = 'mount -t tmpfs -o size=256k tmpfs "$1" && cd "$1" && shift && "$@" 2>&1'
    const argv = [...BUILDER, 'commit', tree, '--ref', 'acme/gw', '--version', '1.0']
    const { stdout } = await run(['unshare', '-m', 'sh', '-c', script, 'sh', disk, ...argv], { accept: [1] })
    expect(stdout).toMatch(/superblock-builder: cannot write ostree-repo: the disk is full/)
  })

  test('so is a read-only one', async () => {
    const { said, left } = await onDisk('size=64k,ro')
    expect(said).toMatch(/superblock-builder: cannot write .*: that file system is read-only/)
    expect(left).toBe('')
  })
})

describe.runIf(root)('an interruption (needs root)', () => {
  test.each(['SIGINT', 'SIGKILL'] as const)(
    'by %s at any moment leaves no tree, and the next run makes it',
    async signal => {
      const parent = fresh('parent')
      await mkdir(parent)
      const out = join(parent, 'tree')
      const argv = ['sysroot', '--sysroot-image-path', rootfs, '--out', out]
      let finished = false
      for (let wait = 150; !finished; wait += 120) {
        const child = start([...BUILDER, ...argv], 'ignore')
        const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)))
        setTimeout(() => child.kill(signal), wait)
        const code = await ended
        const left = await readdir(parent)
        // Killed after its last act, it has finished without saying so: what is there then is whole.
        finished = left.includes('tree')
        if (code === 0) expect(finished).toBe(true)
        if (signal === 'SIGINT' && !finished) expect(left).toEqual([])
      }
      await expect(stat(join(out, 'usr/etc/machine-id'))).resolves.toMatchObject({ size: 0 })
    },
  )
})

describe.runIf(root)('commit (needs root)', () => {
  test('a system that could not start is refused, before and after its conversion', async () => {
    const repo = fresh('repo')
    const ordinary = commit({ input: rootfs, ostreeRepo: repo, ...release1 }, work)
    await expect(ordinary).rejects.toThrow(/convert it with: superblock-builder sysroot/)
    const tree = await convert()
    await unlink(join(tree, 'usr/lib/modules', KERNEL, 'initramfs.img'))
    const broken = commit({ input: tree, ostreeRepo: repo, ...release1 }, work)
    await expect(broken).rejects.toMatchObject({ code: 'no-initramfs' })
    await expect(stat(repo)).rejects.toMatchObject({ code: 'ENOENT' })
    const allowed = commit({ input: tree, ostreeRepo: repo, allowUnbootable: true, ...release1 }, work)
    await expect(allowed).resolves.toMatchObject({ version: '1.0' })
  })

  test('one command leads from the sysroot to a signed package', async () => {
    const out = fresh('out')
    await mkdir(out)
    const key = await makeKey({ userId: 'Acme <a@acme.example>', made: new Date(1e12) })
    await writeFile(path('release.key'), key.secretKey)
    const options = {
      ...{
        sysrootImagePath: rootfs,
        ...release1,
        timestamp: 1.1e9,
        os: 'acme',
        compatible: ['acme-gw'],
        epoch: 0,
        out,
      },
      ...{ ostreeRepo: join(out, 'repo'), signKey: [path('release.key')], createSelfContainedPackage: true },
      bootLoader: 'grub' as const,
    }
    // A run that got no further than the commit is gone on with, but not with other files.
    await release({ ...options, createSelfContainedPackage: false }, work)
    await expect(release({ ...options, kernelArgs: 'quiet' }, work)).rejects.toMatchObject({ code: 'version-taken' })
    const made = await release(options, work)
    expect(made.package).toMatchObject({ file: join(out, 'acme-1.0.superblock'), signatures: [key.fingerprint] })
    expect((await readdir(out)).sort()).toEqual(['acme-1.0.superblock', 'repo'])
    expect(await release(options, work).catch(error => error)).toMatchObject({ code: 'exists' })
  })
})

describe.runIf(root)('the image (needs root)', () => {
  let repo: string
  const make = async (bootLoader: 'grub' | 'uboot', more = {}) => {
    const out = fresh('image')
    const made = await image({ ostreeRepo: repo, ref: 'acme/gw', os: 'acme', out, bootLoader, ...more }, work)
    return { out, made }
  }
  /** What a script says in the root file system, which is mounted in a namespace of its own. */
  const within = async (file: string, script: string) =>
    (
      await run([
        ...[
          'unshare',
          '-m',
          'sh',
          '-euc',
          `mount -o loop,ro,offset=$((66*1024*1024)) "$1" "$2"; cd "$2"; ${script}`,
          'sh',
        ],
        ...[file, path('mount')],
      ])
    ).stdout
  beforeAll(async () => {
    repo = fresh('repo')
    await mkdir(path('mount'))
    await commit(
      { input: await convert({ kernelArgs: 'console=tty0 console=ttyS0' }), ostreeRepo: repo, ...release1 },
      work,
    )
  })

  test('for GRUB: partitions, both boot programs, a menu that names the deployment', async context => {
    if (!(await there('sfdisk', 'mkfs.vfat', 'mcopy', 'grub-mkimage', 'setpriv')))
      context.skip('fdisk, dosfstools, mtools or grub-common is not installed')
    for (const folder of ['i386-pc', 'x86_64-efi'])
      if (!(await stat(`/usr/lib/grub/${folder}`).catch(() => undefined)))
        context.skip(`GRUB's ${folder} is not installed`)
    const { out, made } = await make('grub', { dataSize: 8 * 2 ** 20 })
    expect(made.kernelArguments).toEqual([
      'root=LABEL=superblock-root',
      'console=tty0',
      'console=ttyS0',
      'rw',
      'panic=10',
    ])
    const { partitiontable } = JSON.parse((await run(['sfdisk', '--json', out])).stdout)
    expect(partitiontable.partitions.map((one: { name: string }) => one.name)).toEqual([
      ...['bios-boot', 'superblock-esp', 'superblock-root', 'superblock-var'],
    ])
    const bytes = Buffer.alloc(2 ** 20 + 512)
    const file = await open(out)
    await file.read(bytes, 0, bytes.length, 0)
    await file.close()
    expect(bytes.toString('latin1', 0, 440)).toContain('GRUB')
    const core = bytes.subarray(2 ** 20, 2 ** 20 + 512)
    expect(core.readBigUInt64LE(0x1f4)).toBe(2049n)
    await run(['mcopy', '-i', `${out}@@2M`, '::/EFI/BOOT/BOOTX64.EFI', fresh('efi')])
    expect(await within(out, 'cat boot/grub/grub.cfg')).toContain(`--id 'ostree-${made.commit}.0'`)
    // also those that share a name
    expect(await within(out, 'cat boot/loader/entries/*.conf')).toMatch(/^options .*console=tty0 .*console=ttyS0 /m)
    expect(await within(out, `ostree admin status --sysroot=.`)).toContain(`acme ${made.commit}.0`)
    // Whatever a later release has there arrives: nothing is a change of this device's own.
    expect(await within(out, 'ostree admin config-diff --sysroot=. --os=acme')).toBe('')
    expect(await within(out, `cat ostree/deploy/acme/deploy/${made.commit}.0.origin`)).toContain('refspec=acme/gw\n')
    expect(await within(out, `stat -c %u:%g:%a ostree/deploy/acme/deploy/${made.commit}.0/usr/bin/su`)).toBe(
      '0:4:4750\n',
    )
    expect((await within(out, 'wc -c <boot/grub/grubenv')).trim()).toBe('1024')
    expect((await run(['losetup', '--list', '--noheadings', '--output=BACK-FILE'])).stdout).not.toContain(out)
  })

  test.each([
    ['settings, which belong into the release', 'uboot', 'fdtfile=board.dtb\n', 'sysroot'],
    ['a script for another boot loader', 'grub', 'echo hello\n', '--boot-loader uboot'],
  ] as const)('%s are refused with the next step', async (_, bootLoader, text, next) => {
    const file = fresh('uboot')
    await writeFile(file, text)
    const options = {
      ostreeRepo: repo,
      ref: 'acme/gw',
      os: 'acme',
      out: fresh('image'),
      bootLoader,
      ubootEnvFile: file,
    }
    await expect(image(options, work)).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining(next) })
  })

  test('for U-Boot: a script, and what OSTree keeps for it', async context => {
    if (!(await there('sfdisk', 'mkfs.vfat', 'mcopy', 'mkimage', 'setpriv')))
      context.skip('fdisk, dosfstools, mtools or u-boot-tools is not installed')
    const { out } = await make('uboot')
    const script = fresh('script')
    await run(['mcopy', '-i', `${out}@@2M`, '::/boot.scr', script])
    const trial = fresh('trial')
    await run(['mcopy', '-i', `${out}@@2M`, '::/trial.env', trial])
    expect(await readFile(trial)).toEqual(Buffer.alloc(512))
    expect(await readFile(script, 'latin1')).toContain('trial_id trial_tries; fi')
    const environment = await within(out, 'cat boot/loader/uEnv.txt')
    expect(environment).toMatch(/^kernel_image=/m)
    expect(environment).toMatch(/^bootargs=.*root=LABEL=superblock-root.* ostree=/m)
    expect(environment).toMatch(/^release_id=[0-9a-f]{32}$/m)
  })

  test('a device of a release with a remote follows that', async context => {
    if (!(await there('sfdisk', 'mkfs.vfat', 'mcopy', 'mkimage', 'setpriv')))
      context.skip('fdisk, dosfstools, mtools or u-boot-tools is not installed')
    const ostreeRepo = fresh('repo')
    const tree = await convert({ remoteUrl: 'https://updates.acme.example/repo' })
    const { commit: checksum } = await commit({ input: tree, ostreeRepo, ...release1 }, work)
    const { out } = await make('uboot', { ostreeRepo })
    const deployment = `ostree/deploy/acme/deploy/${checksum}.0`
    expect(await within(out, `cat ${deployment}.origin`)).toContain('refspec=updates:acme/gw\n')
    expect(await within(out, 'ostree refs --repo=ostree/repo')).toMatch(/^updates:acme\/gw$/m)
    expect(await within(out, 'ostree admin config-diff --sysroot=. --os=acme')).toBe('')
  })

  test('a release that would not mount its partitions is refused', async context => {
    if (!(await there('sfdisk', 'mkfs.vfat', 'mcopy', 'mkimage'))) context.skip('its programs are not installed')
    const tree = await convert()
    await unlink(join(tree, 'usr/lib/systemd/system-generators/superblock-mounts'))
    const ostreeRepo = fresh('repo')
    await commit({ input: tree, ostreeRepo, ...release1 }, work)
    await expect(make('uboot', { ostreeRepo })).rejects.toThrow(
      /nothing in the release would mount .* convert its sysroot again/,
    )
  })

  test('too small a size is refused with the least that works', async context => {
    if (!(await there('sfdisk', 'grub-mkimage', 'mkfs.vfat', 'mcopy'))) context.skip('its programs are not installed')
    await expect(make('uboot', { size: 100 * 2 ** 20 })).rejects.toMatchObject({
      message: expect.stringMatching(/needs at least/),
    })
  })
})
