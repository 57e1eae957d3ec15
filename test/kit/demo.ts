/**
 * `npm start`: the main job on a throw-away device, with the real service, packages and ostree. In a terminal the console
 * opens on it; without one every step is done and checked, and the exit status is 0 only if all of it held.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attended } from './demo-attended.ts'
import { unattended } from './demo-unattended.ts'
import { makeSample } from './sample.ts'

const say = (line: string) => console.log(line)

async function main(): Promise<number> {
  const base = tmpdir().length < 40 ? tmpdir() : '/tmp' // a socket's path has room for 107 characters
  const folder = await mkdtemp(join(base, 'superblock-demo-'))
  say('Making the sample product: a key, releases 1.0 and 2.0, a signed package of 2.0, a device that runs 1.0.')
  const making = makeSample(folder)
  const close = async () => {
    // What is half made cannot be removed while it is being made.
    const sample = await making.catch(() => undefined)
    await sample?.device.destroy()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  const stopped = new Promise<number>(resolve => {
    const numbers = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
    for (const [signal, status] of Object.entries(numbers)) process.on(signal, () => resolve(status))
  })
  const work = async () => {
    const sample = await making
    if (process.stdin.isTTY && process.stdout.isTTY) await attended(sample, folder, say)
    else await unattended(sample, folder, say)
    return 0
  }
  try {
    return await Promise.race([work(), stopped])
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return 1
  } finally {
    await close()
  }
}

process.exit(await main())
