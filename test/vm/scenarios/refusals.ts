/** Everything that is wrong with what technicians bring, on one stick: each is listed with its reason, none is installed. */
import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { assemble, smallPackage } from '../../kit/packages.ts'
import { newKey } from '../../kit/releases.ts'
import type { Lab } from '../lab.ts'
import { makePackage } from '../releases.ts'
import { makeForeignStick, makeStick } from '../sticks.ts'

/** File → what is said of it by the service, and on the screen. */
const EXPECTED: Record<string, [code: string, words: RegExp]> = {
  'older.superblock': ['older', /older/],
  'other-device.superblock': ['wrong-device', /for another product/],
  'unsigned.superblock': ['unsigned', /not signed/],
  'stranger.superblock': ['unknown-signer', /unknown signer/],
  'truncated.superblock': ['truncated', /incomplete/],
  '._acme-2.0.superblock': ['sidecar', /left by macOS/],
  'letter.superblock': ['not-a-package', /not a package/],
}

export async function refusals(lab: Lab, say: (line: string) => void): Promise<void> {
  const stranger = await newKey('Stranger')
  const files = {
    'older.superblock': await makePackage(lab.sample, { version: '0.9', timestamp: '2025-01-01T00:00:00Z' }),
    'other-device.superblock': await makePackage(lab.sample, { version: '2.1', compatible: 'acme-press' }),
    'unsigned.superblock': assemble(await smallPackage([])),
    'stranger.superblock': assemble(await smallPackage([stranger])),
    'truncated.superblock': await beginning(lab.sample.package, 20 * 2 ** 20),
    '._acme-2.0.superblock': Buffer.from('\0\u0005\u0016\u0007\0\u0002\0\0Mac OS X'),
    'letter.superblock': Buffer.from('Dear technician,\n'),
  }
  const stick = await makeStick(lab.folder, 'stick', files, { size: 600 })
  const foreign = await makeForeignStick(lab.folder, 'mac')
  const machine = await lab.ready()
  say('the device runs 1.0')

  await machine.plug('stick', stick)
  await machine.plug('mac', foreign)
  const names = Object.keys(EXPECTED)
  const { offers, media, job } = await machine.waitFor(
    ({ offers, media }) => offers.length === names.length && media.some(({ state }) => state === 'trouble'),
    'all seven files, and the stick that cannot be read',
  )
  const said = Object.fromEntries(offers.map(({ file, verdict }) => [file, verdict.fits ? 'fits' : verdict.code]))
  assert.deepEqual(said, Object.fromEntries(names.map(name => [name, EXPECTED[name]?.[0]])))
  assert.equal(media.find(({ state }) => state === 'trouble')?.code, 'unsupported-filesystem')
  assert.equal(job, null)
  say('each is refused for its reason')

  await machine.sees(/Nothing that was found fits this device/)
  await machine.press('p')
  const list = await machine.sees(/Packages that were found/)
  await lab.picture(machine, 'refused')
  for (const [, words] of Object.values(EXPECTED)) assert.match(list, words)
  // On a file that does not fit, Enter does nothing.
  await machine.press('ret')
  assert.equal((await machine.status()).job, null)
  await machine.press('esc')
  await machine.sees(/apfs/i)
}

async function beginning(file: string, size: number): Promise<Buffer> {
  const handle = await open(file)
  try {
    return (await handle.read(Buffer.alloc(size), 0, size, 0)).buffer
  } finally {
    await handle.close()
  }
}
