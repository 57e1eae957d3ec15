/** A small ordinary sysroot, as a distribution's tools leave one: everything that is looked for, nothing that would run. */
import { chmod, chown, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

export const KERNEL = '6.1.0'

const LINKS: Record<string, string> = {
  bin: 'usr/bin',
  sbin: 'usr/sbin',
  lib: 'usr/lib',
  lib64: 'usr/lib64',
  vmlinuz: `boot/vmlinuz-${KERNEL}`,
  'var/run': '/run',
  'var/lock': '/run/lock',
  'etc/os-release': '../usr/lib/os-release',
}
const FOLDERS: Record<string, number> = {
  ...{ boot: 0o755, dev: 0o755, home: 0o755, media: 0o755, mnt: 0o755, opt: 0o755, proc: 0o755, root: 0o700 },
  ...{ run: 0o755, srv: 0o755, sys: 0o755, tmp: 0o1777, 'usr/bin': 0o755, 'usr/sbin': 0o755, 'usr/lib64': 0o755 },
  ...{ 'usr/local/bin': 0o755, 'var/lib/acme': 0o750, 'var/log/acme': 0o2770, 'var/cache/acme/old': 0o755 },
}
const PROGRAM = '#!/bin/sh\n'
/** Nobody has its secret half. */
const PUBLIC_KEY = `-----BEGIN PGP PUBLIC KEY BLOCK-----

xjMEOG1DgBYJKwYBBAHaRw8BAQdAMy+Z1SoeHfiNngPUce1V8wvNhGYge9eg
qLBOeBgAyZLNI0FjbWUgVXBkYXRlcyA8dXBkYXRlc0BhY21lLmV4YW1wbGU+
wsATBBMWCgCFBYI4bUOAAwsJBwkQ++C2ADQxwL5FFAAAAAAAHAAgc2FsdEBu
b3RhdGlvbnMub3BlbnBncGpzLm9yZ/V8ZFbSggaMVE7nlTkSeh7pmS+733+U
sTqTgmeW99xJBRUKCA4MBBYAAgECGQECmwMCHgEWIQTDg/c2L91ytZB80gf7
4LYANDHAvgAAkSoBAMLr2hYLo78Rnc9EJds0y2e1mEXJYlxwVV0ioB+c7owU
APoCDqsY2W4TIZG5oaBDfIhr7PtBg41wPo3Yb40sZnN3CA==
=M6SL
-----END PGP PUBLIC KEY BLOCK-----
`

/** Files by their paths; `null` takes one away that is there otherwise. */
export type Files = Record<string, string | Uint8Array | null>

/** Make it in a new folder; as root with owners and modes of all kinds. */
export async function makeRootfs(folder: string, changes: Files = {}): Promise<string> {
  for (const [name, mode] of Object.entries(FOLDERS)) {
    await mkdir(join(folder, name), { recursive: true })
    await chmod(join(folder, name), mode)
  }
  const files: Files = {
    [`boot/vmlinuz-${KERNEL}`]: 'a kernel\n',
    [`boot/config-${KERNEL}`]: 'CONFIG_EXT4_FS=m\n',
    [`boot/initrd.img-${KERNEL}`]: cpio([
      'usr/lib/ostree/ostree-prepare-root',
      `usr/lib/modules/${KERNEL}/fs/ext4.ko.xz`,
    ]),
    [`usr/lib/modules/${KERNEL}/modules.builtin`]: 'kernel/fs/mbcache.ko\n',
    'usr/lib/os-release': 'ID=acme\nPRETTY_NAME="Acme 1.0"\nVERSION_ID=1.0\n',
    'usr/lib/systemd/systemd': PROGRAM,
    'usr/lib/systemd/system-generators/ostree-system-generator': PROGRAM,
    'usr/lib/tmpfiles.d/acme.conf': 'd /var/log/acme 2770 0 4 -\n',
    'usr/bin/ostree': PROGRAM,
    'usr/bin/superblockd': PROGRAM,
    'usr/lib/superblock/superblock.toml': '[device]\ncompatible = "acme-gw"\n',
    'usr/lib/superblock/keys/nobody.asc': PUBLIC_KEY,
    'usr/bin/su': PROGRAM,
    'etc/fstab': '# UNCONFIGURED FSTAB FOR BASE SYSTEM\n',
    'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
    'opt/vendor/tool': PROGRAM,
    'root/.profile': 'umask 022\n',
    'var/lib/dpkg/status': 'Package: acme\n',
    'var/lib/acme/initial data': '100 % given\n',
    'var/cache/acme/leaving': 'x',
    'var/log/acme/old.log': 'x',
    ...changes,
  }
  for (const [name, content] of Object.entries(files)) {
    if (content === null) continue
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
    await chmod(path, content === PROGRAM ? 0o755 : 0o644)
  }
  const prepare = join(folder, 'usr/lib/ostree/ostree-prepare-root')
  if (changes['usr/lib/ostree/ostree-prepare-root'] === undefined) {
    await mkdir(dirname(prepare), { recursive: true })
    await copyFile('/bin/true', prepare) // a program of this computer's kind, linked dynamically
  }
  for (const [name, target] of Object.entries(LINKS)) await symlink(target, join(folder, name))
  if (process.getuid?.() === 0) {
    await chown(join(folder, 'var/lib/acme'), 33, 33)
    await chown(join(folder, 'var/lib/acme/initial data'), 33, 4)
    await chown(join(folder, 'usr/bin/su'), 0, 4)
  }
  await chmod(join(folder, 'usr/bin/su'), 0o4750)
  return folder
}

/** An initramfs with empty files: a plain archive as the kernel takes for microcode, then a compressed one. */
export function cpio(names: readonly string[]): Buffer {
  return Buffer.concat([archive(['kernel/x86/microcode/AuthenticAMD.bin']), gzipSync(archive(names))])
}

/** cpio's `newc` format (cpio(5)). */
function archive(names: readonly string[]): Buffer {
  const parts = [...names, 'TRAILER!!!'].map(name => {
    const fields = [0, 0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.length + 1, 0]
    const head = `070701${fields.map(field => field.toString(16).padStart(8, '0')).join('')}${name}\0`
    return head.padEnd(Math.ceil(head.length / 4) * 4, '\0')
  })
  const whole = parts.join('')
  return Buffer.from(whole.padEnd(Math.ceil(whole.length / 512) * 512, '\0'), 'latin1')
}
