/** casync: chunks on the stick, those that the old slot has are taken from there. It checks no signature. */
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import type { Contender } from '../contender.ts'
import { imageOf, slotInstallation } from './slot.ts'

export const casync: Contender = {
  name: 'casync',
  kind: 'image',
  programs: ['casync'],
  sources: [],
  isSingle: true,
  perBase: false,
  async pack(materials, { to }, folder) {
    await run([
      ...['casync', 'make', `--store=${join(folder, 'store.castr')}`],
      ...[join(folder, 'acme.caibx'), imageOf(materials, to)],
    ])
  },
  disk: () => undefined,
  async begin(place) {
    const { materials, way, group, disk, stick } = place
    const seed = way.from === '0' ? [] : [`--seed=${imageOf(materials, way.from)}`]
    const extract = ['casync', 'extract', `--store=${join(stick, 'store.castr')}`, ...seed]
    return slotInstallation(place, () => group.run([...extract, join(stick, 'acme.caibx'), disk.device]))
  },
}
