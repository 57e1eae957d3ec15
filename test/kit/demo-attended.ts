/** The demo in a terminal: the console runs on the emulated device, and whoever sits there is the technician. */
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { start } from '../../src/base/run.ts'
import { PROJECT } from './project.ts'
import type { Sample } from './sample.ts'
import { makeStick } from './stick.ts'

const INTRODUCTION = `
The device is on and runs release 1.0. Its console opens next, and a few seconds
later a stick with release 2.0 is plugged in. Choose the release, confirm, and
let the device restart, which takes about a second here; then it checks its
health. After that go back to 1.0 with r. Leaving the console with q ends the
demo, and nothing of it stays on this machine.
`

/** Seconds in which whoever sits there lets the device restart. */
const A_DAY = 86_400

/** Returns when the console was left. */
export async function attended(sample: Sample, folder: string, say: (line: string) => void): Promise<void> {
  const { device } = sample
  await device.boot()
  say(INTRODUCTION)
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  terminal.on('SIGINT', () => process.emit('SIGINT'))
  await terminal.question('Press Enter to open the console. ')
  terminal.close()

  const stick = await makeStick(folder, 'STICK', [sample.package])
  const console = start(
    [process.execPath, join(PROJECT, 'dist/superblock.js'), '--socket', device.socket, 'console'],
    'inherit',
    { LC_ALL: process.env.LC_ALL ?? '' }, // its language is that of whoever sits there
  )
  const left = once(console, 'exit') as Promise<[number | null]>
  try {
    const playing = play(sample, stick)
    playing.catch(() => {})
    await Promise.race([left, playing])
  } finally {
    console.kill('SIGTERM')
    await left
  }
  const [status] = await left
  if (status) throw new Error(`cannot go on: the console ended with exit status ${status}`)
}

/** What happens to the device from outside: the stick comes, and after each shutdown the boot loader runs again. */
async function play({ device }: Sample, stick: { name: string; folder: string }): Promise<never> {
  await sleep(3000)
  await device.insert(stick)
  for (;;) {
    await device.rebooted(A_DAY)
    await device.boot()
    await device.insert(stick)
  }
}
