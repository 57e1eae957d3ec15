/** What a device's systemd is told to mount, by the generator that releases carry: partitions of an image, by their names. */
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { PROJECT } from '../../kit/project.ts'

let folder: string
let count = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mounts-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const NAMES = ['bios-boot', 'superblock-esp', 'superblock-root', 'superblock-var']

/** @param disks partition names by disk; the root file system is the third of sda */
async function generate(fstab: string | undefined, disks: Record<string, readonly string[]>, sysroot = '8:3') {
  const root = join(folder, String(count++))
  const out = ['normal', 'early', 'late'].map(name => join(root, 'run', name))
  for (const name of ['etc', 'proc/self', 'sys/dev/block', ...out.map(path => path.slice(root.length + 1))])
    await mkdir(join(root, name), { recursive: true })
  if (fstab !== undefined) await writeFile(join(root, 'etc/fstab'), fstab)
  const mounts = ['22 1 0:20 / / rw - overlay overlay rw', `30 22 ${sysroot} / /sysroot ro - ext4 /dev/sda3 rw`]
  await writeFile(join(root, 'proc/self/mountinfo'), `${mounts.join('\n')}\n`)
  for (const [disk, parts] of Object.entries(disks))
    for (const [at, name] of parts.entries()) {
      const node = join(root, 'sys/devices/block', disk, `${disk}${at + 1}`)
      await mkdir(node, { recursive: true })
      await writeFile(join(node, 'uevent'), `MAJOR=8\nDEVNAME=${disk}${at + 1}\nPARTN=${at + 1}\nPARTNAME=${name}\n`)
    }
  await symlink('../../devices/block/sda/sda3', join(root, 'sys/dev/block/8:3'))
  const { stderr } = await run([join(PROJECT, 'boot/generators/superblock-mounts'), ...out], {
    env: { SUPERBLOCK_GENERATOR_ROOT: root },
  })
  const files = (await readdir(join(root, 'run'), { recursive: true })).sort().filter(name => name.includes('.'))
  const text = (name: string) => readFile(join(root, 'run', name), 'utf8')
  const link = (name: string) => readlink(join(root, 'run', name))
  return { stderr, files, text, link }
}

const BOOT = ['normal/boot.automount', 'normal/boot.mount']
const EFI = [
  'normal/efi.automount',
  'normal/efi.mount',
  'normal/local-fs.target.wants',
  'normal/local-fs.target.wants/efi.automount',
]
const VAR = [
  ...['early/local-fs.target.requires', 'early/local-fs.target.requires/var.mount', 'early/var.mount'],
  ...['early/var.mount.wants', 'early/var.mount.wants/systemd-growfs@var.service'],
]

test('the EFI partition is mounted when it is looked at, and /var before all that needs it', async () => {
  const { stderr, files, text, link } = await generate('LABEL=superblock-root / ext4 defaults 0 1\n', { sda: NAMES })
  expect([stderr, files]).toEqual(['', [...VAR, ...BOOT, ...EFI]])
  expect(await text('normal/efi.mount')).toContain('What=/dev/sda2\nWhere=/efi\nType=vfat\nOptions=umask=0077\n')
  expect(await text('early/var.mount')).toContain('What=/dev/sda4\nWhere=/var\nType=ext4\n')
  expect(await text('early/var.mount')).toContain('Requires=systemd-fsck@dev-sda4.service\n')
  expect(await link('early/local-fs.target.requires/var.mount')).toBe('../var.mount')
  expect(await link('normal/local-fs.target.wants/efi.automount')).toBe('../efi.automount')
  // Where systemd itself would mount it.
  expect(await link('normal/boot.automount')).toBe('/dev/null')
  expect(await text('normal/boot.mount')).toContain('What=/sysroot/boot\nWhere=/boot\nOptions=bind\n')
})

test("what a device's fstab says goes before, and comments do not", async () => {
  const disks = { sda: NAMES }
  const all = [...VAR, ...BOOT, ...EFI]
  expect((await generate('x /boot ext4\nPARTLABEL=x /efi vfat\nLABEL=y /var ext4\n', disks)).files).toEqual([])
  expect((await generate('PARTLABEL=x /efi vfat\n', disks)).files).toEqual([...VAR, ...BOOT])
  expect((await generate('x /boot ext4\n', disks)).files).toEqual([...VAR, ...EFI])
  expect((await generate('#PARTLABEL=x /efi vfat\n# /var\n', disks)).files).toEqual(all)
  expect(await generate(undefined, disks)).toMatchObject({ stderr: '', files: all })
})

test('only the disk of the root file system is looked at', async () => {
  const { files } = await generate('', { sda: ['bios-boot', 'esp', 'root'], sdb: NAMES })
  expect(files).toEqual([])
  expect((await generate('', { sda: NAMES }, '0:42')).files).toEqual([])
})
