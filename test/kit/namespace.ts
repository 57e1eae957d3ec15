/** A running emulated device: its namespaces, PID 1 and the processes in them, seen from the host. */
import { once } from 'node:events'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type RunOptions, type RunResult, run, start } from '../../src/base/run.ts'
import { PROJECT } from './project.ts'

export type Ending = 'reboot' | 'gone'

export interface Namespace {
  /** resolves when no process of it is left */
  ended: Promise<Ending>
  startService(): Promise<void>
  /** start what watches over a trial, where there is one; resolves when it is ready, or the device has rebooted for it */
  watchTrial(): Promise<void>
  /** of the service, as the host counts; undefined when it does not run */
  servicePid(): Promise<number | undefined>
  /** resolves with the exit status of a service that was started and ended since */
  serviceExited(): Promise<number>
  /** run a command inside, as root of the device */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult>
  /** run a command in its namespaces, but with the host's paths: the device's / is DEVICE/root */
  enter(argv: readonly string[]): Promise<RunResult>
  /** the plug is pulled: everything inside is gone when this returns */
  cut(): Promise<void>
}

export interface BootOptions {
  /** the device's folder, with sysroot/ shared/ root/ esp/ hardware/ boot_id and log in it */
  device: string
  deployment: string
  /** the stateroot's /var */
  var: string
}

/**
 * A root folder whose /usr holds the programs of the device (ostree, bash…): the host's, unless the environment names
 * another, so that all tests can run against another release of them.
 */
const USERLAND = process.env.SUPERBLOCK_USERLAND ?? '/'

/** Start the namespaces and wait until PID 1 listens. */
export async function bootNamespace({ device, deployment, var: state }: BootOptions): Promise<Namespace> {
  const log = await open(join(device, 'log'), 'a')
  const node = USERLAND === '/' ? process.execPath : join(USERLAND, 'usr/bin/node')
  const boot = ['boot', device, deployment, state, USERLAND.replace(/\/$/, ''), node, PROJECT]
  const unshare = start(
    ['unshare', '-rmpf', '--kill-child', 'bash', join(PROJECT, 'test/kit/init.sh'), ...boot],
    ['pipe', 'pipe', log.fd],
  )
  const exited = once(unshare, 'exit')
  await log.close()

  const heard: string[] = []
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const look of [...waiting]) look()
  }
  let over = false
  if (unshare.stdout)
    createInterface({ input: unshare.stdout }).on('line', line => {
      heard.push(line)
      wake()
    })
  unshare.stdin?.on('error', () => {}) // its end is what `ended` tells
  const ended = exited.then((): Ending => {
    over = true
    wake()
    return heard.includes('reboot') ? 'reboot' : 'gone'
  })
  /** The first line from place `since` on that starts with `word`. */
  const hear = (word: string, since: number) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const line = heard.slice(since).find(line => line.startsWith(word))
        if (line === undefined && !over) return
        waiting.delete(look)
        if (line !== undefined) resolve(line)
        else reject(new Error(`cannot go on with the device: it ended; see ${join(device, 'log')}`))
      }
      waiting.add(look)
      look()
    })

  try {
    await hear('ready', 0)
  } catch (error) {
    throw new Error(`cannot boot the device: ${await readFile(join(device, 'log'), 'utf8')}`, { cause: error })
  }
  const pid1 = (await children(unshare.pid ?? 0))[0]
  if (pid1 === undefined) throw new Error('cannot boot the device: PID 1 ended')
  const nsenter = ['nsenter', '-t', String(pid1), '-U', '-m', '-p', '--preserve-credentials']

  return {
    ended,
    async startService() {
      const since = heard.length
      unshare.stdin?.write('start\n')
      await hear('started', since)
    },
    async watchTrial() {
      const since = heard.length
      unshare.stdin?.write('watch\n')
      await hear('watched', since).catch(error => {
        if (!heard.includes('reboot')) throw error
      })
    },
    async servicePid() {
      const last = heard.findLast(line => /^(started|exited)/.test(line)) ?? ''
      return last.startsWith('started ') ? findInside(pid1, Number(last.slice(8))) : undefined
    },
    async serviceExited() {
      const since = heard.findLastIndex(line => line.startsWith('started'))
      return Number((await hear('exited', since)).slice(7))
    },
    exec(argv, { env, ...options } = {}) {
      const environment = {
        PATH: '/run/superblock-kit/bin:/usr/sbin:/usr/bin',
        HOME: '/',
        LC_ALL: 'C.UTF-8',
        OSTREE_SYSROOT_DEBUG: 'mutable-deployments,no-xattrs',
        ...env,
      }
      // Nothing of the host's environment reaches into the device.
      const clean = ['env', '-i', ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)]
      return run([...nsenter, '-r', '-w', ...clean, ...argv], options)
    },
    enter: argv => run([...nsenter, ...argv]),
    async cut() {
      if (!over) process.kill(pid1, 'SIGKILL')
      await ended
    },
  }
}

async function children(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return list.split(' ').filter(Boolean).map(Number)
}

/** The host's number of the process that has the number `inner` in the namespace below `pid`. */
async function findInside(pid: number, inner: number): Promise<number | undefined> {
  for (const child of await children(pid)) {
    const status = await readFile(`/proc/${child}/status`, 'utf8').catch(() => '')
    if (Number(/^NSpid:.*\s(\d+)$/m.exec(status)?.[1]) === inner) return child
    const below = await findInside(child, inner)
    if (below !== undefined) return below
  }
  return undefined
}

/** Give the device a boot id of its own: how a service tells a reboot from a restart. */
export const writeBootId = (device: string) => writeFile(join(device, 'boot_id'), `${crypto.randomUUID()}\n`)
