/** The engine's verbs on an emulated device: each runs in a process there, on the device's own ostree and node. */
import { cp, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { Failure } from '../../src/base/failure.ts'
import type { Device } from './device.ts'
import type { Verbs } from './engine-host.ts'
import { PROJECT } from './project.ts'

const INSIDE = '/run/superblock/verbs'
export const NODE = '/run/superblock-kit/bin/node'
/** The flip program, as the device sees it. */
export const FLIP = `${INSIDE}/flip.js`

/** Build the programs once; `folder` is a scratch folder on the host. */
export async function buildEngine(folder: string): Promise<string> {
  await build({
    entryPoints: {
      host: join(PROJECT, 'test/kit/engine-host.ts'),
      flip: join(PROJECT, 'src/ostree/flip.ts'),
    },
    outdir: folder,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'warning',
  })
  return folder
}

/** Put them on a device that is on: /run is empty after each boot. */
export async function placeEngine(device: Device, built: string): Promise<void> {
  const folder = join(device.folder, 'shared/verbs')
  await mkdir(folder)
  for (const name of ['host.js', 'flip.js']) await cp(join(built, name), join(folder, name))
  await cp(join(PROJECT, 'package.json'), join(folder, 'package.json'))
  await symlink('/run/superblock-kit/app/node_modules', join(folder, 'node_modules'))
}

/** The command line that runs a verb inside. */
export const verbLine = <V extends keyof Verbs>(verb: V, ...args: Parameters<Verbs[V]>): string[] => [
  ...[NODE, `${INSIDE}/host.js`, verb, JSON.stringify(args)],
]

/** Run a verb inside. @throws the Failure that it threw there */
export async function call<V extends keyof Verbs>(
  device: Device,
  verb: V,
  ...args: Parameters<Verbs[V]>
): Promise<Awaited<ReturnType<Verbs[V]>>> {
  const { stdout } = await device.exec(verbLine(verb, ...args))
  const answer = JSON.parse(stdout) as { value: Awaited<ReturnType<Verbs[V]>> } | { code: string; message: string }
  if ('code' in answer) throw new Failure(answer.code, answer.message)
  return answer.value
}
