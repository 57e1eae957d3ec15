/** `superblock-builder stick` on a folder, and as root on a real block device. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import { largestFile, type StickResult } from '../../src/builder/stick.ts'
import { assemble, type Key, smallPackage, testKey } from '../kit/packages.ts'
import { builder } from '../kit/sample.ts'

let folder: string
let key: Key
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stick-'))
  key = await testKey('maker')
  await writeFile(join(folder, 'key.asc'), key.publicKey)
  file = join(folder, 'acme-2.0.superblock')
  await writeFile(file, assemble(await smallPackage([key])))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const said = (...argv: string[]) => builder(['stick', ...argv, '--json'])
const stick = async (...argv: string[]) => JSON.parse((await said(...argv)).stdout) as StickResult
const refused = (...argv: string[]) =>
  stick(...argv).then(
    () => 'accepted',
    error => String(error),
  )

describe('on a folder', () => {
  test('the package is there, byte for byte, and its signer is named', async () => {
    const target = await mkdtemp(join(folder, 'mnt-'))
    const { written, others } = await stick(target, file, '--key', join(folder, 'key.asc'))
    expect(written).toMatchObject([{ signers: [key.fingerprint] }])
    expect(others).toEqual([])
    expect((await readFile(join(target, basename(file)))).equals(await readFile(file))).toBe(true)
    expect(await readdir(target)).toEqual([basename(file)])
  })
  test('where nothing is mounted, that is said', async () => {
    const target = await mkdtemp(join(folder, 'mnt-'))
    expect((await said(target, file)).stderr).toContain(`WARNING: ${target} is no medium: no stick is mounted there`)
  })
  test('what is no package, or signed by nobody we know, is not put there', async () => {
    const target = await mkdtemp(join(folder, 'mnt-'))
    const half = join(folder, 'half.superblock')
    await writeFile(half, await readFile(file))
    await truncate(half, (await readFile(file)).length - 512)
    expect(await refused(target, half)).toContain('ends too early')
    await writeFile(join(folder, 'other.asc'), (await testKey('stranger')).publicKey)
    expect(await refused(target, file, '--key', join(folder, 'other.asc'))).toContain('cannot use')
    expect(await readdir(target)).toEqual([])
  })
  test('a folder is never formatted', async () => {
    const target = await mkdtemp(join(folder, 'mnt-'))
    expect(await refused(target, file, '--format', 'ext4', '--erase', target)).toContain('it is a folder')
  })
})

test('files end at 4 GiB on FAT32 only', () => {
  expect(largestFile('vfat')).toBe(4294967295)
  expect(largestFile('exfat')).toBe(Number.POSITIVE_INFINITY)
})

describe.skipIf(process.getuid?.() !== 0)('on a block device (needs root)', () => {
  test('formatted only when its name was typed twice, then written and verified', async () => {
    const image = join(folder, 'image')
    await writeFile(image, '')
    await truncate(image, 32 * 1024 * 1024)
    const device = (await run(['losetup', '--find', '--show', image])).stdout.trim()
    try {
      expect(await refused(device, file, '--format', 'ext4')).toContain(`--erase ${device}`)
      expect(await refused(device, file, '--format', 'ext4', '--erase', '/dev/sda')).toContain(`--erase ${device}`)
      const { stdout, stderr } = await said(device, file, '--format', 'ext4', '--erase', device)
      const { written, filesystem } = JSON.parse(stdout) as StickResult
      expect(written).toHaveLength(1)
      expect(filesystem).toBe('ext4')
      expect(stderr).not.toContain('no medium')
      expect((await run(['debugfs', '-R', 'ls -p /', device])).stdout).toContain(basename(file))
    } finally {
      await run(['losetup', '--detach', device])
    }
  })
})
