/** The file of --uboot-env-file: lines for uEnv.txt, or a boot script in place of ours. */
import { readFile } from 'node:fs/promises'
import { errno, Failure } from '../base/failure.ts'

/** First bytes of what mkimage makes (U-Boot: include/image.h, IH_MAGIC). */
const IMAGE_MAGIC = '27051956'

export type UbootFile = { kind: 'environment' | 'script'; text: string } | { kind: 'image'; bytes: Buffer }

/** @throws Failure `bad-value` */
export async function readUbootFile(path: string): Promise<UbootFile> {
  const bytes = await readFile(path).catch(error => {
    throw new Failure('bad-value', `cannot read ${path}: ${errno(error) ?? String(error)}`, { cause: error })
  })
  if (bytes.toString('hex', 0, 4) === IMAGE_MAGIC) return { kind: 'image', bytes }
  const text = bytes.toString('utf8')
  const lines = text.split('\n').filter(line => line.trim() !== '' && !line.startsWith('#'))
  const settings = lines.every(line => /^[A-Za-z_][\w.-]*=/.test(line))
  return { kind: settings ? 'environment' : 'script', text }
}

/** What of it goes into a tree, for OSTree to append to its uEnv.txt; nothing when it is a script. */
export async function uEnvOf(path: string): Promise<string> {
  const file = await readUbootFile(path)
  if (file.kind !== 'environment') return ''
  // OSTree's own and the name of the release would be overruled by a later line.
  const taken = /^(kernel_image|ramdisk_image|bootargs|bootdir|release_id)2?=/m.exec(file.text)?.[1]
  if (taken) throw new Failure('bad-value', `cannot use ${path}: ${taken} is OSTree's own; leave it away`)
  return file.text.endsWith('\n') || file.text === '' ? file.text : `${file.text}\n`
}
