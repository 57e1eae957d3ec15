/** Sticks that answer wrongly or not at all, in one thing and not in others: what is whole on them is found, and nobody else waits. */
import { mkdtemp, rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { PackageResult } from '../../src/builder/package.ts'
import type { MediumInfo, Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { type LyingStick, plugLying } from '../kit/lying.ts'
import type { Spec } from '../kit/lying-fs.ts'
import { lacking } from '../kit/mounts.ts'
import { atRest, cli } from '../kit/operate.ts'
import { makeProduct } from '../kit/releases.ts'

const [ENOENT, EIO] = [2, 5]
const why = await lacking()

let lab: string
let device: Device
let two: PackageResult
const inserted: LyingStick[] = []

describe.skipIf(why)(`sticks that lie${why ? ` (skipped: ${why})` : ''}`, () => {
  beforeAll(async () => {
    lab = await mkdtemp('/tmp/sb-lying-')
    const product = await makeProduct(lab)
    await product.release('2.0')
    two = await product.package('2.0', { name: 'two.superblock' })
    device = await product.device('d')
    await device.boot()
    await atRest(device)
  })
  afterEach(async () => {
    for (const stick of inserted.splice(0)) await stick.remove()
    await device.waitFor(({ media }) => media.every(one => one.kind === 'inbox'), 'no stick')
  })
  afterAll(async () => {
    await device?.destroy()
    await rm(lab, { recursive: true, force: true })
  })

  async function insert(name: string, spec: Spec): Promise<LyingStick> {
    const stick = await plugLying(device, name, spec)
    inserted.push(stick)
    return stick
  }
  const good = () => ({ 'good.superblock': two.file })
  const mediumAt = ({ media }: Snapshot, { path }: LyingStick) => media.find(one => one.path === path)
  const verdicts = ({ offers }: Snapshot, { path }: LyingStick) =>
    offers
      .filter(one => one.medium === path)
      .map(one => `${one.path.slice(path.length + 1)} ${one.verdict.fits ? 'fits' : one.verdict.code}`)
      .sort()
  const becomes = (stick: LyingStick, is: (medium: MediumInfo, snapshot: Snapshot) => boolean, what: string) =>
    device.waitFor(snapshot => {
      const medium = mediumAt(snapshot, stick)
      return medium !== undefined && is(medium, snapshot)
    }, what)

  const DAMAGED = {
    'damaged.superblock': '',
    'zgood.superblock': '',
    'a/good.superblock': '',
    'b/other.superblock': '',
  }
  const files = () => Object.fromEntries(Object.keys(DAMAGED).map(path => [path, two.file]))

  test.each([false, true])('one entry that cannot be looked at hides no other (entries untyped: %s)', async untyped => {
    const failing = { 'lookup:damaged.superblock': EIO, 'lookup:b': EIO }
    const stick = await insert('TORN', { files: files(), behaviour: { failing, untyped } })
    const snapshot = await becomes(
      stick,
      ({ state }, now) => state === 'ready' && verdicts(now, stick).length === 3,
      'all',
    )
    expect(verdicts(snapshot, stick)).toEqual([
      'a/good.superblock fits',
      'damaged.superblock unreadable',
      'zgood.superblock fits',
    ])
    const offer = snapshot.offers.find(one => one.file === 'damaged.superblock')
    expect(offer?.verdict).toMatchObject({
      why: expect.stringMatching(/at byte 0: EIO: i\/o error; copy it to another stick$/),
    })
    const name = untyped ? /^$/ : /the folder b on it cannot be read \(EIO: i\/o error\)/
    expect(mediumAt(snapshot, stick)?.text ?? '').toMatch(name)
  })

  test('a folder that cannot be read is said, and read once it can be', async () => {
    const stick = await insert('TORN', { files: files(), behaviour: { failing: { 'readdir:': EIO } } })
    await becomes(stick, ({ state, code }) => state === 'trouble' && code === 'unreadable', 'as unreadable')
    await stick.behave({})
    await becomes(
      stick,
      ({ state, code }, now) => state === 'ready' && !code && verdicts(now, stick).length === 4,
      'as whole',
    )
  })

  test('names behind which there is nothing cost no more than packages do', async () => {
    const names = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`${i}.superblock`, '']))
    const stick = await insert('EMPTY', { files: names, behaviour: { failing: { lookup: ENOENT } } })
    const snapshot = await becomes(stick, ({ code }) => code === 'too-many-files', 'the bound')
    expect(verdicts(snapshot, stick)).toEqual([])
  })

  test('a package whose name is no UTF-8 is offered, shown, and installed by its id', async () => {
    const stick = await insert('LATIN', { files: { 'Gr\xf6\xdfe-2.0.superblock': two.file } })
    const { offers } = await becomes(stick, (_, now) => verdicts(now, stick).length === 1, 'the package')
    expect(offers[0]).toMatchObject({ file: 'Gr\ueff6\uefdfe-2.0.superblock', verdict: { fits: true } })
    expect((await cli(device, 'list')).stdout).toContain('/run/superblock/media/LATIN/Gr\\xf6\\xdfe-2.0.superblock')
    const { status, stdout } = await cli(device, 'install', two.id.slice(0, 12))
    expect([status, stdout]).toEqual([0, expect.stringContaining('Version 2.0 is installed')])
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
    // As a shell would complete it.
    const line = 'exec "$0" "$1" install "$(printf "/run/superblock/media/LATIN/Gr\\\\366\\\\337e-2.0.superblock")"'
    const programs = '/run/superblock-kit'
    await device.exec(['sh', '-c', line, `${programs}/bin/node`, `${programs}/app/dist/superblock.js`])
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
  })

  const HANGS = ['opendir', 'readdir', 'lookup:good.superblock', 'getattr', 'statfs', 'open', 'read', 'flush']

  test('whatever it is that hangs, it is said, no other waits, and eight of them do not keep out a ninth', async () => {
    const hung: LyingStick[] = []
    for (const [i, operation] of HANGS.entries())
      hung.push(await insert(`HUNG${i}`, { files: good(), behaviour: { silent: [operation] } }))
    const all = (is: (medium: MediumInfo | undefined) => boolean, what: string) =>
      device.waitFor(snapshot => hung.every(stick => is(mediumAt(snapshot, stick))), what, 40)
    await all(medium => medium?.code === 'not-answering' && medium.state === 'trouble', 'all eight as silent')
    const ninth = await insert('NINTH', { files: good() })
    const { media } = await becomes(
      ninth,
      (_, now) => verdicts(now, ninth).join() === 'good.superblock fits',
      'the ninth',
    )
    expect(
      media
        .filter(one => one.kind === 'stick')
        .map(one => one.code ?? one.state)
        .sort(),
    ).toEqual([...HANGS.map(() => 'not-answering'), 'ready'].sort())
    const { job } = await installed()
    expect([job?.state, job?.medium]).toEqual(['reboot', ninth.path])
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end of it')
    // Those that still have a place are read once they answer; the one that had to go is, when there is place again.
    await ninth.remove()
    for (const stick of hung) await stick.behave({})
    for (const stick of hung)
      await becomes(
        stick,
        ({ state }, now) => state === 'ready' && verdicts(now, stick).join() === 'good.superblock fits',
        'as whole',
      )
  }, 120_000)

  async function installed(): Promise<Snapshot> {
    await device.client.install({ id: two.id })
    return device.waitFor(({ job }) => job?.state === 'reboot' || job?.state === 'failed', 'the end of the job')
  }
})
