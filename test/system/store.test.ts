/** A store that is damaged: it is said, nothing stops for it, and a package on a stick mends it without a reboot. */
import { chmod, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isThere } from '../../src/base/files.ts'
import { run } from '../../src/base/run.ts'
import type { Device } from '../kit/device.ts'
import { atRest, cli, install, offerOf, order, restart, stateOf } from '../kit/operate.ts'
import { makeProduct, PRODUCT, type Product } from '../kit/releases.ts'
import { makeStick, type Stick } from '../kit/stick.ts'

let lab: string
let product: Product
let device: Device
let stick: Stick

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-store-')
  product = await makeProduct(lab)
  await product.release('2.0')
  await product.release('3.0')
  const files = [(await product.package('1.0')).file, (await product.package('2.0')).file]
  await product.package('3.0')
  device = await product.device('d')
  await device.boot()
  await atRest(device)
  stick = await makeStick(lab, 'STICK', files)
  await device.insert(stick)
  const job = await install(device, { id: (await offerOf(device, 'acme-2.0.superblock')).id })
  expect(job.state).toBe('reboot')
  await restart(device)
  expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
  await device.insert(stick)
  await device.waitFor(({ offers }) => offers.length === 2, 'both packages')
})
afterAll(async () => {
  await device?.destroy()
  await rm(lab, { recursive: true, force: true })
})

const repo = () => join(device.sysroot, 'ostree/repo')
const objectAt = (checksum: string, kind: string) =>
  join(repo(), 'objects', checksum.slice(0, 2), `${checksum.slice(2)}.${kind}`)

/** The object of a file in a release. */
async function contentOf(version: string, path: string): Promise<string> {
  const commit = product.commits[version] ?? ''
  const { stdout } = await run(['ostree', `--repo=${product.repo}`, 'ls', '-C', commit, path])
  return objectAt(/[0-9a-f]{64}/.exec(stdout)?.[0] ?? '', 'file')
}
async function treeOf(version: string, path: string): Promise<[string, string]> {
  const commit = product.commits[version] ?? ''
  const { stdout } = await run(['ostree', `--repo=${product.repo}`, 'ls', '-dC', commit, path])
  const [tree = '', meta = ''] = stdout.match(/[0-9a-f]{64}/g) ?? []
  return [objectAt(tree, 'dirtree'), objectAt(meta, 'dirmeta')]
}

const flip = async (path: string) => {
  await chmod(path, 0o644)
  const bytes = await readFile(path)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  // Not truncated first, so that it stays the same file.
  await run(['dd', `of=${path}`, 'conv=notrunc', 'status=none'], { input: bytes })
}
const empty = async (path: string) => {
  await chmod(path, 0o644)
  await truncate(path, 0)
}

const doctor = async () => {
  const { status, stdout } = await cli(device, 'doctor', '--deep').catch(error => ({
    status: 6,
    stdout: String(error),
  }))
  return { status, stdout }
}
const deep = () =>
  device.exec(['/run/superblock-kit/bin/node', '/run/superblock-kit/app/dist/superblock.js', 'doctor', '--deep'], {
    accept: [6],
  })
const repair = (...what: string[]) =>
  device.exec(['/run/superblock-kit/bin/node', '/run/superblock-kit/app/dist/superblock.js', 'repair', ...what], {
    accept: [1, 5, 6],
  })
const fsck = () => device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])

test('a sound store is said to be sound', async () => {
  expect((await doctor()).stdout).toContain('is sound')
  const { status, stdout } = await repair()
  expect([status, stdout]).toEqual([0, expect.stringContaining('is sound')])
})

describe.each([
  ['a file with a flipped bit', () => contentOf('2.0', '/usr/share/acme/data'), flip, '/usr/share/acme/data'],
  ['an empty file', () => contentOf('2.0', '/usr/share/acme/map-3'), empty, '/usr/share/acme/map-3'],
  ['a file of the other release', () => contentOf('1.0', '/usr/share/acme/data'), flip, 'version 1.0'],
  ['a file that is gone', () => contentOf('2.0', '/usr/share/acme/map-4'), unlink, '/usr/share/acme/map-4'],
  ['a kernel', () => contentOf('2.0', '/usr/lib/modules/6.1.0/vmlinuz'), empty, 'vmlinuz'],
  ['a folder', async () => (await treeOf('2.0', '/usr/share/acme'))[0], empty, '/usr/share/acme'],
  ['the owner and mode of folders', async () => (await treeOf('2.0', '/usr/share'))[1], empty, 'damaged'],
])('%s', (_, place, spoil, named) => {
  test('is found, the service starts all the same, and it is mended from the packages on the stick', async () => {
    const path = await place()
    await spoil(path)
    await device.service.kill('SIGKILL')
    await device.service.start()
    await device.waitFor(({ offers }) => offers.length === 2, 'both packages')
    const found = await deep()
    expect([found.status, found.stdout]).toEqual([6, expect.stringContaining(named)])
    expect(found.stdout).toContain('superblock repair')
    const { status, stdout, stderr } = await repair()
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/mended/)
    expect((await doctor()).status).toBe(0)
    await fsck()
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
  })
})

describe.each([
  ['runs', '2.0'],
  ['was left', '1.0'],
])('the commit that %s', (_, version) => {
  const commit = () => objectAt(product.commits[version] ?? '', 'commit')

  test.each([
    ['emptied', empty],
    ['changed', flip],
    ['removed', unlink],
  ])('is %s: it is put back when the service starts', async (_, spoil) => {
    await spoil(commit())
    await device.service.kill('SIGKILL')
    await device.service.start()
    await fsck()
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
  })

  test('cannot be put back: it is told of, and comes from a package', async () => {
    await spoilCopies()
    await empty(commit())
    await device.service.kill('SIGKILL')
    await device.service.start()
    const { deployments } = await device.client.status()
    expect(deployments.map(({ damaged }) => damaged !== undefined)).toEqual(
      version === '2.0' ? [true, false] : [false, true],
    )
    await device.waitFor(({ offers }) => offers.length === 2, 'both packages')
    expect((await deep()).stdout).toContain(`${product.commits[version]?.slice(2)}.commit`)
    expect((await repair()).status).toBe(0)
    await fsck()
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
  })
})

const copies = () => join(stateOf(device), 'boot-files.json')
const spoilCopies = () => writeFile(copies(), 'null')

test('what runs has the sound file at once, without a reboot', async () => {
  const path = '/usr/share/acme/map-5'
  const before = (await device.exec(['sha256sum', path])).stdout
  await flip(await contentOf('2.0', path))
  expect((await device.exec(['sha256sum', path])).stdout).not.toBe(before)
  expect((await repair()).status).toBe(0)
  expect((await device.exec(['sha256sum', path])).stdout).toBe(before)
})

test('without a package that has it, it is said what is left and which release it needs', async () => {
  await device.remove(stick)
  await device.waitFor(({ offers }) => offers.length === 0, 'the stick to go')
  const path = await contentOf('2.0', '/usr/share/acme/program')
  await flip(path)
  const failed = await repair()
  expect([failed.status, failed.stderr]).toEqual([6, expect.stringContaining('(store-damaged)')])
  const { problems } = await device.client.status()
  expect(problems).toMatchObject([{ code: 'store-damaged', text: expect.stringContaining('/usr/share/acme/program') }])
  await device.insert(stick)
  const { id } = await offerOf(device, 'acme-2.0.superblock')
  expect((await repair(id)).status).toBe(0)
  expect((await device.client.status()).problems).toEqual([])
})

describe('the files by which a device starts', () => {
  const loader = () => join(device.sysroot, 'boot/loader/entries')

  test.each([
    ['emptied', (path: string) => writeFile(path, '')],
    ['junk', (path: string) => writeFile(path, Buffer.alloc(300, 0xff))],
    ['gone', unlink],
  ])('a boot entry that is %s is put back, and an update goes on from there', async (_, spoil) => {
    expect(await isThere(copies())).toBe(true)
    const names = await readdir(loader())
    const texts = await Promise.all(names.map(name => readFile(join(loader(), name), 'utf8')))
    await spoil(join(loader(), names[0] ?? ''))
    await device.service.kill('SIGKILL')
    await device.service.start()
    const { deployments } = await device.client.status()
    expect(deployments.map(one => one.version).sort()).toEqual(['1.0', '2.0'])
    if (_ !== 'gone') expect((await deep()).status).toBe(0)
    await device.waitFor(({ offers }) => offers.length === 2, 'both packages')
    expect((await repair()).status).toBe(0)
    expect(await Promise.all(names.map(name => readFile(join(loader(), name), 'utf8')))).toEqual(texts)
    await device.exec(['ostree', 'admin', 'status'])
  })

  test('a ref with junk keeps nothing from being installed', async () => {
    await writeFile(join(repo(), 'refs/heads', PRODUCT.ref), '')
    await writeFile(join(repo(), 'refs/heads/other'), Buffer.alloc(65))
    expect((await deep()).stdout).toContain('refs/heads')
    expect((await repair()).status).toBe(0)
    expect(await isThere(join(repo(), 'refs/heads/other'))).toBe(false)
    await writeFile(join(repo(), 'refs/heads', PRODUCT.ref), 'junk\n')
    const third = await makeStick(lab, 'THIRD', [join(lab, 'acme-3.0.superblock')])
    await device.insert(third)
    const job = await install(device, { id: (await offerOf(device, 'acme-3.0.superblock')).id })
    expect(job.state).toBe('reboot')
    expect((await restart(device)).job?.state).toBe('done')
  })
})
