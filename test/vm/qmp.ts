/** QEMU's machine protocol: commands and events as lines of JSON on a Unix socket (QEMU's docs/interop/qmp-spec). */
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Qmp {
  /** @throws Error with QEMU's own words */
  do(command: string, args?: object): Promise<unknown>
  /** Call `listener` with the data of every event of that name. */
  on(event: string, listener: (data: Record<string, unknown>) => void): void
  close(): void
}

interface Message {
  id?: number
  event?: string
  data?: Record<string, unknown>
  return?: unknown
  error?: { desc: string }
}

/** Connect to a socket that another process is about to open. @throws Error when `given` says that it has given up */
export async function connectTo(path: string, given: () => boolean): Promise<Socket> {
  for (;;) {
    const socket = createConnection(path)
    try {
      await once(socket, 'connect')
      socket.on('error', () => {})
      return socket
    } catch (error) {
      if (given()) throw new Error(`cannot connect to ${path}`, { cause: error })
      await sleep(50)
    }
  }
}

/** Call `listener` with every line. A machine that ends resets its connections; that is told by its exit status. */
export function eachLine(socket: Socket, listener: (line: string) => void): void {
  createInterface(socket)
    .on('line', listener)
    .on('error', () => {})
}

export async function openQmp(path: string, given: () => boolean): Promise<Qmp> {
  const socket = await connectTo(path, given)
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  const listeners = new Map<string, ((data: Record<string, unknown>) => void)[]>()
  let last = 0
  eachLine(socket, line => {
    const { id, event, data = {}, error, return: value } = JSON.parse(line) as Message
    if (event) for (const listener of listeners.get(event) ?? []) listener(data)
    if (id === undefined) return
    if (error) waiting.get(id)?.reject(new Error(`QEMU: ${error.desc}`))
    else waiting.get(id)?.resolve(value)
    waiting.delete(id)
  })
  socket.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('QEMU has ended'))
    waiting.clear()
  })
  const qmp: Qmp = {
    do: (command, args = {}) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(new Error('QEMU has ended'))
        last++
        waiting.set(last, { resolve, reject })
        socket.write(`${JSON.stringify({ execute: command, arguments: args, id: last })}\n`)
      }),
    on: (event, listener) => void listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    close: () => socket.destroy(),
  }
  await qmp.do('qmp_capabilities')
  return qmp
}
