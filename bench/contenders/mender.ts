/** Mender in its standalone form: an artifact for an update module that writes the slot. */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { Contender } from '../contender.ts'
import { imageOf, slotInstallation } from './slot.ts'

/** https://github.com/mendersoftware/mender/blob/master/Documentation/update-modules-v3-file-api.md */
const MODULE = `#!/bin/sh
set -eu
case $1 in
  Download)
    stream=$(cat "$2/stream-next")
    cat "$2/$stream" | dd of="@SLOT@" bs=1M iflag=fullblock conv=fsync status=none
    [ -z "$(cat "$2/stream-next")" ] ;;
  NeedsArtifactReboot | SupportsRollback) echo No ;;
esac
`

export const mender: Contender = {
  name: 'Mender',
  kind: 'image',
  programs: ['mender', 'mender-artifact'],
  sources: [],
  isSingle: true,
  perBase: false,
  async pack(materials, { to }, folder) {
    await run([
      ...['mender-artifact', '--compression', 'gzip', 'write', 'module-image', '-T', 'raw-slot', '-t', 'bench'],
      ...['-n', `release-${to}`, '-f', imageOf(materials, to), '-k', join(materials.keys, 'traditional.pem')],
      ...['-o', join(folder, 'acme.mender')],
    ])
  },
  disk: () => undefined,
  async begin(place) {
    const { materials, group, disk, stick, folder } = place
    for (const name of ['data', 'etc', 'modules']) await mkdir(join(folder, name))
    const at = (name: string) => join(folder, name)
    await writeFile(at('data/device_type'), 'device_type=bench\n')
    await writeFile(at('etc/artifact_info'), 'artifact_name=release-0\n')
    await writeFile(at('etc/mender.conf'), JSON.stringify({ ArtifactVerifyKey: join(materials.keys, 'public.pem') }))
    await writeFile(at('modules/raw-slot'), MODULE.replace('@SLOT@', disk.device))
    await chmod(at('modules/raw-slot'), 0o755)
    // Where its modules are cannot be configured.
    const script =
      'mount --bind "$1/modules" /usr/share/mender/modules/v3; mount --bind "$1/etc" /etc/mender; shift; exec "$@"'
    const install = ['mender', '--data', at('data'), '--no-syslog', 'install']
    return slotInstallation(place, () =>
      group.run([
        ...['unshare', '--mount', 'sh', '-euc', script, 'sh', folder, ...install, join(stick, 'acme.mender')],
      ]),
    )
  },
}
