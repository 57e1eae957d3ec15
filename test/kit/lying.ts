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
  /** its mount folder, as it is seen where it was put in */
  path: string
  behave(behaviour: Behaviour): Promise<void>
  /** as when it is pulled */
  remove(): Promise<void>
}

let program: Promise<string> | undefined

/** The program as one text, so that no file of it is left. */
async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    ...{ entryPoints: [join(PROJECT, 'test/kit/lying-fs.ts')], bundle: true, write: false, platform: 'node' },
    ...{ target: 'node20', format: 'cjs', external: ['koffi'], logLevel: 'warning' },
  })
  return outputFiles[0]?.text ?? ''
}

/** Insert a stick into a device that is on. */
export async function plugLying(device: Device, name: string, spec: Spec): Promise<LyingStick> {
  const shared = join(device.folder, 'shared/media', name)
  await mkdir(shared, { recursive: true })
  const at = join(device.folder, 'root/run/superblock/media', name)
  const stick = await mountLying(at, spec, await inside(device))
  return {
    ...stick,
    path: `/run/superblock/media/${name}`,
    async remove() {
      await stick.remove()
      await rmdir(shared).catch(() => {})
    },
  }
}

/** Mount one on a folder. @param enter the beginning of a command line that runs where it is to be seen */
export async function mountLying(at: string, spec: Spec, enter: readonly string[] = []): Promise<LyingStick> {
  program ??= bundled()
  const modules = `NODE_PATH=${join(PROJECT, 'node_modules')}`
  const argv = [...enter, 'env', modules, process.execPath, '--eval', await program, at, JSON.stringify(spec)]
  const child = start(argv, ['pipe', 'pipe', 'inherit'])
  const exited = once(child, 'exit')
  if (!child.stdout) throw new Error('cannot start a lying stick')
  const lines = createInterface({ input: child.stdout })
  await once(lines, 'line')
  return {
    path: at,
    async behave(behaviour) {
      const heard = once(lines, 'line')
      child.stdin?.write(`${JSON.stringify(behaviour)}\n`)
      await heard
    },
    async remove() {
      await run([...enter, 'umount', '--lazy', at], { accept: [32] })
      child.kill('SIGKILL')
      await exited
    },
  }
}
