/** RAUC: a bundle of the format `plain`, since `verity` needs the device mapper, installed by its service. */

import { once } from 'node:events'
import { copyFile, link, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { Contender } from '../contender.ts'
import { COMPATIBLE } from '../materials.ts'
import { imageOf, slotInstallation } from './slot.ts'

export const rauc: Contender = {
  name: 'RAUC',
  kind: 'image',
  programs: ['rauc', 'mksquashfs', 'dbus-run-session'],
  sources: [],
  isSingle: false,
  perBase: false,
  async pack(materials, { to }, folder) {
    const content = `${folder}-content`
    await mkdir(content)
    const image = imageOf(materials, to)
    await link(image, join(content, 'rootfs.ext4')).catch(() => copyFile(image, join(content, 'rootfs.ext4')))
    const manifest = ['[update]', `compatible=${COMPATIBLE}`, `version=${to}`, '[bundle]', 'format=plain']
    await writeFile(
      join(content, 'manifest.raucm'),
      [...manifest, '[image.rootfs]', 'filename=rootfs.ext4', ''].join('\n'),
    )
    const { keys } = materials
    await run([
      ...['rauc', 'bundle', `--cert=${join(keys, 'cert.pem')}`, `--key=${join(keys, 'private.pem')}`],
      ...[content, join(folder, 'acme.raucb')],
    ])
  },
  disk: () => undefined,
  async begin(place) {
    const { materials, group, disk, stick, folder, log } = place
    const settings = join(folder, 'system.conf')
    await mkdir(join(folder, 'mnt'))
    const slots = ['[slot.rootfs.0]', 'device=/dev/null', 'bootname=A', 'type=raw']
    const other = ['[slot.rootfs.1]', `device=${disk.device}`, 'bootname=B', 'type=raw']
    await writeFile(
      settings,
      [
        ...['[system]', `compatible=${COMPATIBLE}`, 'bootloader=noop', `mountprefix=${join(folder, 'mnt')}`],
        ...[`statusfile=${join(folder, 'status')}`, '[keyring]', `path=${join(materials.keys, 'cert.pem')}`],
        ...['check-purpose=any', ...slots, ...other, ''],
      ].join('\n'),
    )
    // The service needs a bus of its own; what is to be installed comes by standard input.
    const script = `export DBUS_STARTER_BUS_TYPE=session
      rauc --conf="$1" --override-boot-slot=A service >&2 &
      until rauc --conf="$1" status >&2; do sleep 0.1; done
      echo ready
      while read -r bundle; do rauc --conf="$1" install "$bundle" >&2; echo "ended $?"; done`
    const service = group.start(['dbus-run-session', '--', 'sh', '-c', script, 'sh', settings], log)
    const answer = async (seconds: number) => {
      const patience = { signal: AbortSignal.timeout(seconds * 1000) }
      const [said] = (await once(service.stdout ?? service, 'data', patience)) as [Buffer]
      return said.toString().trim()
    }
    if ((await answer(60)) !== 'ready') throw new Error('cannot start the service of RAUC')
    return slotInstallation(place, async () => {
      service.stdin?.write(`${join(stick, 'acme.raucb')}\n`)
      if ((await answer(1800)) !== 'ended 0') throw new Error('cannot install with RAUC')
    })
  },
}
