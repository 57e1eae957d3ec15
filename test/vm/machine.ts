/** One device as a virtual machine: QEMU with a disk, a screen, a keyboard and USB, and what can be done to it from outside. */
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { start } from '../../src/base/run.ts'
import type { Snapshot } from '../../src/control/protocol.ts'
import { acceleration } from './acceleration.ts'
import { type Guest, guestArguments, Lost, openGuest } from './guest.ts'
import { openQmp, type Qmp } from './qmp.ts'

export type Firmware = 'bios' | 'efi' | 'uboot'

export interface MachineOptions {
  /** made already; logs and pictures go there */
  folder: string
  /** qcow2 */
  disk: string
  firmware?: Firmware
  /** what the clock says at the start, as QEMU's -rtc base= takes it */
  clock?: string
  /** a machine that was saved: its memory, and the boot that goes on */
  woken?: { memory: string; bootId: string }
  processors?: number
  /** false: without one, which a start takes a fifth longer with where everything is emulated */
  screen?: boolean
  /** sticks that are in when it is switched on: names and files with their bytes */
  sticks?: Record<string, string>
  /** seconds to wait for something that has no time of its own */
  patience?: number
}

export interface Machine {
  folder: string
  /** run a shell command in it as root; without an end when it goes down meanwhile: see Lost */
  run: Guest['run']
  /** the boot that is up; empty while none is */
  bootId(): string
  /** switch it on: after it was made, after a power cut */
  start(): Promise<void>
  /** what the service says, now */
  status(): Promise<Snapshot>
  /** the first snapshot that `is` accepts; reboots are waited over */
  waitFor(is: (snapshot: Snapshot) => boolean, what: string, seconds?: number): Promise<Snapshot>
  /** the next reset, as at the end of a shutdown for a reboot */
  wentDown(): Promise<void>
  /** the agent of another boot than `before` is there */
  rebooted(before: string, seconds?: number): Promise<void>
  /** a request to the service that changes something */
  request(path: string, body?: object): Promise<void>
  /** put a stick in. @param image file with its bytes */
  plug(name: string, image: string): Promise<void>
  /** pull it out, whatever goes on */
  unplug(name: string): Promise<void>
  /** press keys one after the other: QEMU's names of keys, or one letter */
  press(...keys: string[]): Promise<void>
  /** the text on the machine's own screen */
  screen(): Promise<string>
  sees(words: RegExp, seconds?: number): Promise<string>
  /** the machine's own screen as a PNG file */
  picture(file: string): Promise<void>
  reset(): Promise<void>
  /** the plug is pulled: what the disk had not been told to keep is gone */
  powerCut(): Promise<void>
  /** stop it and write its memory to a file; it is off then and can be woken with the disk as it is */
  save(memory: string): Promise<void>
  /** for the log of a failure */
  evidence(): Promise<string>
}

/** Seconds for what takes 30 to 100 where everything is emulated. */
const PATIENCE = 400

const FIRMWARE: Record<Firmware, string[]> = {
  bios: [],
  efi: ['-bios', '/usr/share/ovmf/OVMF.fd'],
  // Its script reads IDE disks; the 64-bit one resets when it starts the kernel.
  uboot: ['-bios', '/usr/lib/u-boot/qemu-x86/u-boot.rom'],
}

/** Everything about QEMU that a saved machine must find again. */
export const hardware = async (firmware: Firmware, processors: number, screen: boolean): Promise<string[]> => [
  ...['-nodefaults', '-machine', 'q35', ...(await acceleration()), '-smp', String(processors), '-m', '1024'],
  ...['-display', 'none', '-vga', screen ? 'std' : 'none', '-nic', 'none', '-device', 'qemu-xhci,id=usb'],
  ...['-device', 'i6300esb', '-action', 'watchdog=reset', ...FIRMWARE[firmware]],
  ...['-device', firmware === 'uboot' ? 'ide-hd,drive=disk' : 'virtio-blk-pci,drive=disk'],
]

export async function openMachine(options: MachineOptions): Promise<Machine> {
  const { folder, disk, firmware = 'bios', clock = 'utc', processors = 2, screen = true, patience = PATIENCE } = options
  const serial = join(folder, 'serial.log')
  let woken = options.woken
  let qemu: { qmp: Qmp; guest: Guest; ended: Promise<unknown>; kill(): void } | undefined
  const up = () => {
    if (!qemu) throw new Lost('the machine is off')
    return qemu
  }

  const machine: Machine = {
    folder,
    run: (command, how) => up().guest.run(command, how),
    bootId: () => qemu?.guest.bootId() ?? '',
    async start() {
      if (qemu) throw new Error('the machine is on')
      // A socket's path has room for 107 characters.
      const work = await mkdtemp(join(tmpdir(), 'lab-'))
      const socket = (name: string) => join(work, name)
      const child = start(
        [
          // It does not outlive the lab.
          ...[
            'setpriv',
            '--pdeathsig',
            'KILL',
            'qemu-system-x86_64',
            ...(await hardware(firmware, processors, screen)),
          ],
          ...['-drive', `if=none,id=disk,file=${disk},format=qcow2,cache=writeback`, '-rtc', `base=${clock}`],
          ...[
            '-chardev',
            `socket,id=serial,path=${socket('serial')},server=on,wait=off,logfile=${serial},logappend=on`,
            '-serial',
            'chardev:serial',
          ],
          ...['-qmp', `unix:${socket('qmp')},server=on,wait=off`, ...(await guestArguments(work, socket('guest')))],
          ...Object.entries(options.sticks ?? {}).flatMap(([name, file]) => [
            // Machines side by side share one, which none of them writes to.
            ...['-blockdev', `driver=raw,node-name=${name},file.driver=file,file.filename=${file},file.locking=off`],
            ...['-device', `usb-storage,id=${name},drive=${name},bus=usb.0,removable=on`],
          ]),
          ...(woken ? ['-incoming', `exec:cat ${woken.memory}`] : []),
        ],
        ['ignore', 'ignore', 'pipe'],
      )
      let said = ''
      child.stderr?.on('data', chunk => {
        said += chunk
      })
      const given = () => child.exitCode !== null || child.signalCode !== null
      const ended = once(child, 'exit').then(() => rm(work, { recursive: true, force: true }))
      try {
        const qmp = await openQmp(socket('qmp'), given)
        const guest = await openGuest(socket('guest'), given)
        qemu = { qmp, guest, ended, kill: () => child.kill('SIGKILL') }
        qmp.on('RESET', guest.lost)
        ended.then(() => {
          guest.close()
          qmp.close()
          qemu = undefined
        })
        if (woken) await wake(qmp, guest, woken.bootId)
        woken = undefined
      } catch (error) {
        child.kill('SIGKILL')
        throw new Error(`cannot start the machine: ${said}`, { cause: error })
      }
    },
    async status() {
      const { guest } = up()
      for (const end = Date.now() + patience * 1000; Date.now() < end; await guest.news()) {
        const now = guest.snapshot()
        if (now) return now
      }
      throw new Error('the service says nothing')
    },
    async waitFor(is, what, seconds = patience) {
      let last: Snapshot | undefined
      for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
        const snapshot = qemu?.guest.snapshot()
        last = snapshot ?? last
        if (snapshot && is(snapshot)) return snapshot
        await (qemu ? qemu.guest.news() : sleep(200))
      }
      throw new Error(`cannot find ${what} within ${seconds} s; last seen: ${describe(last)}`)
    },
    wentDown: () => new Promise(resolve => up().qmp.on('RESET', () => resolve())),
    async rebooted(before, seconds = patience) {
      for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(200)) {
        const now = machine.bootId()
        if (now !== '' && now !== before) return
      }
      throw new Error(`the machine did not start anew within ${seconds} s`)
    },
    async request(path, body = {}) {
      const content = JSON.stringify(body)
      const head = `Host: superblock\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(content)}`
      const answer = await up().guest.http(`POST ${path} HTTP/1.0\r\n${head}\r\n\r\n${content}`)
      const { error } = JSON.parse(answer) as { error?: { code: string; message: string } }
      if (error) throw new Error(`${error.message} (${error.code})`)
    },
    async plug(name, image) {
      const { qmp } = up()
      await qmp.do('blockdev-add', { 'node-name': name, driver: 'raw', file: { driver: 'file', filename: image } })
      await qmp.do('device_add', { driver: 'usb-storage', id: name, drive: name, bus: 'usb.0', removable: true })
    },
    async unplug(name) {
      const { qmp } = up()
      const gone = new Promise<void>(resolve =>
        qmp.on('DEVICE_DELETED', ({ device }) => {
          if (device === name) resolve()
        }),
      )
      await qmp.do('device_del', { id: name })
      await gone
      await qmp.do('blockdev-del', { 'node-name': name })
    },
    async press(...keys) {
      for (const key of keys) {
        await up().qmp.do('send-key', { keys: [{ type: 'qcode', data: key === ' ' ? 'spc' : key }] })
        await sleep(400)
      }
    },
    async screen() {
      // Each letter as four bytes, without line ends; before the letters of the other file stand rows and columns: vcs(4).
      const columns = (await up().guest.read('/dev/vcsa1')).readUInt8(1)
      const letters = await up().guest.read('/dev/vcsu1')
      let lines = ''
      for (let at = 0; at < letters.length; at += 4) {
        if (at > 0 && (at / 4) % columns === 0) lines += '\n'
        lines += String.fromCodePoint(letters.readUInt32LE(at))
      }
      return lines.replaceAll(/ +$/gm, '').trimEnd()
    },
    async sees(words, seconds = patience) {
      let last = ''
      for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(1000)) {
        last = await machine.screen().catch(String)
        if (words.test(last)) return last
      }
      throw new Error(`cannot see ${words} on the screen within ${seconds} s:\n${last}`)
    },
    picture: async file => void (await up().qmp.do('screendump', { filename: file, format: 'png' })),
    reset: async () => void (await up().qmp.do('system_reset')),
    async powerCut() {
      const running = qemu
      running?.kill()
      await running?.ended
    },
    async save(memory) {
      const { qmp, ended } = up()
      await qmp.do('stop')
      await qmp.do('migrate', { uri: `exec:cat >${memory}` })
      for (;;) {
        const { status } = (await qmp.do('query-migrate')) as { status: string }
        if (status === 'completed') break
        if (status === 'failed') throw new Error('cannot save the machine')
        await sleep(100)
      }
      // It may be gone before it has answered.
      await qmp.do('quit').catch(() => {})
      await ended
    },
    async evidence() {
      const parts = [`serial line: ${serial}`]
      const picture = join(folder, 'screen.png')
      await machine.picture(picture).then(
        () => parts.push(`screen: ${picture}`),
        () => {},
      )
      const journal = await machine
        .run('ostree admin status; journalctl -b --no-pager -u superblockd -n 40 -o cat', { seconds: 60 })
        .catch(String)
      return [...parts, tail(journal), tail((await readFile(serial, 'utf8').catch(String)).slice(-3000))].join('\n')
    },
  }
  return machine
}

async function wake(qmp: Qmp, guest: Guest, bootId: string): Promise<void> {
  for (;;) {
    const { status } = (await qmp.do('query-status')) as { status: string }
    if (status === 'paused') break
    await sleep(50)
  }
  guest.woken(bootId)
  await qmp.do('cont')
  // The agent told what there was to tell before the machine was saved; after an answer it tells it again.
  await guest.http('GET /v1/status HTTP/1.0\r\nHost: superblock\r\n\r\n')
}

function describe(snapshot: Snapshot | undefined): string {
  if (!snapshot) return 'nothing'
  const { job, offers, health, media } = snapshot
  const verdicts = offers.map(({ file, verdict }) => ({ file, verdict }))
  return JSON.stringify({ job, offers: verdicts, health, media }, undefined, 1)
}

const tail = (text: string) => text.split('\n').slice(-40).join('\n')
