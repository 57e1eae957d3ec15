/** SWUpdate: a signed image, decompressed on its way to the slot. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { Contender } from '../contender.ts'
import { imageOf, slotInstallation } from './slot.ts'

export const swupdate: Contender = {
  name: 'SWUpdate',
  kind: 'image',
  programs: ['swupdate', 'cpio', 'openssl'],
  sources: [],
  isSingle: true,
  perBase: false,
  async pack(materials, { to }, folder) {
    const work = `${folder}-content`
    await mkdir(work)
    const script = `set -eu
      cd "$1"
      gzip --fast --stdout "$2" >rootfs.ext4.gz
      sha256=$(sha256sum rootfs.ext4.gz | cut -d' ' -f1)
      printf '%s\n' 'software = {' "  version = \\"$3.0\\";" '  hardware-compatibility: [ "1.0" ];' \
        '  images: ( {' '    filename = "rootfs.ext4.gz";' '    type = "raw";' '    device = "/mnt/slot";' \
        '    compressed = "zlib";' '    installed-directly = true;' "    sha256 = \\"$sha256\\";" '  } );' '}' >sw-description
      openssl cms -sign -in sw-description -out sw-description.sig -signer "$4/cert.pem" -inkey "$4/private.pem" \
        -outform DER -nosmimecap -binary
      printf '%s\n' sw-description sw-description.sig rootfs.ext4.gz | cpio --quiet -o -H crc >"$5/acme.swu"`
    await run(['sh', '-c', script, 'sh', work, imageOf(materials, to), to, materials.keys, folder])
  },
  disk: () => undefined,
  async begin(place) {
    const { materials, group, disk, stick } = place
    // The description names the device once for all; in a mount namespace of its own /mnt is ours.
    const script = 'mount -t tmpfs slots /mnt; ln -s "$1" /mnt/slot; shift; exec "$@"'
    const install = ['swupdate', '-i', join(stick, 'acme.swu'), '-k', join(materials.keys, 'cert.pem')]
    return slotInstallation(place, () =>
      group.run([
        'unshare',
        '--mount',
        'sh',
        '-euc',
        script,
        'sh',
        disk.device,
        ...install,
        '-H',
        'board:1.0',
        '-M',
        '-m',
      ]),
    )
  },
}
