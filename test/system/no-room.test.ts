/** No room at all, not even what is kept back for this: the service starts and says so, and the way back is open and stays taken. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import type { Snapshot } from '../../src/update/snapshot.ts'
import type { Device } from '../kit/device.ts'
import { atRest, cli, install, offerOf, order, restart } from '../kit/operate.ts'
import { makeProduct, type Product } from '../kit/releases.ts'
import { makeStick } from '../kit/stick.ts'

let lab: string
let product: Product
let device: Device

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-no-room-')
  product = await makeProduct(lab)
  await product.release('2.0')
  await product.package('2.0')
})
afterAll(() => rm(lab, { recursive: true, force: true }))
afterEach(async () => {
  await device.powerCut()
  await run(['umount', device.sysroot])
  await device.destroy()
})

/** A device whose sysroot is a disk of its own, which lasts. */
async function deviceOn(name: string, format: readonly string[], size: string): Promise<Device> {
  const made = await product.device(name)
  const [image, old] = [join(lab, `${name}.img`), join(lab, `${name}.old`)]
  await run(['mv', made.sysroot, old])
  await mkdir(made.sysroot)
  await run(['mke2fs', '-q', '-t', 'ext4', '-m', '0', ...format, image, size])
  await run(['mount', '-o', 'loop', image, made.sysroot])
  await run(['cp', '-a', `${old}/.`, made.sysroot])
  await run(['rm', '-rf', old])
  return made
}

const sh = (script: string) => device.exec(['sh', '-c', script])

/** A file system keeps some blocks back from the large files: small ones get them. */
const FULL = `mkdir -p /var/fill; cat /dev/zero >>/var/fill/large || sync
i=$(ls /var/fill | wc -l); while head -c 4096 /dev/zero >/var/fill/$i; do i=$((i + 1)); [ $((i % 50)) -gt 0 ] || sync; done; sync`
const MANY = 'mkdir -p /var/fill; i=$(ls /var/fill | wc -l); while touch /var/fill/$i; do i=$((i + 1)); done; true'

// A disk that lasts longer than a start needs mount's rights.
describe.skipIf(process.getuid?.() !== 0)('on a disk of its own (needs root)', () => {
  test.each([
    ['bytes', [], '200m', FULL],
    ['inodes', ['-N', '5000'], '400m', MANY],
  ])('no %s: the service starts, says so, and a rollback lasts', async (what, format, size, fill) => {
    device = await deviceOn(what, format, size)
    await device.boot()
    await atRest(device)
    await device.insert(await makeStick(lab, 'STICK', [join(lab, 'acme-2.0.superblock')]))
    const job = await install(device, { id: (await offerOf(device, 'acme-2.0.superblock')).id })
    expect(job.state).toBe('reboot')
    await restart(device)
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')

    // What the service tidies up makes room, once.
    for (let time = 0; time < 2; time++) {
      await device.service.kill('SIGKILL')
      await sh('rm -rf /var/lib/superblock/reserve /var/lib/superblock/state.spare')
      await sh(fill)
      expect(
        (await device.exec(['sh', '-c', 'head -c 50000 /dev/zero >/var/more'], { accept: [1, 2] })).status,
      ).not.toBe(0)
      await device.service.start()
      await atRest(device)
    }
    const { problems } = await device.client.status()
    expect(problems.map(({ code }) => code)).toContain('disk-full')
    expect((await cli(device, 'doctor')).status).toBe(6)

    const done = await cli(device, 'rollback', '--yes', '--reason', 'the disk is full')
    expect([done.status, done.stderr]).toEqual([0, ''])
    for (let boot = 0; boot < 3; boot++) {
      await device.powerCut()
      await device.boot()
      await atRest(device)
      expect((await device.client.status()).deployments.find(one => one.booted)?.version).toBe('1.0')
      await device.service.kill('SIGKILL')
      await device.service.start()
      await atRest(device)
    }
    // With room again it is as after any rollback.
    await sh('rm -rf /var/fill*')
    const isSettled = ({ problems, deployments: [first] }: Snapshot) =>
      problems.length === 0 && first?.version === '1.0'
    await device.waitFor(isSettled, 'the end of the problem', 60)
    await device.powerCut()
    await device.boot()
    await atRest(device)
    expect(await order(device)).toBe('1.0 booted, 2.0 rollback')
  })
})
