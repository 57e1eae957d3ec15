/** One installation from a stick to a disk, measured; and the packages that are on the sticks. */
import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { run } from '../src/base/run.ts'
import { cached, code, scratch, sources } from './cache.ts'
import type { Contender, Way } from './contender.ts'
import { imageOf } from './contenders/slot.ts'
import { attach, makeExt4, megabytesOf } from './disk.ts'
import { makeGroup } from './group.ts'
import { versionOf } from './machine.ts'
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
  const { name, perBase, programs } = contender
  const label = `${name.replaceAll(' ', '-')}-${materials.size}-${perBase ? `${way.from}-` : ''}${way.to}`
  const { commits, keys } = materials
  const versions = await Promise.all(programs.map(versionOf))
  const makers = [code(contender.pack), await sources(...contender.sources), ...versions]
  const parts = [keys, commits[way.from], commits[way.to], imageOf(materials, way.to)]
  const folder = await cached(`stick-${label}`, [...makers, ...parts], async path => {
    const content = join(await scratch('content'), 'stick')
    await mkdir(content)
    const from = performance.now()
    await contender.pack(materials, way, content)
    const seconds = (performance.now() - from) / 1000
    await mkdir(path)
    const entries = await readdir(content, { recursive: true, withFileTypes: true })
    let bytes = 0
    for (const entry of entries) if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
    // Small files take a block and an inode each.
    const megabytes = Math.ceil((await megabytesOf(content)) * 1.1 + entries.length / 500) + 16
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
  const undo: (() => Promise<unknown>)[] = [() => run(['rm', '-rf', '--one-file-system', work])]
  try {
    const template = contender.disk(materials, way)
    if (template) await run(['cp', '--sparse=always', template, at('disk.img')])
    const { size } = await stat(template ?? imageOf(materials, way.to))
    // A disk has its room already; what finds room in a file would be measured as well.
    await run(['fallocate', `--length=${size}`, at('disk.img')])
    await mkdir(at('place'))
    const log = await open(at('log'), 'w')
    undo.push(() => log.close())
    const disk = await attach(at('disk.img'))
    undo.push(() => disk.remove())
    const stick = await attach(pack.stick, { readOnly: true })
    undo.push(() => stick.remove())
    const group = await makeGroup()
    undo.push(() => group.end())
    await stick.mount(at('stick'))
    if (rate !== undefined) await group.throttle(stick.device, rate)
    const place = { materials, way, group, disk, stick: at('stick'), folder: at('place'), log: log.fd }
    const installation = await contender.begin(place)
    undo.push(() => installation.end())
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
  } catch (error) {
    throw new Error(`cannot measure ${contender.name}: ${await readFile(at('log'), 'utf8').catch(() => '')}`, {
      cause: error,
    })
  } finally {
    // What cannot be undone keeps nobody from the rest, and hides no error; bench/run tidies up at the end.
    for (const step of undo.reverse())
      await step().catch((error: Error) => process.stderr.write(`cannot tidy up: ${error.message}\n`))
  }
}
