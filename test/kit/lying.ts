/** Broken sticks for an emulated device: see lying-fs.ts. Only for root. */
import { once } from 'node:events'
import { mkdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { run, start } from '../../src/base/run.ts'
import type { Device } from './device.ts'
import type { Behaviour, Spec } from './lying-fs.ts'
import { inside } from './mounts.ts'
import { PROJECT } from './project.ts'

export interface LyingStick {
  /** its mount folder, as the device sees it */
  path: string
  behave(behaviour: Behaviour): Promise<void>
  /** as when it is pulled */
  remove(): Promise<void>
}

let program: Promise<string> | undefined

/** Beside the programs, so that koffi is found; bundled once a process. */
async function bundled(): Promise<string> {
  const outfile = join(PROJECT, `dist/lying-fs.${process.pid}.js`)
  await build({
    ...{ entryPoints: [join(PROJECT, 'test/kit/lying-fs.ts')], outfile, bundle: true, platform: 'node' },
    ...{ target: 'node20', format: 'esm', external: ['koffi'], logLevel: 'warning' },
  })
  return outfile
}

/** Insert a stick into a device that is on. */
export async function plugLying(device: Device, name: string, spec: Spec): Promise<LyingStick> {
  program ??= bundled()
  const shared = join(device.folder, 'shared/media', name)
  await mkdir(shared, { recursive: true })
  const at = join(device.folder, 'root/run/superblock/media', name)
  const enter = await inside(device)
  const child = start(
    [...enter, process.execPath, await program, at, JSON.stringify(spec)],
    ['pipe', 'pipe', 'inherit'],
  )
  const exited = once(child, 'exit')
  if (!child.stdout) throw new Error('cannot start a lying stick')
  const lines = createInterface({ input: child.stdout })
  await once(lines, 'line')
  return {
    path: `/run/superblock/media/${name}`,
    async behave(behaviour) {
      const heard = once(lines, 'line')
      child.stdin?.write(`${JSON.stringify(behaviour)}\n`)
      await heard
    },
    async remove() {
      await run([...enter, 'umount', '--lazy', at], { accept: [32] })
      child.kill('SIGKILL')
      await exited
      await rmdir(shared).catch(() => {})
    },
  }
}
