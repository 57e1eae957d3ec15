/**
 * Sticks with the filesystems that technicians bring, on an emulated device: found every time, quickly, and nothing of them
 * is left when they are gone.
 *
 *   SUPERBLOCK_CYCLES=100 npx vitest run --project system media.test     each kind so many times
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import type { Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { type Fitting, makeFitting } from '../kit/fitting.ts'
import {
  holdings,
  type Image,
  inside,
  KINDS,
  lacking,
  layOut,
  type Mounted,
  makeImage,
  mount,
  plug,
} from '../kit/mounts.ts'
import { cli, verdictOf } from '../kit/operate.ts'
import type { Product } from '../kit/releases.ts'

const ROUNDS = Number(process.env.SUPERBLOCK_CYCLES ?? 25)
const why = await lacking()

let fitting: Fitting
let lab: string
let product: Product
let device: Device
let two: PackageResult

describe.skipIf(why)(`real sticks${why ? ` (skipped: ${why})` : ''}`, () => {
  beforeAll(async () => {
    fitting = await makeFitting('2.0', 'two')
    ;({ folder: lab, device, offered: two, product } = fitting)
  })
  afterAll(() => fitting?.end())

  const at = (name: string) => `/run/superblock/media/${name}`
  const media = (snapshot: Snapshot) => snapshot.media.filter(medium => medium.kind === 'stick')

  test('each is found every time it is put in, and nothing is left of it when it is taken out', async () => {
    const folder = await layOut(join(lab, 'one'), { 'two.superblock': two.file })
    const images: Image[] = []
    for (const kind of KINDS) images.push(await makeImage(kind, join(lab, `${kind}.img`), folder))
    const pid = (await device.service.pid()) as number
    const before = await holdings(pid)
    const took: { alone: number[]; together: number[] } = { alone: [], together: [] }
    const insert = async (image: Image): Promise<[Mounted, number]> => {
      const mounted = await plug(device, image, image.kind)
      const from = performance.now()
      const fits = (offer: Snapshot['offers'][number]) => offer.medium === at(image.kind) && offer.verdict.fits
      await device.waitFor(({ offers }) => offers.some(fits), `the package on ${image.kind}`)
      return [mounted, performance.now() - from]
    }
    const nothing = (snapshot: Snapshot) => media(snapshot).length === 0 && snapshot.offers.length === 0
    for (let round = 0; round < ROUNDS; round++) {
      // One at a time, as people do it, and four at once.
      const sets = round % 5 === 0 ? images.map(image => [image]) : [images]
      for (const set of sets) {
        const inserted = await Promise.all(set.map(insert))
        took[set.length === 1 ? 'alone' : 'together'].push(...inserted.map(([, ms]) => ms))
        expect((await device.client.status()).offers).toHaveLength(set.length)
        await Promise.all(inserted.map(([mounted]) => mounted.remove()))
        await device.waitFor(nothing, 'an empty list')
      }
    }
    for (const [how, list] of Object.entries(took)) {
      list.sort((a, b) => a - b)
      const p = (share: number) => Math.round(list[Math.ceil(list.length * share) - 1] ?? 0)
      console.log(
        `${list.length} sticks ${how}, mounted to verdict: p50 ${p(0.5)} ms, p95 ${p(0.95)} ms, longest ${p(1)} ms`,
      )
    }
    // A stick costs the start of one program and little more, as fast as this machine is just now.
    const starts: number[] = []
    for (let i = 0; i < 5; i++) {
      const from = performance.now()
      await run([process.execPath, '--eval', '0'])
      starts.push(performance.now() - from)
    }
    const start = starts.sort((a, b) => a - b)[2] ?? 0
    expect(took.alone[Math.floor(took.alone.length / 2)]).toBeLessThan(10 * start)
    const all = [...took.alone, ...took.together]
    expect(all).toHaveLength(ROUNDS * KINDS.length)
    await expect.poll(() => holdings(pid), { timeout: 10_000 }).toEqual(before)
  }, 600_000)

  const paths = (snapshot: Snapshot) => snapshot.offers.map(offer => offer.path).sort()
  const shows = (expected: string[], what: string) =>
    device.waitFor(
      snapshot => paths(snapshot).join('\n') === expected.map(at).sort().join('\n'),
      `${what}: ${expected.join(', ')}`,
    )
  /** A folder on the device as the host sees it, made there. */
  async function folderOf(path: string): Promise<string> {
    await device.exec(['mkdir', '-p', path])
    return join(device.folder, 'root', path)
  }
  const enter = async (...argv: string[]) => run([...(await inside(device)), ...argv])
  async function imageOf(name: string, files: Record<string, string | Uint8Array>): Promise<Image> {
    return makeImage('ext4', join(lab, `${name}.img`), await layOut(join(lab, name), files), 24)
  }

  test('what is in already is found when the service starts', async () => {
    const stick = await plug(device, await imageOf('early', { 'early.superblock': two.file }), 'EARLY')
    await device.service.kill('SIGKILL')
    await device.service.start()
    await shows(['EARLY/early.superblock'], 'what was in before')
    await stick.remove()
    await shows([], 'nothing')
  })

  test('a mount on a folder of a stick, over a stick, or beside it, is a medium of its own', async () => {
    const lower = await imageOf('lower', { 'lower.superblock': two.file, 'sub/deep.superblock': two.file })
    const upper = await imageOf('upper', { 'upper.superblock': two.file })
    const stick = await plug(device, lower, 'LOWER')
    await shows(['LOWER/lower.superblock', 'LOWER/sub/deep.superblock'], 'the stick')
    const sub = await mount(upper, join(stick.path, 'sub'), { inside: Number((await inside(device))[2]) })
    await shows(['LOWER/lower.superblock', 'LOWER/sub/upper.superblock'], 'a mount in a folder of it')
    await sub.remove()
    await shows(['LOWER/lower.superblock', 'LOWER/sub/deep.superblock'], 'the stick again')
    // A part of the same filesystem, which has the same device number.
    const other = await folderOf(at('BIND'))
    await enter('mount', '--bind', '--make-private', join(stick.path, 'sub'), other)
    await shows(['LOWER/lower.superblock', 'LOWER/sub/deep.superblock', 'BIND/deep.superblock'], 'a second mount of it')
    await enter('mount', '--bind', stick.path, join(stick.path, 'sub'))
    const seen = ['LOWER/lower.superblock', 'LOWER/sub/lower.superblock', 'LOWER/sub/sub/deep.superblock']
    const snapshot = await shows([...seen, 'BIND/deep.superblock'], 'a part of itself in a folder of it')
    expect(snapshot.offers.map(offer => offer.medium).sort()).toEqual(
      [at('BIND'), at('LOWER'), at('LOWER/sub'), at('LOWER/sub')].sort(),
    )
    await enter('umount', join(stick.path, 'sub'))
    await enter('umount', other)
    const over = await mount(upper, stick.path, { inside: Number((await inside(device))[2]) })
    await shows(['LOWER/upper.superblock'], 'a mount over it')
    await over.remove()
    await shows(['LOWER/lower.superblock', 'LOWER/sub/deep.superblock'], 'the stick again')
    await stick.remove()
    await shows([], 'nothing')
  })

  test('another stick in the same place within a moment is another stick', async () => {
    const folder = await folderOf(at('SWAP'))
    const pid = (await device.service.pid()) as number
    /** While the service does not look. The kernel gives the new mount the number of the old one. */
    const swap = async (...steps: string[][]) => {
      process.kill(pid, 'SIGSTOP')
      try {
        for (const step of steps) await enter(...step)
      } finally {
        process.kill(pid, 'SIGCONT')
      }
    }
    const fresh = (name: string) => [
      ['mount', '-t', 'tmpfs', 'swap', folder],
      ['cp', two.file, join(folder, `${name}.superblock`)],
    ]
    await swap(...fresh('first'))
    await shows(['SWAP/first.superblock'], 'the first')
    await swap(['umount', folder], ...fresh('second'))
    await shows(['SWAP/second.superblock'], 'the second')
    await enter('umount', folder)
    // Other folders of one filesystem, which goes on.
    for (const name of ['third', 'fourth']) await layOut(join(lab, name), { [`${name}.superblock`]: two.file })
    await enter('mount', '--bind', join(lab, 'third'), folder)
    await shows(['SWAP/third.superblock'], 'the third')
    await swap(['umount', folder], ['mount', '--bind', join(lab, 'fourth'), folder])
    await shows(['SWAP/fourth.superblock'], 'the fourth')
    await enter('umount', folder)
    await shows([], 'nothing')
  })

  test('a stick that is written to: a copy under way, a better one instead of it, and what macOS leaves', async () => {
    const folder = await folderOf(at('COPY'))
    await enter('mount', '-t', 'tmpfs', 'copy', folder)
    const target = at('COPY/new.superblock')
    const bytes = await readFile(two.file)
    const half = { input: bytes.subarray(0, bytes.length / 2) }
    await device.exec(['sh', '-c', 'cat >"$0"', target], half)
    const verdict = (code: string) =>
      device.waitFor(
        ({ offers }) =>
          offers.some(one => one.path === target && (one.verdict.fits ? 'fits' : one.verdict.code) === code),
        `${code} for it`,
      )
    const { offers } = await verdict('truncated')
    expect(offers[0]?.verdict).toMatchObject({ why: expect.stringContaining('still being copied') })
    await device.exec(['sh', '-c', 'cat >>"$0"', target], { input: bytes.subarray(bytes.length / 2) })
    await verdict('fits')
    await device.exec(['sh', '-c', 'echo hello >"$0"', target])
    await verdict('not-a-package')
    await device.exec(['sh', '-c', 'cat >"$0.part" && mv "$0.part" "$0"', target], { input: bytes })
    await verdict('fits')
    await device.exec(['sh', '-c', 'echo x >"$0"', at('COPY/._new.superblock')])
    expect(await verdictOf(device, '._new.superblock')).toBe('sidecar')
    await device.exec(['rm', target, at('COPY/._new.superblock')])
    await shows([], 'an empty stick')
    await enter('umount', folder)
  })

  test('of more sticks than are read at a time the last is said to wait, and takes its turn', async () => {
    const folder = await layOut(join(lab, 'many'), { 'many.superblock': Buffer.from('x') })
    const names = Array.from({ length: 9 }, (_, i) => `MANY${i}`)
    for (const name of names) await enter('mount', '--bind', folder, await folderOf(at(name)))
    const said = await device.waitFor(({ media, offers }) => media.length === 10 && offers.length === 8, 'nine sticks')
    expect(
      media(said)
        .map(medium => medium.code)
        .filter(Boolean),
    ).toEqual(['too-many-media'])
    const reading = media(said).find(medium => medium.state === 'ready')
    await enter('umount', join(device.folder, 'root', reading?.path ?? ''))
    await device.waitFor(({ media, offers }) => media.length === 9 && offers.length === 8, 'the ninth')
    expect(
      media(await device.client.status())
        .map(medium => medium.code)
        .filter(Boolean),
    ).toEqual([])
    for (const name of names) await enter('umount', join(device.folder, 'root', at(name))).catch(() => {})
    await shows([], 'nothing')
  })

  test('sticks that a desktop mounts are found where it mounts them, and named by either path', async () => {
    await device.powerCut()
    const desktop = await product.device('e', { config: '[media]\nroots = ["/run/superblock/media", "/media"]\n' })
    try {
      device = desktop
      await desktop.boot()
      const folder = await folderOf('/run/media/ada/MY STICK')
      await enter('mount', '--bind', join(lab, 'one'), folder)
      const { offers } = await desktop.waitFor(({ offers }) => offers.length === 1, 'the package')
      expect(offers[0]).toMatchObject({ medium: '/run/media/ada/MY STICK', verdict: { fits: true } })
      // /media is a link on such systems, as /home is.
      const done = await cli(desktop, 'install', '/media/ada/MY STICK/two.superblock')
      expect([done.status, done.stderr]).toEqual([0, ''])
    } finally {
      await desktop.destroy()
    }
  })
})
