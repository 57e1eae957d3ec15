import { expect, test } from 'vitest'
import { settleFstab } from '../../../src/builder/tree/fstab.ts'

const ROOT = 'LABEL=superblock-root / ext4 defaults,x-systemd.growfs 0 1\n'

test.each([
  ['nothing', '', ROOT],
  ["Debian's placeholder", '# UNCONFIGURED FSTAB FOR BASE SYSTEM\n', ROOT],
  ['a partition by its label', 'LABEL=data /data ext4 nofail 0 2\n', `LABEL=data /data ext4 nofail 0 2\n${ROOT}`],
  ['a last line without an end', 'tmpfs /scratch tmpfs', `tmpfs /scratch tmpfs\n${ROOT}`],
  [
    'the root of any disk',
    '/dev/root / auto defaults 1 1\nproc /proc proc\n',
    '/dev/root / auto defaults 1 1\nproc /proc proc\n',
  ],
])('%s stays', (_, text, after) => {
  expect(settleFstab(text)).toEqual({ text: after, leftOut: [] })
})

test('what an installed system says of its disk is left out, by name', () => {
  const text = `# <file system> <mount point>
UUID=1b0f / ext4 errors=remount-ro 0 1
  UUID=2c1e\t/boot ext4 defaults 0 2
UUID="6A3F" /boot/efi vfat umask=0077 0 1
/dev/disk/by-id/ata-1 /data ext4 defaults 0 2
PARTUUID=77 none swap sw 0 0
/dev/sda9 /boot ext4 defaults 0 2
tmpfs /tmp tmpfs defaults 0 0
`
  expect(settleFstab(text)).toEqual({
    text: `# <file system> <mount point>\ntmpfs /tmp tmpfs defaults 0 0\n${ROOT}`,
    leftOut: [
      'UUID=1b0f /',
      'UUID=2c1e /boot',
      'UUID="6A3F" /boot/efi',
      '/dev/disk/by-id/ata-1 /data',
      'PARTUUID=77 none',
      '/dev/sda9 /boot',
    ],
  })
})
