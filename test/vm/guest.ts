/**
 * What the lab does inside of a machine, without a change to its image: systemd takes a unit from the firmware's
 * configuration, as credentials, and the unit runs agent.pl, which speaks through a virtio serial port.
 */
import { EventEmitter, once } from 'node:events'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Snapshot } from '../../src/control/protocol.ts'
import { PROJECT } from '../kit/project.ts'
import { connectTo, eachLine } from './qmp.ts'

const AGENT = join(PROJECT, 'test/vm/agent.pl')

const UNIT = `[Unit]
Description=Device lab
BindsTo=dev-virtio\\x2dports-lab.device
After=dev-virtio\\x2dports-lab.device
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
ExecStart=/usr/bin/perl /run/credentials/@system/lab
OOMScoreAdjust=-900
`

/** Names in the firmware's configuration are short: the unit has one letter, and the root mount, which every boot has, pulls it in. */
const CREDENTIALS = {
  'systemd.extra-unit.l.service': UNIT,
  'systemd.unit-dropin.-.mount': '[Unit]\nWants=l.service\n',
}

/** Whatever goes into a machine: one that was saved with something else cannot be used. */
export const guestDigest = async () => JSON.stringify(CREDENTIALS) + (await readFile(AGENT, 'utf8'))

/** Write the credentials to `folder`. @returns QEMU's arguments for the agent, which is spoken to through `socket` */
export async function guestArguments(folder: string, socket: string): Promise<string[]> {
  for (const [name, text] of Object.entries(CREDENTIALS)) await writeFile(join(folder, name), text)
  await copyFile(AGENT, join(folder, 'lab'))
  return [
    ...[...Object.keys(CREDENTIALS), 'lab'].flatMap(name => [
      '-fw_cfg',
      `name=opt/io.systemd.credentials/${name},file=${join(folder, name)}`,
    ]),
    ...['-device', 'virtio-serial', '-chardev', `socket,id=lab,path=${socket},server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=lab,name=lab'],
  ]
}

/**
 * The same for a machine whose firmware does not tell the kernel of its configuration: the units lie in the /etc of a deployment
 * that was never started, and releases that are installed later take them over with it.
 */
export async function plantGuest(etc: string): Promise<void> {
  const agent = 'lab-agent.pl'
  const files = {
    [agent]: await readFile(AGENT, 'utf8'),
    'systemd/system/l.service': UNIT.replace('/run/credentials/@system/lab', `/etc/${agent}`),
    'systemd/system/-.mount.d/lab.conf': CREDENTIALS['systemd.unit-dropin.-.mount'],
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(etc, name)), { recursive: true })
    await writeFile(join(etc, name), text)
  }
}

export interface Guest {
  /** the kernel's name of the boot whose agent is there; empty while there is none */
  bootId(): string
  /** what the service said last; undefined while it is away */
  snapshot(): Snapshot | undefined
  /** Resolves when the agent has said something by itself, after half a second in any case. */
  news(): Promise<void>
  /** Run a shell command as root. @throws Lost when the machine goes down meanwhile, Error when it is late or fails */
  run(command: string, options?: { seconds?: number; accept?: readonly number[] }): Promise<string>
  /** The bytes of a file. */
  read(path: string): Promise<Buffer>
  /** A request to the service; snapshots that are older than its answer are forgotten. */
  http(request: string): Promise<string>
  /** There is an agent already: the machine was woken, not booted. */
  woken(bootId: string): void
  /** The machine was reset: what is under way has no answer. */
  lost(): void
  close(): void
}

/** The machine went down, or is not up yet. */
export class Lost extends Error {}

const SECONDS = 300

export async function openGuest(path: string, given: () => boolean): Promise<Guest> {
  const socket = await connectTo(path, given)
  const waiting = new Map<string, { resolve: (answer: [string, Buffer]) => void; reject: (error: Error) => void }>()
  const told = new EventEmitter()
  let boot = ''
  let snapshot: Snapshot | undefined
  let last = 0
  const lost = () => {
    boot = ''
    snapshot = undefined
    for (const { reject } of waiting.values()) reject(new Lost('the machine went down'))
    waiting.clear()
  }
  eachLine(socket, line => {
    const [id = '', status = '', text = ''] = line.split(' ')
    if (id === 'ready') {
      lost()
      boot = status
    } else if (id === 'snapshot')
      snapshot = status ? (JSON.parse(Buffer.from(status, 'hex').toString()) as Snapshot) : undefined
    told.emit('news')
    waiting.get(id)?.resolve([status, Buffer.from(text, 'hex')])
    waiting.delete(id)
  })
  socket.on('close', lost)

  async function ask(verb: string, what: string, seconds = SECONDS): Promise<[string, Buffer]> {
    if (boot === '') throw new Lost('the machine is not up')
    const id = `${process.pid}-${++last}`
    let timer: NodeJS.Timeout | undefined
    return new Promise<[string, Buffer]>((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      timer = setTimeout(() => {
        waiting.delete(id)
        reject(new Error(`no answer within ${seconds} s: ${what}`))
      }, seconds * 1000)
      socket.write(`${id} ${verb} ${Buffer.from(what).toString('hex')}\n`)
    }).finally(() => clearTimeout(timer))
  }

  return {
    bootId: () => boot,
    snapshot: () => snapshot,
    async news() {
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(), 500)
      await once(told, 'news', { signal: late.signal }).catch(() => {})
      clearTimeout(timer)
    },
    async run(command, { seconds, accept = [] } = {}) {
      const [status, bytes] = await ask('run', command, seconds)
      const output = bytes.toString().trimEnd()
      if (status === '0' || accept.includes(Number(status))) return output
      throw new Error(`exit status ${status}: ${command}\n${output}`)
    },
    async read(file) {
      const [status, bytes] = await ask('read', file)
      if (status !== '0') throw new Error(`cannot read ${file} in the machine: ${bytes}`)
      return bytes
    },
    async http(request) {
      const [status, bytes] = await ask('http', request)
      snapshot = undefined
      if (status !== '0') throw new Error(bytes.toString())
      return bytes.toString()
    },
    woken(bootId) {
      boot = bootId
    },
    lost,
    close: () => socket.destroy(),
  }
}
