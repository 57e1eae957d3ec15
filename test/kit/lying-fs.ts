/**
 * A file system whose answers can lie or never come, spoken to the kernel through /dev/fuse (fuse(4), linux/fuse.h): the hardware of
 * broken sticks. Run as a program: its arguments are the mount folder and what is on it (JSON, see Spec). On standard input it
 * takes a new behaviour, as a line of JSON; on standard output it says a line when it is mounted, and after each new behaviour.
 * Only for root.
 */
import { openSync, read, readFileSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import koffi from 'koffi'

export interface Spec {
  /** names, bytes as latin1 letters, a / between folders → file whose bytes they have; '' for an empty one */
  files: { [path: string]: string }
  behaviour?: Behaviour
}

/** Operations are named as in fuse.h, small; with `:name` only for this entry. */
export interface Behaviour {
  /** never answered, until they are not listed any more */
  silent?: string[]
  /** answered with this error number */
  failing?: { [operation: string]: number }
  /** folders do not say what their entries are */
  untyped?: boolean
}

const OPERATIONS: { [code: number]: string } = {
  ...{ 1: 'lookup', 2: 'forget', 3: 'getattr', 14: 'open', 15: 'read', 17: 'statfs', 18: 'release', 25: 'flush' },
  ...{ 26: 'init', 27: 'opendir', 28: 'readdir', 29: 'releasedir', 36: 'interrupt', 38: 'destroy', 42: 'batch_forget' },
}
const [ENOENT, EIO, ENOSYS] = [2, 5, 38]
const NONE = Buffer.alloc(0)
const [DIRECTORY, REGULAR] = [0o40755, 0o100644]
const TIME = 1_700_000_000n

interface Node {
  name: Buffer
  inode: number
  bytes?: Buffer
  entries?: Node[]
}

const [at = '', text = '{}'] = process.argv.slice(-2)
const spec = JSON.parse(text) as Spec
let behaviour = spec.behaviour ?? {}
const nodes: Node[] = [{ name: Buffer.alloc(0), inode: 1, entries: [] }]

function add(parent: Node, name: string, content: Pick<Node, 'bytes' | 'entries'>): Node {
  const bytes = Buffer.from(name, 'latin1')
  const there = parent.entries?.find(one => one.name.equals(bytes))
  if (there) return there
  const node = { name: bytes, inode: nodes.length + 1, ...content }
  nodes.push(node)
  parent.entries?.push(node)
  return node
}
for (const [path, file] of Object.entries(spec.files)) {
  const names = path.split('/')
  const name = names.pop() ?? ''
  const folder = names.reduce((parent, one) => add(parent, one, { entries: [] }), nodes[0] as Node)
  add(folder, name, { bytes: file === '' ? Buffer.alloc(0) : readFileSync(file) })
}

const device = openSync('/dev/fuse', 'r+')
const libc = koffi.load('libc.so.6')
const mount = libc.func('int mount(str source, str target, str type, ulong flags, str data)')
const READ_ONLY = 1 | 2 | 4 | 8 // and without setuid, devices, programs
const options = `fd=${device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`
if (mount('lying', at, 'fuse.lying', READ_ONLY, options) !== 0) throw new Error(`cannot mount on ${at}`)
console.log('mounted')

function reply(unique: bigint, error: number, data: Uint8Array = NONE): void {
  const head = Buffer.alloc(16)
  head.writeUInt32LE(16 + data.length, 0)
  head.writeInt32LE(-error, 4)
  head.writeBigUInt64LE(unique, 8)
  try {
    writeSync(device, Buffer.concat([head, data]))
  } catch {} // who asked has gone
}

function attributes({ inode, bytes, entries }: Node): Buffer {
  const size = BigInt(bytes?.length ?? 0)
  const data = Buffer.alloc(88)
  for (const [i, value] of [BigInt(inode), size, (size + 511n) / 512n, TIME, TIME, TIME].entries())
    data.writeBigUInt64LE(value, i * 8)
  data.writeUInt32LE(entries ? DIRECTORY : REGULAR, 60)
  data.writeUInt32LE(1, 64)
  data.writeUInt32LE(4096, 80)
  return data
}

/** `.` and `..` are not needed. */
function listing(node: Node, offset: number, size: number): Buffer {
  const parts: Buffer[] = []
  let used = 0
  for (const [i, { name, inode, entries }] of (node.entries ?? []).entries()) {
    const part = Buffer.alloc(24 + Math.ceil(name.length / 8) * 8)
    if (i < offset) continue
    if (used + part.length > size) break
    part.writeBigUInt64LE(BigInt(inode), 0)
    part.writeBigUInt64LE(BigInt(i + 1), 8)
    part.writeUInt32LE(name.length, 16)
    part.writeUInt32LE(behaviour.untyped ? 0 : entries ? 4 : 8, 20)
    name.copy(part, 24)
    parts.push(part)
    used += part.length
  }
  return Buffer.concat(parts)
}

/** What an operation gives, or the number of its error. */
function answer(operation: string, node: Node, name: Buffer, body: Buffer): Uint8Array | number {
  switch (operation) {
    case 'init': {
      const data = Buffer.alloc(64)
      data.writeUInt32LE(7, 0)
      data.writeUInt32LE(31, 4)
      data.writeUInt32LE(65_536, 8)
      data.writeUInt32LE(131_072, 20) // max_write
      return data
    }
    case 'lookup': {
      const found = node.entries?.find(one => one.name.equals(name))
      if (!found) return ENOENT
      const head = Buffer.alloc(40)
      head.writeBigUInt64LE(BigInt(found.inode), 0)
      return Buffer.concat([head, attributes(found)])
    }
    case 'getattr':
      return Buffer.concat([Buffer.alloc(16), attributes(node)])
    case 'open':
    case 'opendir':
      return Buffer.alloc(16)
    case 'readdir':
      return listing(node, Number(body.readBigUInt64LE(8)), body.readUInt32LE(16))
    case 'read': {
      const from = Number(body.readBigUInt64LE(8))
      return node.bytes?.subarray(from, from + body.readUInt32LE(16)) ?? EIO
    }
    case 'statfs': {
      const data = Buffer.alloc(80)
      for (const [i, value] of [1000n, 500n, 500n, 100n, 50n].entries()) data.writeBigUInt64LE(value, i * 8)
      data.writeUInt32LE(4096, 40)
      data.writeUInt32LE(255, 44)
      return data
    }
    case 'release':
    case 'releasedir':
    case 'flush':
      return NONE
    case 'destroy':
      return process.exit(0)
    default:
      return ENOSYS
  }
}

let parked: Buffer[] = []

function handle(request: Buffer): void {
  const operation = OPERATIONS[request.readUInt32LE(4)] ?? ''
  if (['forget', 'batch_forget', 'interrupt'].includes(operation)) return
  const node = nodes[Number(request.readBigUInt64LE(16)) - 1] ?? (nodes[0] as Node)
  const body = request.subarray(40)
  const name = operation === 'lookup' ? body.subarray(0, body.indexOf(0)) : node.name
  const names = [operation, `${operation}:${name.toString('latin1')}`]
  if (names.some(one => behaviour.silent?.includes(one))) parked.push(request)
  else {
    const error = names.map(one => behaviour.failing?.[one]).find(one => one !== undefined)
    const result = error ?? answer(operation, node, name, body)
    if (typeof result === 'number') reply(request.readBigUInt64LE(8), result)
    else reply(request.readBigUInt64LE(8), 0, result)
  }
}

createInterface({ input: process.stdin }).on('line', line => {
  behaviour = JSON.parse(line) as Behaviour
  const again = parked
  parked = []
  for (const request of again) handle(request)
  console.log('heard')
})

const buffer = Buffer.alloc(1 << 18)
function next(): void {
  read(device, buffer, 0, buffer.length, null, (error, count) => {
    if (error?.code === 'ENODEV') process.exit(0) // unmounted
    if (!error) handle(Buffer.from(buffer.subarray(0, count)))
    next()
  })
}
next()
