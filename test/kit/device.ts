/**
 * An emulated device, rootless: a folder with a sysroot, booted by playing the boot loader and starting the service in
 * namespaces where the chosen deployment is / and ostree itself takes it for the booted one.
 */
import { chmod, cp, mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isThere } from '../../src/base/files.ts'
import { type RunOptions, type RunResult, run } from '../../src/base/run.ts'
import { type Client, connect } from '../../src/control/client.ts'
import { isUnreachable } from '../../src/control/protocol.ts'
import type { Snapshot } from '../../src/update/snapshot.ts'
import { type BootEntry, chooseByUboot, chooseEntry } from './bootloader.ts'
import { bootNamespace, type Ending, type Namespace, writeBootId } from './namespace.ts'
import type { Stick } from './stick.ts'
import { makeSysroot } from './sysroot.ts'

export interface DeviceOptions {
  /** made here; short, since the control socket lies in it and a socket's path has room for 107 characters */
  folder: string
  /** archive repo that holds `ref`, the release the device leaves the factory with */
  repo: string
  ref: string
  os: string
  /** the device's own configuration, TOML */
  config?: string
  /** public key files for /etc/superblock/keys */
  keys?: readonly string[]
  /** default: grub */
  bootLoader?: 'grub' | 'uboot'
}

export interface Device {
  folder: string
  sysroot: string
  /** the control socket, as the host sees it */
  socket: string
  /** requests to the service */
  client: Client
  /**
   * play the boot loader and start PID 1; unless `service` is false, what watches over a trial is started and then the service;
   * with `watch` only the former
   * @param options `menu`: GRUB's, where the entries that it was made from do not say the same any more
   */
  boot(options?: { service?: boolean; watch?: boolean; menu?: readonly BootEntry[] }): Promise<BootEntry>
  /** what the watchdog says of the last reset, from the next boot on */
  setWatchdog(fired: boolean): Promise<void>
  /** the kernel's crash records, from the next boot on */
  crash(record: string): Promise<void>
  service: {
    start(): Promise<void>
    /** send a signal and wait for the end; @returns the exit status as a shell tells it */
    kill(signal: NodeJS.Signals): Promise<number>
    /** resolves with the exit status once it has ended by itself */
    exited(): Promise<number>
    /** as the host counts; undefined when it does not run */
    pid(): Promise<number | undefined>
    /** resident memory in bytes: now, and the most it ever was */
    memory(): Promise<{ now: number; peak: number }>
  }
  insert(stick: Stick): Promise<void>
  /** lazy: as when it is pulled without asking; files that are open stay readable */
  remove(stick: Stick, options?: { lazy?: boolean }): Promise<void>
  /** the plug is pulled: nothing gets a chance to end in an orderly way */
  powerCut(): Promise<void>
  /** resolves when the device has shut down for a reboot that was asked for in it; `boot` plays the next boot */
  rebooted(seconds?: number): Promise<void>
  /** run a command inside, as root of the device */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult>
  /** run the `superblock` command inside */
  cli(argv: readonly string[], options?: RunOptions): Promise<RunResult>
  /** the first snapshot that `is` accepts, from now on; restarts of service and device are waited over */
  waitFor(is: (snapshot: Snapshot) => boolean, what: string, seconds?: number): Promise<Snapshot>
  /** what the service wrote, over all boots */
  log(): Promise<string>
  /** cut the power and remove the folder */
  destroy(): Promise<void>
}

/** Reboots are asked of PID 1; sticks are looked for often, since nothing tells of them here. */
const CONFIG = `[reboot]
command = ["sh", "-c", "kill -TERM 1"]

[media]
tick = 0.2
`

export async function makeDevice({
  folder,
  repo,
  ref,
  os,
  config = '',
  keys = [],
  bootLoader = 'grub',
}: DeviceOptions): Promise<Device> {
  const sysroot = join(folder, 'sysroot')
  const shared = join(folder, 'shared')
  const socket = join(shared, 'control.sock')
  if (socket.length > 107) throw new Error(`cannot make a device in ${folder}: the path is too long for a socket`)
  await mkdir(join(folder, 'root'), { recursive: true })
  await writeFile(join(folder, 'log'), '')
  await makeSysroot(sysroot, { repo, ref, os, bootLoader })
  const esp = join(folder, 'esp')
  const hardware = join(folder, 'hardware')
  await mkdir(esp)
  await mkdir(join(hardware, 'fs/pstore'), { recursive: true })
  await mkdir(join(hardware, 'class/watchdog/watchdog0'), { recursive: true })
  await writeFile(join(hardware, 'class/watchdog/watchdog0/bootstatus'), '0\n')
  if (bootLoader === 'uboot') await writeFile(join(esp, 'boot.scr'), '')
  const choose = (menu?: readonly BootEntry[]) =>
    bootLoader === 'uboot' ? chooseByUboot(sysroot, esp) : chooseEntry(sysroot, menu)
  const etc = join((await choose()).folder, 'etc/superblock')
  await mkdir(join(etc, 'superblock.d'), { recursive: true })
  await mkdir(join(etc, 'keys'), { recursive: true })
  await writeFile(join(etc, 'superblock.d/10-kit.toml'), CONFIG)
  await writeFile(join(etc, 'superblock.d/50-device.toml'), config)
  for (const key of keys) await cp(key, join(etc, 'keys', basename(key)))

  const client = connect(socket)
  let running: Namespace | undefined
  /** as it was booted last, which may have rebooted by itself before anybody waits for that */
  let last: Namespace | undefined
  let booting: Promise<Namespace | undefined> = Promise.resolve(undefined)
  const up = () => {
    if (!running) throw new Error('cannot do this: the device is off')
    return running
  }
  /** Nothing of an earlier boot is in /run. */
  const clearRun = async () => {
    await rm(shared, { recursive: true, force: true })
    await mkdir(shared)
    await chmod(shared, 0o755)
  }
  const mountFolder = (stick: Stick) => join(folder, 'root/run/superblock/media', stick.name)

  const device: Device = {
    folder,
    sysroot,
    socket,
    client,
    async boot({ service = true, watch = service, menu } = {}) {
      if (running) throw new Error('cannot boot: the device is on')
      await clearRun()
      await writeBootId(folder)
      const entry = await choose(menu)
      const starting = bootNamespace({
        device: folder,
        deployment: entry.folder,
        var: join(entry.folder, '../../var'),
      })
      booting = starting.catch(() => undefined)
      const namespace = await starting
      running = last = namespace
      namespace.ended.then(() => {
        if (running === namespace) running = undefined
      })
      if (watch) await namespace.watchTrial()
      if (service && running) await device.service.start()
      return entry
    },
    setWatchdog: fired => writeFile(join(hardware, 'class/watchdog/watchdog0/bootstatus'), fired ? '32\n' : '0\n'),
    crash: record => writeFile(join(hardware, 'fs/pstore', record), 'Oops\n'),
    service: {
      async start() {
        const namespace = up()
        await namespace.startService()
        await Promise.race([
          answers(),
          namespace.serviceExited().then(async status => {
            throw new Error(`cannot start the service: exit status ${status}\n${tail(await device.log())}`)
          }),
        ])
      },
      async kill(signal) {
        const namespace = up()
        const pid = await namespace.servicePid()
        if (pid === undefined) throw new Error('cannot kill the service: it does not run')
        process.kill(pid, signal)
        return namespace.serviceExited()
      },
      exited: () => up().serviceExited(),
      pid: () => up().servicePid(),
      async memory() {
        const text = await readFile(`/proc/${await up().servicePid()}/status`, 'utf8')
        const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024
        return { now: kib('VmRSS'), peak: kib('VmHWM') }
      },
    },
    async insert(stick) {
      await mkdir(join(shared, 'media', stick.name), { recursive: true })
      const at = mountFolder(stick)
      await up().enter(['mount', '--bind', stick.folder, at])
      await up().enter(['mount', '-o', 'remount,bind,ro,nosuid,nodev,noexec', at])
    },
    async remove(stick, { lazy = false } = {}) {
      await up().enter(['umount', ...(lazy ? ['--lazy'] : []), mountFolder(stick)])
      await rmdir(join(shared, 'media', stick.name))
    },
    async powerCut() {
      const namespace = running ?? (await booting)
      await namespace?.cut()
      running = last = undefined
    },
    async rebooted(seconds = 30) {
      if (!last) throw new Error('cannot wait for a reboot: the device is off')
      if ((await within(seconds, 'a reboot', last.ended)) !== ('reboot' satisfies Ending))
        throw new Error('cannot find a reboot: the device went off by itself')
      running = last = undefined
    },
    exec: (argv, options) => up().exec(argv, options),
    cli: (argv, options) =>
      up().exec(['/run/superblock-kit/bin/node', '/run/superblock-kit/app/dist/superblock.js', ...argv], options),
    async waitFor(is, what, seconds = 30) {
      let last: Snapshot | undefined
      const until = AbortSignal.timeout(seconds * 1000)
      for await (const snapshot of snapshots(client, until)) {
        last = snapshot
        if (is(snapshot)) return snapshot
      }
      const seen = last && JSON.stringify({ job: last.job, offers: last.offers, health: last.health }, undefined, 1)
      throw new Error(`cannot find ${what} within ${seconds} s; last seen: ${seen}\n${tail(await device.log())}`)
    },
    log: () => readFile(join(folder, 'log'), 'utf8'),
    async destroy() {
      await device.powerCut()
      if (!(await isThere(folder))) return
      // Whoever is root may have made files of it immutable, wherever they lie by now; and a tree may hold folders that nobody may
      // write into.
      await run(['chattr', '-R', '-f', '-i', '-a', folder], { accept: [1] }).catch(() => {})
      await run(['chmod', '-R', 'u+w', folder])
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }

  /** Resolve when the service answers on its socket. */
  const answers = async () => {
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(20)) {
      if (!running) return
      const answer = await client.status().catch(() => undefined)
      if (answer) return
    }
    throw new Error(`cannot reach the service within 30 s\n${tail(await device.log())}`)
  }
  return device
}

/** Every snapshot that the service sends until `signal`, whatever becomes of the connection in between. */
export async function* snapshots(client: Client, signal: AbortSignal): AsyncGenerator<Snapshot> {
  while (!signal.aborted) {
    try {
      yield* client.events(signal)
    } catch (error) {
      if (!isUnreachable(error)) throw error
    }
    if (!signal.aborted) await sleep(50)
  }
}

const tail = (text: string) => text.trimEnd().split('\n').slice(-20).join('\n')

async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController()
  const late = sleep(seconds * 1000, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`cannot find ${what} within ${seconds} s`)
  })
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}
