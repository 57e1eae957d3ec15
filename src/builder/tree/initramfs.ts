/** What is in an initramfs: the names in its cpio archives (kernel: Documentation/driver-api/early-userspace/buffer-format.rst). */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { run } from '../../base/run.ts'
import { type Work, withScratch } from '../work.ts'

/** Magic of a compression → the program that undoes it. */
const UNPACK: [string, string][] = [
  ['1f8b', 'gzip'],
  ['28b52ffd', 'zstd'],
  ['fd377a585a00', 'xz'],
  ['5d000080', 'xz'],
  ['04224d18', 'lz4'],
  ['02214c18', 'lz4'],
  ['425a68', 'bzip2'],
]

/**
 * The names of all its files, without a slash before them. Plain archives may stand before a compressed one (microcode).
 * @param folder for a scratch file
 * @throws Failure `bad-initramfs`, `command-missing`
 */
export async function initramfsNames(file: string, folder: string, work: Work): Promise<Set<string>> {
  const data = await readFile(file)
  const names = new Set<string>()
  let at = 0
  for (;;) {
    while (at < data.length && data[at] === 0) at++ // padding between archives
    if (at >= data.length) break
    if (isCpio(data, at)) {
      at = readCpio(data, at, names)
      continue
    }
    const program = UNPACK.find(([magic]) => data.toString('hex', at, at + magic.length / 2) === magic)?.[1]
    if (!program) throw bad(file, 'it is neither a cpio archive nor compressed in a known way')
    const unpacked = await decompress(program, data.subarray(at), file, folder, work)
    for (let inner = 0; inner < unpacked.length; ) {
      if (unpacked[inner] === 0) inner++
      else if (isCpio(unpacked, inner)) inner = readCpio(unpacked, inner, names)
      else throw bad(file, 'what is compressed in it is no cpio archive')
    }
    break
  }
  if (names.size === 0) throw bad(file, 'it is empty')
  return names
}

const bad = (file: string, why: string, cause?: unknown) =>
  new Failure('bad-initramfs', `cannot use the initramfs ${file}: ${why}`, { cause })

const isCpio = (data: Buffer, at: number) => /^07070[12]$/.test(data.toString('latin1', at, at + 6))

/** Adds the names of one archive; returns where it ends. */
function readCpio(data: Buffer, from: number, names: Set<string>): number {
  for (let at = from; isCpio(data, at); ) {
    const field = (index: number) =>
      Number.parseInt(data.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16)
    const [fileSize, nameSize] = [field(6), field(11)]
    if (!Number.isInteger(fileSize) || !Number.isInteger(nameSize) || nameSize < 1) break
    const name = data.toString('utf8', at + 110, at + 110 + nameSize - 1)
    at = padded(at + 110 + nameSize, from) // names and contents end at a multiple of four from the archive's start
    at = padded(at + fileSize, from)
    if (name === 'TRAILER!!!') return at
    names.add(name.replace(/^\.?\//, ''))
  }
  return data.length // cut short: what follows cannot be read
}

const padded = (at: number, from: number) => from + Math.ceil((at - from) / 4) * 4

/** Through a file, for programs' output is kept as text and in bounds otherwise. */
const decompress = (program: string, packed: Buffer, file: string, folder: string, work: Work) =>
  withScratch(folder, async scratch => {
    const [from, to] = [join(scratch, 'packed'), join(scratch, 'unpacked')]
    await writeFile(from, packed)
    try {
      await run(['sh', '-c', '"$1" -dc <"$2" >"$3"', 'sh', program, from, to], { signal: work.signal })
    } catch (error) {
      work.signal.throwIfAborted()
      const missing = error instanceof Failure && /exit status 127/.test(error.message)
      throw missing
        ? new Failure('command-missing', `cannot look into ${file}: ${program} is not installed`, { cause: error })
        : bad(file, `${program} cannot unpack it; it is damaged`, error)
    }
    return readFile(to)
  })
