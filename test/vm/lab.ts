/** The lab: the sample product, machines that run it, and sticks for them. What took long is kept in .cache/vm by content. */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isThere } from '../../src/base/files.ts'
import { run } from '../../src/base/run.ts'
import { PROJECT } from '../kit/project.ts'
import { SAMPLE } from '../kit/sample.ts'
import { withRoot } from './disk.ts'
import { guestDigest, plantGuest } from './guest.ts'
import { hardware, type Machine, type MachineOptions, openMachine } from './machine.ts'

/** Room for three releases; the first start grows the root file system to it. */
const DISK = '3G'
/** Seconds of a first start, which makes keys, caches and machine id. */
const FIRST_START = 600
/** Seconds to wait for what is not expected to come. */
const IMPATIENCE = 180

export interface Sample {
  /** disk image of release 1.0 */
  image: string
  /** the same, started by U-Boot */
  ubootImage: string
  /** package of release 2.0 */
  package: string
  /** archive repo with both */
  repo: string
  /** folder with the signing key */
  keys: string
}

export interface Lab {
  sample: Sample
  /** of this scenario: logs, disks, sticks */
  folder: string
  /** a machine with release 1.0 that is on, its service at rest and its console on the screen */
  ready(): Promise<Machine>
  /** the same after something was done to it; made once for all who ask for this name */
  after(name: string, how: Preparation): Promise<Machine>
  /** a machine with release 1.0 that was never on */
  fresh(options?: Partial<MachineOptions>): Promise<Machine>
  /** keep a machine as it is for those who ask for `name`; it is off then */
  keep(name: string, input: string, machine: Machine): Promise<void>
  /** what is on a machine's screen, to be kept as .cache/vm/pictures/NAME.png */
  picture(machine: Machine, name: string): Promise<void>
  /** every machine of this scenario */
  machines: readonly Machine[]
}

export interface Preparation {
  make: (machine: Machine) => Promise<void>
  /** what else goes into it: other inputs, another machine */
  input?: string
  /** from where it begins; `ready` without it */
  from?: () => Promise<Machine>
  /** that are in afterwards */
  sticks?: Record<string, string>
}

const CACHE = join(PROJECT, '.cache/vm')

export async function findSample(): Promise<Sample> {
  const made = await realpath(join(PROJECT, '.cache/sample/latest'))
  return {
    image: join(made, 'acme-1.0.img'),
    ubootImage: join(made, 'acme-1.0-uboot.img'),
    package: join(made, 'acme-2.0.superblock'),
    repo: join(made, 'repo'),
    keys: join(PROJECT, '.cache/sample/keys'),
  }
}

/**
 * @param folder of the scenario; what an earlier run left in it goes
 * @param options `breakage`: commands that break something in every machine that the scenario gets; `processors` of each, `screen` false without one
 */
export async function openLab(
  sample: Sample,
  folder: string,
  {
    breakage,
    processors = 2,
    screen = true,
  }: { breakage?: string | undefined; processors?: number; screen?: boolean } = {},
): Promise<Lab> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const machines: Machine[] = []

  async function open(options: Partial<MachineOptions> & { backing: string; format: string; size?: string }) {
    const name = `machine-${machines.length + 1}`
    const own = join(folder, name)
    await mkdir(own)
    const disk = join(own, 'disk.qcow2')
    const size = options.size ? [options.size] : []
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', options.backing, '-F', options.format, disk, ...size])
    const patience = breakage ? { patience: IMPATIENCE } : {}
    const machine = await openMachine({ processors, screen, ...options, folder: own, disk, ...patience })
    machines.push(machine)
    await machine.start()
    return machine
  }

  /** What is kept under a name depends on the image, the machine, the way into it, and what was done to it. */
  async function kept(name: string, input: string): Promise<string> {
    const all = [
      basename(dirname(sample.image)),
      ...(await hardware('bios', processors, screen)),
      await guestDigest(),
      DISK,
      input,
    ]
    return join(
      CACHE,
      `${name}-${processors}-${createHash('sha256').update(all.join('\0')).digest('hex').slice(0, 16)}`,
    )
  }

  /** The image for U-Boot, whose kernel finds no firmware that would bring the agent along, with the agent on it. */
  async function planted(): Promise<string> {
    const image = join(folder, 'uboot.img')
    if (await isThere(image)) return image
    await run(['cp', '--sparse=always', sample.ubootImage, image])
    await withRoot(image, async at => {
      const deployments = join(at, 'ostree/deploy', SAMPLE.os, 'deploy')
      for (const name of await readdir(deployments))
        if (!name.endsWith('.origin')) await plantGuest(join(deployments, name, 'etc'))
    })
    return image
  }

  async function wake(at: string, options: Pick<MachineOptions, 'sticks'> = {}): Promise<Machine> {
    const bootId = await readFile(join(at, 'boot-id'), 'utf8')
    const machine = await open({
      ...{ ...options, backing: join(at, 'disk.qcow2'), format: 'qcow2' },
      woken: { memory: join(at, 'memory'), bootId },
    })
    return machine
  }

  const fresh: Lab['fresh'] = async options => {
    const backing = options?.firmware === 'uboot' ? await planted() : sample.image
    return open({ backing, format: 'raw', size: DISK, ...options })
  }

  async function ready(): Promise<Machine> {
    const at = await kept('ready', '')
    if (!(await isThere(at))) {
      const machine = await fresh()
      await machine.waitFor(({ health }) => health?.verdict === 'good', 'a healthy device', FIRST_START)
      if (screen) await machine.sees(/Insert a stick/)
      await machine.run('systemctl is-system-running --wait', { seconds: FIRST_START, accept: [1] })
      await lab.keep('ready', '', machine)
    }
    return wake(at)
  }

  async function after(name: string, { make, input = '', from = ready, sticks = {} }: Preparation): Promise<Machine> {
    const at = await kept(name, input)
    if (!(await isThere(at))) {
      const machine = await from()
      await make(machine)
      await lab.keep(name, input, machine)
    }
    return wake(at, { sticks })
  }

  async function broken(machine: Machine): Promise<Machine> {
    if (!breakage) return machine
    await machine.rebooted('')
    await machine.run(breakage)
    return machine
  }

  const lab: Lab = {
    sample,
    folder,
    machines,
    fresh: async options => broken(await fresh(options)),
    ready: async () => broken(await ready()),
    after: async (name, how) => broken(await after(name, how)),
    async picture(machine, name) {
      await mkdir(join(CACHE, 'pictures'), { recursive: true })
      await machine.picture(join(CACHE, 'pictures', `${name}.png`))
    },
    async keep(name, input, machine) {
      const at = await kept(name, input)
      const work = `${at}.unfinished`
      await rm(work, { recursive: true, force: true })
      await mkdir(work, { recursive: true })
      const bootId = machine.bootId()
      await machine.save(join(work, 'memory'))
      await writeFile(join(work, 'boot-id'), bootId)
      // The disk stands on another one, which may go; what is kept stands on the image alone. (To convert it to one that
      // stands there would leave out what the disk below it has.)
      const disk = join(machine.folder, 'disk.qcow2')
      await run(['qemu-img', 'rebase', '-f', 'qcow2', '-b', sample.image, '-F', 'raw', disk])
      await run(['cp', '--sparse=always', disk, join(work, 'disk.qcow2')])
      for (const other of await readdir(CACHE))
        if (other.startsWith(`${name}-${processors}-`) && other !== basename(work))
          await rm(join(CACHE, other), { recursive: true, force: true })
      await rename(work, at)
    },
  }
  return lab
}
