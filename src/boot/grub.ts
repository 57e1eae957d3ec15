/**
 * GRUB's environment block, read and written as grub-editenv does (grub: grub-core/lib/envblk.c), but in place: GRUB reads
 * the blocks of the file without the file system's journal, so a file that was replaced could show it the old one.
 */
import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { Failure } from '../base/failure.ts'
import type { BootLoader } from './bootloader.ts'

const SIGNATURE = '# GRUB Environment Block\n'
const SIZE = 1024
/** Of another size it was changed by something else than GRUB's own program. */
const SECTOR = 512

/** A line as it stands in the block, its end included; `name` of a variable's line. */
interface Line {
  raw: string
  name?: string
}

/** latin1 keeps every byte as one character, whatever encoding others wrote. */
function linesOf(block: Buffer): Line[] {
  const text = block.toString('latin1')
  if (!text.startsWith(SIGNATURE)) throw new Error('it does not begin as an environment block')
  const end = text.length - (/#*$/.exec(text)?.[0].length ?? 0)
  if (text[end - 1] !== '\n') throw new Error('its last line has no end')
  const lines: Line[] = []
  for (const [raw] of text.slice(SIGNATURE.length, end).matchAll(/(?:\\.|[^\\\n])*\n/gs)) {
    // An editor has put a line end behind the padding, which makes it a comment for GRUB, and the block full.
    if (/^#+\n$/.test(raw)) continue
    const at = raw.indexOf('=')
    lines.push(raw.startsWith('#') || at < 0 ? { raw } : { raw, name: raw.slice(0, at) })
  }
  return lines
}

const escaped = (value: string) => value.replace(/[\\\n]/g, '\\$&')
const plain = (value: string) => value.replace(/\\(.)/gs, '$1')

/** The variables of a block. @throws Error when it is no environment block */
export function parseBlock(block: Buffer): Map<string, string> {
  const variables = new Map<string, string>()
  for (const { name, raw } of linesOf(block)) {
    if (name !== undefined) variables.set(name, plain(raw.slice(name.length + 1, -1)))
  }
  return variables
}

/**
 * The block with some variables set, and those unset whose value is null; all others, comments and a size that it may have stay.
 * @throws Error when it is no environment block, or too small
 */
export function editBlock(block: Buffer, changes: Readonly<Record<string, string | null>>): Buffer {
  const left = new Map(Object.entries(changes))
  const lines: string[] = []
  for (const { name, raw } of linesOf(block)) {
    const change = name === undefined ? undefined : left.get(name)
    if (name === undefined || change === undefined) lines.push(raw)
    else if (change !== null) lines.push(`${name}=${escaped(change)}\n`)
    if (name !== undefined && change !== undefined) left.set(name, null)
  }
  for (const [name, value] of left) if (value !== null) lines.push(`${name}=${escaped(value)}\n`)
  const text = SIGNATURE + lines.join('')
  const size = block.length > 0 && block.length % SECTOR === 0 ? block.length : SIZE
  if (text.length > size) throw new Error('it is full')
  return Buffer.from(text.padEnd(size, '#'), 'latin1')
}

/** @throws Failure `grubenv` */
export async function readEnvironment(path: string): Promise<Map<string, string>> {
  try {
    return parseBlock(await readFile(path))
  } catch (error) {
    throw damaged('read', path, error)
  }
}

/** Rewrite an existing block in place and flush it to the disk. @throws Failure `grubenv` */
async function rewrite(path: string, edit: (before: Buffer) => Buffer): Promise<void> {
  try {
    const file = await open(path, constants.O_RDWR)
    try {
      const before = await file.readFile()
      const after = edit(before)
      if (after.equals(before)) return
      if (after.length !== before.length) await file.truncate(after.length)
      const { bytesWritten } = await file.write(after, 0, after.length, 0)
      if (bytesWritten !== after.length) throw new Error('the write was cut short')
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw damaged('write', path, error)
  }
}

/** Change variables of an existing block and flush them to the disk. @throws Failure `grubenv` */
export const writeEnvironment = (path: string, changes: Readonly<Record<string, string | null>>): Promise<void> =>
  rewrite(path, before => editBlock(before, changes))

/** What GRUB cannot read has no trial in it, and nothing that would be lost: the block is made anew, as large as grub-editenv makes it. */
function withoutTrial(before: Buffer): Buffer {
  try {
    return editBlock(before, { trial_id: null, trial_tries: null })
  } catch {
    return Buffer.from(SIGNATURE.padEnd(SIZE, '#'), 'latin1')
  }
}

/** GRUB as it keeps a trial: two variables, which the generated menu counts. @param path of grubenv */
export const grub = (path: string): BootLoader => ({
  name: 'GRUB',
  arm: ({ deployment }, tries) => writeEnvironment(path, { trial_id: deployment, trial_tries: String(tries) }),
  clear: () => rewrite(path, withoutTrial),
  async read() {
    const variables = await readEnvironment(path)
    const id = variables.get('trial_id')
    return id ? { id, tries: Number(variables.get('trial_tries') ?? 0) } : undefined
  },
})

function damaged(doing: string, path: string, error: unknown): Failure {
  const why = error instanceof Error ? error.message : String(error)
  return new Failure('grubenv', `cannot ${doing} ${path}: ${why}; make it anew with \`grub-editenv ${path} create\``, {
    cause: error,
  })
}
