/** A control group for everything that one contender runs: what it used, and how fast it may read from the stick. */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isThere } from '../src/base/files.ts'
import { run, start } from '../src/base/run.ts'

export interface Group {
  /** run a command in it to its end */
  run(argv: readonly string[]): Promise<string>
  /** start a command in it, with a pipe to its standard input and one from its standard output */
  start(argv: readonly string[], log: number): ReturnType<typeof start>
  /** seconds of processor time so far, of processes that have ended too */
  cpu(): Promise<number>
  /** @returns the peak of the memory of all processes together during `work`, in bytes */
  watchMemory(work: () => Promise<void>): Promise<{ pss: number; rss: number }>
  /** from now on its processes read at most so many bytes a second from the device */
  throttle(device: string, bytes: number): Promise<void>
  /** kill what is left in it, and remove it; again changes nothing */
  end(): Promise<void>
}

/** Milliseconds between two looks at the memory. */
const LOOK = 40

const NAME = 'superblock-bench' // bench/run removes it after a run that was killed

export async function makeGroup(): Promise<Group> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map(line => line.split(' '))
  const unified = mounts.find(([, , type]) => type === 'cgroup2')?.[1]
  if (unified === undefined) throw new Error('cannot measure: no cgroup2 file system is mounted')
  // Where the older hierarchy has the controller for disks, the newer one has not.
  const older = mounts.find(([, , type, options]) => type === 'cgroup' && options?.split(',').includes('blkio'))?.[1]
  const main = join(unified, NAME)
  const disks = older === undefined ? undefined : join(older, NAME)
  for (const folder of [main, disks]) if (folder !== undefined) await mkdir(folder, { recursive: true })
  if (disks === undefined) await writeFile(join(unified, 'cgroup.subtree_control'), '+io')
  const enter = [main, disks].filter(folder => folder !== undefined).map(folder => `echo $$ >${folder}/cgroup.procs; `)
  const inside = (argv: readonly string[]) => ['sh', '-euc', `${enter.join('')}exec "$@"`, 'sh', ...argv]
  const processes = async (folder: string) =>
    (await readFile(join(folder, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean)

  return {
    run: async argv => (await run(inside(argv))).stdout,
    start: (argv, log) => start(inside(argv), ['pipe', 'pipe', log]),
    async cpu() {
      const text = await readFile(join(main, 'cpu.stat'), 'utf8')
      return Number(/^usage_usec (\d+)/m.exec(text)?.[1]) / 1e6
    },
    async watchMemory(work) {
      const peak = { pss: 0, rss: 0 }
      let working = true
      const watching = (async () => {
        for (; working; await sleep(LOOK)) {
          const all = await Promise.all((await processes(main)).map(memoryOf))
          peak.pss = Math.max(peak.pss, sum(all.map(one => one.pss)))
          peak.rss = Math.max(peak.rss, sum(all.map(one => one.rss)))
        }
      })()
      await work().finally(() => {
        working = false
        return watching
      })
      return peak
    },
    async throttle(device, bytes) {
      const number = (await readFile(`/sys/block/${basename(device)}/dev`, 'utf8')).trim()
      if (disks !== undefined) await writeFile(join(disks, 'blkio.throttle.read_bps_device'), `${number} ${bytes}`)
      else await writeFile(join(main, 'io.max'), `${number} rbps=${bytes}`)
    },
    async end() {
      for (const folder of [main, disks]) {
        if (folder === undefined || !(await isThere(folder))) continue
        for (let patience = 200; !(await rmdir(folder).then(...yesOrNo)); patience--) {
          if (patience === 0) throw new Error(`cannot remove the control group ${folder}: a process in it does not end`)
          for (const pid of await processes(folder)) kill(Number(pid))
          await sleep(50)
        }
      }
    },
  }
}

const yesOrNo = [() => true, () => false] as const

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {} // it has ended by itself
}

/** Resident bytes of a process: all, and with what it shares counted in parts (proc(5), smaps_rollup). */
async function memoryOf(pid: string): Promise<{ pss: number; rss: number }> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
  return { pss: kib('Pss'), rss: kib('Rss') }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
