/** What an image is made from: sizes, U-Boot files, initramfs archives, paths that stay in their tree. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { size } from '../../../src/builder/arguments.ts'
import { layOut, MIB } from '../../../src/builder/image/disk.ts'
import type { Release } from '../../../src/builder/image/release.ts'
import { initramfsNames } from '../../../src/builder/tree/initramfs.ts'
import { find, inside } from '../../../src/builder/tree/inside.ts'
import { readUbootFile, uEnvOf } from '../../../src/builder/uboot.ts'
import type { Work } from '../../../src/builder/work.ts'
import { cpio } from '../../kit/rootfs.ts'

let folder: string
const work: Work = { signal: new AbortController().signal, progress: (_, task) => task(() => {}), note: () => {} }
const put = async (name: string, content: string | Uint8Array) => {
  await writeFile(join(folder, name), content)
  return join(folder, name)
}
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'inputs-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test.each([
  ['512', 512],
  ['4K', 4096],
  ['512M', 512 * MIB],
  ['1.5g', 1536 * MIB],
  ['2GiB', 2048 * MIB],
])('the size %s is %i bytes', (text, bytes) => expect(size(text)).toBe(bytes))
test.each(['', 'M', '-1', '1e3', '4X', '1..5G', '4 G', '17T', '999999999T'])('"%s" is no size', text =>
  expect(() => size(text)).toThrow(),
)

describe('the layout of a disk', () => {
  const release: Release = {
    ...{ commit: 'c', version: '1.0', architecture: 'x86_64', initramfs: true, kernelArguments: [], generator: '' },
    ...{ tmpOnDisk: false, size: 500 * MIB, files: 20_000, bootSize: 40 * MIB },
  }
  test('has room for the release and an update, unless another size is asked for', () => {
    const usual = layOut(release, undefined, undefined)
    expect(usual.root.size).toBeGreaterThan(2 * (500 + 40) * MIB)
    expect(usual.data).toBeUndefined()
    const asked = layOut(release, 4096 * MIB, 1000 * MIB)
    expect(asked.total).toBe(4096 * MIB)
    expect(asked.data).toEqual({ at: asked.root.at + asked.root.size, size: 1000 * MIB })
    // the second partition table comes after the last partition
    expect(asked.root.at + asked.root.size + 1000 * MIB).toBeLessThanOrEqual(4095 * MIB)
  })
  test('a size in which the release does not fit is refused', () => {
    const small = () => layOut(release, 600 * MIB, undefined)
    expect(small).toThrow(/cannot make an image of 629 MB: version 1\.0 needs at least/)
  })
})

describe('a file for U-Boot', () => {
  test('is settings, a script, or a finished script image', async () => {
    const settings = await put('env', '# a\n\nfdtfile=a.dtb\nextra=1 2\n')
    expect(await readUbootFile(settings)).toMatchObject({ kind: 'environment' })
    expect(await readUbootFile(await put('script', 'setenv a b\nboot\n'))).toMatchObject({ kind: 'script' })
    const scr = Buffer.concat([Buffer.from('27051956', 'hex'), Buffer.from('a=b\n')])
    expect(await readUbootFile(await put('scr', scr))).toMatchObject({ kind: 'image' })
  })
  test("only settings go into the tree, and none of OSTree's own", async () => {
    expect(await uEnvOf(await put('env', 'fdtfile=a.dtb'))).toBe('fdtfile=a.dtb\n')
    expect(await uEnvOf(await put('script', 'boot\n'))).toBe('')
    for (const name of ['bootargs', 'kernel_image2', 'release_id'])
      await expect(uEnvOf(await put('own', `a=b\n${name}=x\n`))).rejects.toMatchObject({ code: 'bad-value' })
  })
})

describe('an initramfs', () => {
  const names = (file: string) => initramfsNames(file, folder, work)
  test('is looked into behind the microcode before it', async () => {
    const found = await names(await put('good', cpio(['./usr/bin/init', 'etc/a b'])))
    expect([...found]).toEqual(['kernel/x86/microcode/AuthenticAMD.bin', 'usr/bin/init', 'etc/a b'])
  })
  test.each([
    ['nothing', ''],
    ['no archive', 'a file'],
    ['a compression that ends early', Buffer.from('1f8b08000000000000', 'hex')],
    ['a length that is none', '070701zzzzzzzz'.padEnd(120, '0')],
  ])('with %s is refused', async (_, content) => {
    await expect(names(await put('bad', content))).rejects.toMatchObject({ code: 'bad-initramfs' })
  })
})

describe('a path in a tree', () => {
  beforeAll(async () => {
    await mkdir(join(folder, 'tree/usr/lib'), { recursive: true })
    for (const [target, name] of [
      ['/usr/lib', 'absolute'],
      ['../../../../etc', 'usr/climbs'],
      ['loop', 'loop'],
      ['/etc/passwd', 'usr/passwd'],
    ] as const)
      await symlink(target, join(folder, 'tree', name))
  })
  test.each([
    ['absolute/a', 'usr/lib/a'],
    ['usr/climbs/passwd', 'etc/passwd'],
    ['usr/../../../a', 'a'],
    ['usr/passwd', 'usr/passwd'],
  ])('%s is %s', async (path, expected) => {
    expect(await inside(join(folder, 'tree'), path)).toBe(join(folder, 'tree', expected))
  })
  test('the last link is followed when asked for, and only in the tree', async () => {
    expect(await inside(join(folder, 'tree'), 'usr/passwd', true)).toBe(join(folder, 'tree/etc/passwd'))
    expect(await find(join(folder, 'tree'), 'usr/passwd')).toBeUndefined()
  })
  test('links in a circle are refused', async () => {
    await expect(inside(join(folder, 'tree'), 'loop/a')).rejects.toThrow(/in a circle/)
  })
})
