/**
 * Serialised GVariants, the form of OSTree's commits, trees and superblocks (GVariant Specification, "Serialisation
 * Format"). Reading is strict: framing that does not add up is a Failure, never a guess.
 */
import { Failure } from '../base/failure.ts'

/** Integers stay bytes: OSTree stores most of its own big-endian, others' metadata is in the writer's order. */
export type Value = Buffer | string | boolean | Value[] | { type: string; value: Value }

const ALIGNMENT: Record<string, number> = { y: 1, b: 1, n: 2, q: 2, i: 4, u: 4, x: 8, t: 8, d: 8, h: 4 }
/** A variant within a variant within …: OSTree's own go two deep. */
const DEPTH = 16

const bad = (why: string) => new Failure('bad-variant', `cannot read a GVariant: ${why}`)

/** The first complete type of a type string, `a(say)` of `a(say)ay`. */
function firstType(types: string): string {
  const c = types[0]
  if (c === undefined) throw bad('a type is missing')
  if (c === 'a') return c + firstType(types.slice(1))
  if (c === '(' || c === '{') {
    let at = 1
    while (types[at] !== (c === '(' ? ')' : '}')) at += firstType(types.slice(at)).length
    return types.slice(0, at + 1)
  }
  if (c in ALIGNMENT || 'sogv'.includes(c)) return c
  throw bad(`it has the type "${c}"`)
}

/** The types of a tuple's or dictionary entry's children. */
export function childTypes(type: string): string[] {
  const children: string[] = []
  for (let rest = type.slice(1, -1); rest; ) {
    const child = firstType(rest)
    children.push(child)
    rest = rest.slice(child.length)
  }
  return children
}

function alignment(type: string): number {
  const c = type[0] ?? ''
  if (c === 'v') return 8
  if (c === 'a') return alignment(type.slice(1))
  if (c === '(' || c === '{') return Math.max(1, ...childTypes(type).map(alignment))
  return ALIGNMENT[c] ?? 1
}

/** Bytes of a type that always has the same size, else undefined. */
function fixedSize(type: string): number | undefined {
  const c = type[0] ?? ''
  if (c in ALIGNMENT) return ALIGNMENT[c]
  if (c !== '(' && c !== '{') return undefined
  let size = 0
  for (const child of childTypes(type)) {
    const own = fixedSize(child)
    if (own === undefined) return undefined
    size = align(size, alignment(child)) + own
  }
  return align(size, alignment(type)) || 1
}

const align = (at: number, to: number) => Math.ceil(at / to) * to

/** Bytes of each framing offset in a container of `length` bytes. */
export const offsetSize = (length: number): number =>
  length > 0xffffffff ? 8 : length > 0xffff ? 4 : length > 0xff ? 2 : length > 0 ? 1 : 0

/** A framing offset; those of containers over 4 GiB are 8 bytes. */
export const readOffset = (data: Buffer, at: number, size: number): number =>
  size === 8 ? Number(data.readBigUInt64LE(at)) : data.readUIntLE(at, size)

/** Parse `data` as exactly one value of `type`. @throws Failure `bad-variant` */
export function parse(type: string, data: Buffer, depth = 0): Value {
  const c = type[0] ?? ''
  if (c === 's' || c === 'o' || c === 'g') {
    if (data.at(-1) !== 0 || data.indexOf(0) !== data.length - 1) throw bad('a string has no proper end')
    return data.toString('utf8', 0, data.length - 1)
  }
  if (c === 'v') return variant(data, depth)
  if (type === 'ay') return data
  if (c === 'a') return array(type.slice(1), data, depth)
  if (c === '(' || c === '{') return tuple(childTypes(type), data, depth)
  if (data.length !== ALIGNMENT[c]) throw bad(`a number has ${data.length} bytes`)
  return c === 'b' ? data[0] === 1 : data
}

function variant(data: Buffer, depth: number): Value {
  const end = data.lastIndexOf(0)
  if (end < 0 || data.length - end > 256 || depth >= DEPTH) throw bad('a variant has no proper type')
  const type = data.toString('latin1', end + 1)
  if (firstType(type) !== type) throw bad('a variant has no proper type')
  return { type, value: parse(type, data.subarray(0, end), depth + 1) }
}

function array(type: string, data: Buffer, depth: number): Value[] {
  const fixed = fixedSize(type)
  const items: Value[] = []
  if (data.length === 0) return items
  if (fixed !== undefined) {
    if (data.length % fixed) throw bad('an array does not add up')
    for (let at = 0; at < data.length; at += fixed) items.push(parse(type, data.subarray(at, at + fixed), depth))
    return items
  }
  const size = offsetSize(data.length)
  const table = readOffset(data, data.length - size, size)
  if (table > data.length - size || (data.length - table) % size) throw bad('an array does not add up')
  let start = 0
  for (let at = table; at < data.length; at += size) {
    const end = readOffset(data, at, size)
    start = align(start, alignment(type))
    if (end < start || end > table) throw bad('an array does not add up')
    items.push(parse(type, data.subarray(start, end), depth))
    start = end
  }
  return items
}

function tuple(types: string[], data: Buffer, depth: number): Value[] {
  const size = offsetSize(data.length)
  const framed = types.slice(0, -1).filter(type => fixedSize(type) === undefined).length
  const limit = data.length - framed * size
  let framing = data.length
  let start = 0
  return types.map((type, index) => {
    start = align(start, alignment(type))
    const fixed = fixedSize(type)
    let end = limit
    if (fixed !== undefined) end = start + fixed
    else if (index < types.length - 1) {
      framing -= size
      if (framing < 0 || size === 0) throw bad('a tuple does not add up')
      end = readOffset(data, framing, size)
    }
    if (end < start || end > limit) throw bad('a tuple does not add up')
    const item = parse(type, data.subarray(start, end), depth)
    start = end
    return item
  })
}

/** The bytes of a value, the inverse of `parse`, for types without variants and of values as `parse` returns them. */
export function format(type: string, value: Value): Buffer {
  const c = type[0] ?? ''
  if (c === 's') return Buffer.from(`${value}\0`)
  if (type === 'ay' || c in ALIGNMENT) return value as Buffer
  const items = value as Value[]
  const types = c === 'a' ? items.map(() => type.slice(1)) : childTypes(type)
  const parts: Buffer[] = []
  const ends: number[] = []
  let at = 0
  for (const [index, child] of types.entries()) {
    const bytes = format(child, items[index] ?? [])
    const padding = align(at, alignment(child)) - at
    parts.push(Buffer.alloc(padding), bytes)
    at += padding + bytes.length
    if (fixedSize(child) === undefined && (c === 'a' || index < types.length - 1)) ends.push(at)
  }
  const whole = fixedSize(type) ?? at
  if (c !== 'a') {
    parts.push(Buffer.alloc(whole - at))
    ends.reverse()
  }
  // The offsets count into the length that decides how wide they are.
  const size = [1, 2, 4].find(width => at + ends.length * width < 256 ** width) ?? 8
  const framing = Buffer.alloc(ends.length * size)
  for (const [index, end] of ends.entries())
    if (size === 8) framing.writeBigUInt64LE(BigInt(end), index * size)
    else framing.writeUIntLE(end, index * size, size)
  return Buffer.concat([...parts, framing])
}
