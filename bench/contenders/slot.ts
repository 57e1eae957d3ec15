/** What the image-based contenders have in common: a raw slot, which holds exactly the image afterwards. */
import { run } from '../../src/base/run.ts'
import type { Installation, Place } from '../contender.ts'
import type { Materials } from '../materials.ts'
import type { Version } from '../trees.ts'

export function imageOf({ images }: Materials, version: Version): string {
  const image = images[version]
  if (image === undefined) throw new Error(`cannot write release ${version} to a slot: it has no image`)
  return image
}

/** @param install what the user does */
export function slotInstallation(
  { materials, way, group, disk }: Place,
  install: () => Promise<unknown>,
): Installation {
  return {
    run: install,
    flush: async () => void (await run(['sync', disk.device])),
    check: async () => void (await run(['cmp', `--bytes=${disk.size}`, imageOf(materials, way.to), disk.device])),
    end: () => group.end(),
  }
}
