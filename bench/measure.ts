/** One installation from a stick to a disk, measured; and the packages that are on the sticks. */
import { mkdir, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { run } from '../src/base/run.ts'
import { cached, scratch, sources } from './cache.ts'
import type { Contender, Way } from './contender.ts'
import { imageOf } from './contenders/slot.ts'
import { attach, makeExt4, megabytesOf } from './disk.ts'
import { makeGroup } from './group.ts'
import type { Materials } from './materials.ts'

/** What one installation took. */
export interface Figures {
  /** from the request to everything being on the disk */
  seconds: number
  /** of processor time, of all processes */
  cpu: number
  /** peak of all processes together, what they share counted once; bytes */
  memory: number
  /** the same with what they share counted for each */
  rss: number
  /** from the stick; bytes */
  read: number
  /** to the disk; bytes */
  written: number
  /** of the machine, in the minute before */
  load: number
  /** seconds of each step, of a contender that tells */
  steps: Record<string, number> | undefined
}

export interface Pack {
  stick: string
  /** bytes on the stick */
  bytes: number
  /** that making it took */
  seconds: number
  /** bytes of the package that every device reads, where only a part of the rest is read */
  head: number | undefined
}

/** The stick with the contender's package, made once. */
export async function makeStick(contender: Contender, materials: Materials, way: Way): Promise<Pack> {
  const { name, perBase } = contender
  const label = `${name.replaceAll(' ', '-')}-${materials.size}-${perBase ? `${way.from}-` : ''}${way.to}`
  const { repo, trees, keys } = materials
  const ingredients = [
    contender.pack.toString(),
    await sources(...contender.sources),
    keys,
    repo,
    imageOf(materials, way.to),
  ]
  const folder = await cached(`stick-${label}`, [...ingredients, trees[way.from]], async path => {
    const content = join(await scratch('content'), 'stick')
    await mkdir(content)
    const from = performance.now()
    await contender.pack(materials, way, content)
    const seconds = (performance.now() - from) / 1000
    await mkdir(path)
    const bytes = Number((await run(['du', '--summarize', '--bytes', content])).stdout.split('\t')[0])
    const { length } = await readdir(content, { recursive: true })
    // Small files take a block and an inode each.
    const megabytes = Math.ceil((await megabytesOf(content)) * 1.1 + length / 500) + 16
    await makeExt4(join(path, 'stick.img'), megabytes, content)
    const head = await contender.head?.(content)
    await writeFile(join(path, 'made.json'), JSON.stringify({ bytes, seconds, head } satisfies Omit<Pack, 'stick'>))
  })
  const made = JSON.parse(await readFile(join(folder, 'made.json'), 'utf8')) as Omit<Pack, 'stick'>
  return { ...made, stick: join(folder, 'stick.img') }
}

/**
 * @param rate of the stick, bytes a second; undefined for as fast as it is
 * @param also called after the installation, before everything ends, with the folder of the installation
 */
export async function measure(
  contender: Contender,
  materials: Materials,
  way: Way,
  pack: Pack,
  rate: number | undefined,
  also?: (folder: string) => Promise<void>,
): Promise<Figures> {
  const work = await scratch('run')
  const at = (name: string) => join(work, name)
  const template = contender.disk(materials, way)
  if (template) await run(['cp', '--sparse=always', template, at('disk.img')])
  else {
    await writeFile(at('disk.img'), '')
    await truncate(at('disk.img'), (await stat(imageOf(materials, way.to))).size)
  }
  await mkdir(at('place'))
  const log = await open(at('log'), 'w')
  const disk = await attach(at('disk.img'))
  const stick = await attach(pack.stick, { readOnly: true })
  const group = await makeGroup('superblock-bench')
  try {
    await stick.mount(at('stick'))
    if (rate !== undefined) await group.throttle(stick.device, rate)
    const place = { materials, way, group, disk, stick: at('stick'), folder: at('place'), log: log.fd }
    const installation = await contender.begin(place)
    try {
      await run(['sync'])
      await writeFile('/proc/sys/vm/drop_caches', '3')
      const before = { disk: await disk.transferred(), stick: await stick.transferred(), cpu: await group.cpu() }
      let [seconds, cpu] = [0, 0]
      const { pss, rss } = await group.watchMemory(async () => {
        const from = performance.now()
        await installation.run()
        await installation.flush()
        seconds = (performance.now() - from) / 1000
        cpu = (await group.cpu()) - before.cpu
      })
      const written = (await disk.transferred()).written - before.disk.written
      const read = (await stick.transferred()).read - before.stick.read
      await installation.check()
      await also?.(at('place'))
      return { seconds, cpu, memory: pss, rss, read, written, load: loadavg()[0] ?? 0, steps: installation.steps }
    } finally {
      await installation.end()
    }
  } catch (error) {
    throw new Error(`cannot measure ${contender.name}: ${await readFile(at('log'), 'utf8')}`, { cause: error })
  } finally {
    await group.end()
    await log.close()
    for (const one of [disk, stick]) await one.remove()
    await run(['rm', '-rf', '--one-file-system', work])
  }
}
