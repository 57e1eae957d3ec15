/** Which file is taken: the one that was shown, of several copies a whole one, and without anybody asking the newest at once. */
import { existsSync } from 'node:fs'
import { link, mkdir, mkdtemp, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { OfferInfo, Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { atRest, cli, install, offerOf, order } from '../kit/operate.ts'
import { damaged, saying } from '../kit/packages.ts'
import { makeProduct, type Product } from '../kit/releases.ts'
import { makeStick, type Stick } from '../kit/stick.ts'

let lab: string
let product: Product
let device: Device
/** packages by version: as they are, and with the members damaged that a device lacks which runs 1.0 */
const whole: Record<string, Buffer> = {}
const broken: Record<string, Buffer> = {}
const inserted: Stick[] = []

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-choice-')
  product = await makeProduct(lab)
  for (const version of ['2.0', '3.0', '4.0']) {
    await product.release(version)
    const bytes = await readFile((await product.package(version)).file)
    whole[version] = bytes
    broken[version] = await damaged(bytes, ({ path, size }) => size > 20_000 && !existsSync(join(lab, 'factory', path)))
  }
})
afterAll(() => rm(lab, { recursive: true, force: true }))

const at = (stick: Stick, name: string) => `/run/superblock/media/${stick.name}/${name}`
const says = ({ verdict }: OfferInfo) => (verdict.fits ? 'fits' : verdict.code)
const verdicts = ({ offers }: Snapshot) =>
  offers.map(one => `${one.path.split('/').slice(-2).join('/')} ${says(one)}`).sort()
const shows = (...lines: string[]) =>
  device.waitFor(snapshot => verdicts(snapshot).join('\n') === [...lines].sort().join('\n'), lines.join(', '))

/** A new stick with these files, put in. */
async function insert(name: string, files: Record<string, Buffer | undefined>): Promise<Stick> {
  const stick = await makeStick(await mkdtemp(join(lab, 'stick-')), name)
  for (const [path, bytes] of Object.entries(files)) await put(stick, path, bytes)
  await device.insert(stick)
  inserted.push(stick)
  return stick
}
async function put(stick: Stick, path: string, bytes: Buffer | undefined): Promise<void> {
  await mkdir(dirname(join(stick.folder, path)), { recursive: true })
  await writeFile(join(stick.folder, path), bytes ?? '')
}
async function remove(stick: Stick): Promise<void> {
  inserted.splice(inserted.indexOf(stick), 1)
  await device.remove(stick, { lazy: true })
  await device.waitFor(({ media }) => media.every(one => one.name !== stick.name), `${stick.name} out`)
}
async function takeBack() {
  await device.client.cancel()
  await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
}

describe('on a device that asks', () => {
  beforeAll(async () => {
    device = await product.device('d')
    await device.boot()
    await atRest(device)
  })
  afterEach(async () => {
    for (const stick of [...inserted]) await remove(stick)
    await device.exec(['sh', '-c', 'rm -f /var/lib/superblock/inbox/*'])
    await shows()
  })
  afterAll(() => device?.destroy())

  test('a damaged copy keeps its verdict, and whole ones are taken, whoever asks and however', async () => {
    const old = await insert('AOLD', { 'acme.superblock': broken['2.0'] })
    const { id } = await offerOf(device, 'acme.superblock')
    const alone = await install(device, { id })
    expect([alone.state, alone.code]).toEqual(['failed', 'tampered'])
    expect(alone.text).toMatch(/^Cannot accept objects\/\S+: its bytes .*\. Nothing was changed/)
    await shows('AOLD/acme.superblock tampered')
    await expect(device.client.install({ id })).rejects.toMatchObject({ code: 'tampered' })
    await expect(device.client.install({ path: at(old, 'acme.superblock') })).rejects.toMatchObject({
      code: 'tampered',
    })
    const fresh = await insert('NEW', { 'acme.superblock': whole['2.0'] })
    const { offers } = await shows('AOLD/acme.superblock tampered', 'NEW/acme.superblock fits')
    expect(offers.map(one => [one.preselected, one.preferred])).toEqual([
      [false, false],
      [true, true],
    ])
    for (const request of [
      { id },
      { id, path: at(fresh, 'acme.superblock') },
      { path: at(fresh, 'acme.superblock') },
    ]) {
      const job = await install(device, request)
      expect([job.state, job.medium]).toEqual(['reboot', '/run/superblock/media/NEW'])
      // The device is another one now, and again: all is judged anew, and the damage is not forgotten.
      await takeBack()
      await shows('AOLD/acme.superblock tampered', 'NEW/acme.superblock fits')
    }
    const { status } = await cli(device, 'install', id.slice(0, 12))
    expect([status, (await device.client.status()).job?.medium]).toEqual([0, '/run/superblock/media/NEW'])
    await takeBack()
  })

  test('a job that met a damaged copy names the whole one', async () => {
    await insert('AOLD', { 'acme.superblock': broken['2.0'] })
    const fresh = await insert('NEW', { 'acme.superblock': whole['2.0'] })
    const { offers } = await shows('AOLD/acme.superblock fits', 'NEW/acme.superblock fits')
    const [first, second] = offers as [OfferInfo, OfferInfo]
    expect([first.preferred, second.preferred]).toEqual([true, false])
    const job = await install(device, { id: first.id, path: first.path })
    expect([job.state, job.code, job.facts?.other]).toEqual(['failed', 'tampered', at(fresh, 'acme.superblock')])
    expect(job.text).toContain(`Another copy of the package was not found damaged: ${at(fresh, 'acme.superblock')}.`)
    expect((await cli(device, 'status')).stdout).toContain('Another copy of the package was not found damaged')
  })

  test('of a stick that comes back the file is as it was, unless it is another one', async () => {
    const stick = await insert('STICK', { 'acme.superblock': broken['2.0'] })
    const { id } = await offerOf(device, 'acme.superblock')
    expect((await install(device, { id })).code).toBe('tampered')
    await remove(stick)
    await device.insert(stick)
    inserted.push(stick)
    await shows('STICK/acme.superblock tampered')
    // Copied once more, with the dates of the first copy, as file managers do.
    const { atime, mtime } = await stat(join(stick.folder, 'acme.superblock'))
    await put(stick, 'again', whole['2.0'])
    await utimes(join(stick.folder, 'again'), atime, mtime)
    await rename(join(stick.folder, 'again'), join(stick.folder, 'acme.superblock'))
    await shows('STICK/acme.superblock fits')
    expect((await install(device, { id })).state).toBe('reboot')
    await takeBack()
  })

  test('what was shown is what is installed, also where another file has taken its place', async () => {
    const stick = await insert('STICK', { 'acme.superblock': whole['2.0'] })
    const { id, path } = await offerOf(device, 'acme.superblock')
    await put(stick, 'new', whole['3.0'])
    await rename(join(stick.folder, 'new'), join(stick.folder, 'acme.superblock'))
    const three = await device.waitFor(({ offers }) => offers.some(one => one.release?.version === '3.0'), '3.0')
    await expect(device.client.install({ id, path })).rejects.toMatchObject({
      code: 'changed',
      message: `cannot install ${path}: it is no longer the package that was shown`,
    })
    await expect(device.client.install({ id: three.offers[0]?.id ?? '', path: `${path}.no` })).rejects.toMatchObject({
      code: 'changed',
    })
    // In the moment before anybody has noticed.
    await put(stick, 'old', whole['2.0'])
    await rename(join(stick.folder, 'old'), join(stick.folder, 'acme.superblock'))
    const job = await install(device, { id: three.offers[0]?.id ?? '', path }).catch(error => ({
      state: 'refused',
      code: error.code,
    }))
    expect(job.code).toBe('changed')
  })

  test('the same package in the inbox and on a stick: each is the one that is named', async () => {
    const stick = await insert('STICK', { 'acme.superblock': whole['2.0'] })
    await device.exec(
      ['sh', '-c', 'cat >/var/lib/superblock/inbox/x.tmp && cd /var/lib/superblock/inbox && mv x.tmp x.superblock'],
      {
        input: whole['2.0'] as Buffer,
      },
    )
    const { offers } = await shows('STICK/acme.superblock fits', 'inbox/x.superblock fits')
    const id = offers[0]?.id ?? ''
    for (const [path, sticks] of [
      [at(stick, 'acme.superblock'), 'remove'],
      ['/var/lib/superblock/inbox/x.superblock', 'none'],
    ]) {
      const job = await install(device, { id, path: path ?? '' })
      expect([job.state, job.stick]).toEqual(['reboot', sticks])
      await takeBack()
    }
    await expect(device.client.install({ id, reason: 'x'.repeat(501) })).rejects.toMatchObject({ code: 'bad-request' })
  })

  test('what was deleted is no offer, and what is nearly a package is told of', async () => {
    const stick = await insert('STICK', {
      '.Trash-1000/files/acme.superblock': whole['3.0'],
      '$RECYCLE.BIN/S-1/$R1.superblock': whole['3.0'],
      'acme.superblock.zip': Buffer.from('PK'),
      'a/b/c/d/acme.superblock': whole['2.0'],
    })
    const first = await device.waitFor(({ media }) => media.some(one => one.code === 'no-package'), 'what is on it')
    expect(first.offers).toEqual([])
    expect(first.media.find(one => one.kind === 'stick')?.misses?.map(one => `${one.code} ${one.file}`)).toEqual([
      'packed acme.superblock.zip',
      'too-deep acme.superblock',
    ])
    const { stdout } = await cli(device, 'list')
    expect(stdout).toContain('STICK: there is no package on it; copy NAME.superblock into its top folder\n')
    expect(stdout).toContain('STICK: acme.superblock.zip: an archive; unpack it on a computer')
    expect(stdout).toContain('STICK: a/b/c/d/acme.superblock: too many folders down; move it into the top folder\n')
    await put(stick, 'ACME-2.SUPERBLOCK', whole['2.0'])
    const then = await shows('STICK/ACME-2.SUPERBLOCK fits')
    expect(then.media.find(one => one.kind === 'stick')).toMatchObject({ state: 'ready', misses: [{ code: 'packed' }] })
    expect(then.media.find(one => one.kind === 'stick')?.code).toBeUndefined()
  })

  test('a release is sent once, whatever copies there are, and nothing of it stays when they are gone', async () => {
    const metadata = { text: 'y'.repeat(250_000) }
    const large = await saying(whole['2.0'] as Buffer, product.key, manifest => ({
      ...manifest,
      metadata,
      notes: 'Better.\n',
    }))
    const stick = await makeStick(lab, 'MANY')
    await writeFile(join(lab, 'large'), large)
    for (let i = 0; i < 300; i++) await link(join(lab, 'large'), join(stick.folder, `${i}.superblock`))
    await device.insert(stick)
    inserted.push(stick)
    let slowest = 0
    const isListed = async () => {
      const from = performance.now()
      const { offers } = await device.client.status()
      slowest = Math.max(slowest, performance.now() - from)
      return offers.length
    }
    await expect.poll(isListed, { timeout: 120_000, interval: 50 }).toBe(300)
    const snapshot = await device.client.status()
    const [id = ''] = Object.keys(snapshot.releases)
    expect(Object.keys(snapshot.releases)).toHaveLength(1)
    expect(snapshot.releases[id]).toMatchObject({ version: '2.0', notes: 'Better.\n', metadata })
    expect(snapshot.offers.every(one => one.id === id && !('metadata' in (one.release ?? {})))).toBe(true)
    expect(JSON.stringify(snapshot).length).toBeLessThan(1e6)
    const { peak } = await device.service.memory()
    console.log(
      `300 copies with 250 kB of metadata: peak ${Math.round(peak / 1e6)} MB, status at most ${Math.round(slowest)} ms`,
    )
    expect(peak).toBeLessThan(150e6)
    await remove(stick)
    expect((await device.client.status()).releases).toEqual({})
  }, 180_000)
})

describe('on a device with the policy auto', () => {
  const AUTO = '[install]\npolicy = "auto"\n[reboot]\npolicy = "auto"\n'
  afterEach(async () => {
    inserted.splice(0)
    await device?.destroy()
  })

  test('the newest of all that is in is installed at once, and a damaged copy makes way for a whole one', async () => {
    device = await product.device('a', { config: AUTO })
    await device.boot({ service: false })
    // All of it is in when the service starts; names that come first are of older releases.
    await insert('A', {
      'a-2.0.superblock': whole['2.0'],
      'b-3.0.superblock': whole['3.0'],
      'c.superblock': broken['4.0'],
    })
    await insert('B', { 'd.superblock': whole['4.0'] })
    await device.service.start()
    await device.rebooted(60)
    await device.boot()
    const { job, deployments } = await atRest(device)
    expect([job?.state, deployments.map(one => one.version)]).toEqual(['done', ['4.0', '1.0']])
    expect(await device.log()).toMatch(/"code":"tampered","step":"stage"/)
    expect(await order(device)).toBe('4.0 booted, 1.0 rollback')
  }, 120_000)

  test('a stick in trouble holds nothing up', async () => {
    device = await product.device('b', { config: AUTO })
    await device.boot()
    await atRest(device)
    await device.exec([
      'sh',
      '-c',
      'mkdir -p /run/superblock/trouble && printf "no-filesystem\\n\\n\\next4\\n" >/run/superblock/trouble/sdz',
    ])
    await device.waitFor(({ media }) => media.some(one => one.code === 'no-filesystem'), 'the stick in trouble')
    await insert('GOOD', { 'a.superblock': whole['2.0'] })
    await device.rebooted(60)
    await device.boot()
    expect((await atRest(device)).deployments[0]?.version).toBe('2.0')
  }, 120_000)
})
