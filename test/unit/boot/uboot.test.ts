/** U-Boot's side of a trial: the sector on FAT in every state that a power cut can leave, our script on it, and U-Boot's own environment. */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { type BootLoader, findBootLoader, type Trial } from '../../../src/boot/bootloader.ts'
import { parseSector, trialSector } from '../../../src/boot/uboot.ts'
import { PROJECT } from '../../kit/project.ts'

let lab: string
beforeEach(async () => {
  lab = await mkdtemp(join(tmpdir(), 'uboot-'))
})
afterEach(() => rm(lab, { recursive: true, force: true }))

const NEW = 'a1'.repeat(16)
const OLD = 'b2'.repeat(16)
const target = (release: string) => ({ deployment: 'not for U-Boot', release })

/** As OSTree writes it, with the new release first. */
const ENVIRONMENT = `kernel_image=/ostree/new/vmlinuz
ramdisk_image=/ostree/new/initramfs
bootargs=root=LABEL=x ostree=/new
bootdir=/ostree/new
kernel_image2=/ostree/old/vmlinuz
ramdisk_image2=/ostree/old/initramfs
bootargs2=root=LABEL=x ostree=/old
bootdir2=/ostree/old
release_id=${NEW}
`

async function board(): Promise<string> {
  const files = {
    'efi/boot.scr': '',
    'boot/loader/uEnv.txt': ENVIRONMENT,
    'boot/ostree/new/vmlinuz': '',
    'boot/ostree/new/initramfs': '',
    'boot/ostree/old/vmlinuz': '',
    'boot/ostree/old/initramfs': '',
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(lab, name, '..'), { recursive: true })
    await writeFile(join(lab, name), text)
  }
  return join(lab, 'efi/trial.env')
}

/** Which release the script starts. */
async function start(...environment: string[]): Promise<'new' | 'old'> {
  const script = [join(PROJECT, 'test/kit/uboot.sh'), join(PROJECT, 'boot/uboot/boot.cmd')]
  const { stdout } = await run(['sh', ...script, join(lab, 'efi'), lab, ...environment])
  return /START .* ostree=\/(new|old)/.exec(stdout)?.[1] as 'new' | 'old'
}

const found = async () => (await findBootLoader(lab)) as BootLoader

describe('the sector', () => {
  test('is made, written over in place and read, and keeps its size', async () => {
    const path = await board()
    const loader = await found()
    expect(loader.name).toBe('U-Boot')
    await loader.clear()
    expect(await loader.read()).toBeUndefined()
    await loader.arm(target(NEW), 3)
    const { ino } = await stat(path)
    expect(await loader.read()).toEqual({ id: NEW, tries: 3 })
    await loader.arm(target(OLD), 10)
    expect(await loader.read()).toEqual({ id: OLD, tries: 10 })
    await loader.clear()
    expect(await readFile(path)).toEqual(Buffer.alloc(512))
    expect((await stat(path)).ino).toBe(ino)
  })

  test('one that another program left longer, shorter or empty is made whole', async () => {
    const path = await board()
    for (const left of ['', 'trial_id=x\n', `${'#'.repeat(700)}\n`]) {
      await writeFile(path, left)
      await (await found()).arm(target(NEW), 2)
      expect(await readFile(path)).toEqual(trialSector({ id: NEW, tries: 2 }))
    }
  })

  test('a release without an id is not counted, and neither is the one before any more', async () => {
    await board()
    const loader = await found()
    await loader.arm(target(NEW), 3)
    await loader.arm(target(''), 3)
    expect(await loader.read()).toBeUndefined()
  })

  test.each<[string, Trial | undefined, Trial | undefined]>([
    ['armed', undefined, { id: NEW, tries: 3 }],
    ['armed after another', { id: OLD, tries: 0 }, { id: NEW, tries: 10 }],
    ['filled up', { id: NEW, tries: 1 }, { id: NEW, tries: 3 }],
    ['filled up to two digits', { id: NEW, tries: 9 }, { id: NEW, tries: 10 }],
    ['counted from two digits', { id: NEW, tries: 10 }, { id: NEW, tries: 9 }],
    ['cleared', { id: NEW, tries: 2 }, undefined],
  ])('%s, and cut at any byte: the trial before, the one after, more tries, or none', async (_, before, after) => {
    const [old, fresh] = [trialSector(before), trialSector(after)]
    for (let cut = 0; cut <= 512; cut++) {
      const mixed = parseSector(Buffer.concat([fresh.subarray(0, cut), old.subarray(cut)]))
      const same = [before, after].some(one => one?.id === mixed?.id)
      // A torn id is nobody's.
      if (!same || mixed === undefined) continue
      if (after === undefined || before === undefined) expect([undefined, before?.id, after?.id]).toContain(mixed.id)
      else if (before.id === after.id) expect(mixed.tries, `cut at ${cut}`).toBeGreaterThanOrEqual(1)
    }
  })
})

describe('the script', () => {
  test('without a trial it starts what OSTree has first', async () => {
    const path = await board()
    expect(await start()).toBe('new')
    await (await found()).arm(target(OLD), 0)
    expect(await start()).toBe('new')
    await writeFile(path, '')
    expect(await start()).toBe('new')
  })

  test('it counts down in the sector, and then starts the release before', async () => {
    const path = await board()
    const loader = await found()
    await loader.arm(target(NEW), 3)
    for (const left of [2, 1, 0]) {
      expect(await start()).toBe('new')
      expect(await readFile(path)).toEqual(trialSector({ id: NEW, tries: left }))
    }
    expect(await start()).toBe('old')
    expect(await start()).toBe('old')
    await loader.arm(target(NEW), 40)
    expect(await start()).toBe('new')
    expect(await loader.read()).toEqual({ id: NEW, tries: 10 })
  })

  test('a start that cannot be counted is one of the release before', async () => {
    const path = await board()
    await (await found()).arm(target(NEW), 3)
    const sector = await readFile(path)
    // Its FAT cannot be written.
    expect(await start('PROTECTED=1')).toBe('old')
    expect(await readFile(path)).toEqual(sector)
  })

  test('where U-Boot counts by itself, it starts the release before only when that says so, and only on this trial', async () => {
    await board()
    const counted = ['upgrade_available=1', `trial_id=${NEW}`]
    expect(await start(...counted)).toBe('new')
    expect(await start(...counted, 'trial_over=1')).toBe('old')
    expect(await start('upgrade_available=1', `trial_id=${OLD}`, 'trial_over=1')).toBe('new')
    // What the file says does not count then.
    await (await found()).arm(target(NEW), 0)
    expect(await start(...counted)).toBe('new')
  })
})

const hasTools = (await run(['sh', '-c', 'command -v fw_setenv'], { accept: [1, 127] })).status === 0

const why = hasTools ? '' : ' (skipped: fw_setenv is not installed)'
describe.skipIf(!hasTools)(`U-Boot's own environment${why}`, () => {
  const SIZE = 0x2000
  async function flash(text: string) {
    await board()
    await mkdir(join(lab, 'etc'))
    await writeFile(join(lab, 'flash'), Buffer.alloc(SIZE))
    await writeFile(join(lab, 'etc/fw_env.config'), `${join(lab, 'flash')} 0x0 0x${SIZE.toString(16)}\n`)
    await writeFile(join(lab, 'first'), text)
    const config = ['--config', join(lab, 'etc/fw_env.config')]
    await run(['fw_setenv', ...config, '--defenv', join(lab, 'first'), '--script', join(lab, 'first')])
    return async () => (await run(['fw_printenv', ...config])).stdout
  }

  test('counts where the board has been prepared for it', async () => {
    const printed = await flash('upgrade_available=0\naltbootcmd=setenv trial_over 1; run bootcmd\nbootdelay=2\n')
    const loader = await found()
    expect(loader.name).toBe("U-Boot's bootcount")
    expect(await loader.read()).toBeUndefined()
    await loader.arm(target(NEW), 3)
    expect(await loader.read()).toEqual({ id: NEW, tries: 3 })
    expect(await printed()).toMatch(/bootcount=0\nbootdelay=2\nbootlimit=3/)
    await loader.arm(target(NEW), 0)
    expect(await loader.read()).toEqual({ id: NEW, tries: 0 })
    // 0 would be no limit at all.
    expect(await printed()).toMatch(/bootcount=1\n.*\nbootlimit=1/)
    await loader.clear()
    expect(await loader.read()).toBeUndefined()
    const cleared = await readFile(join(lab, 'flash'))
    await loader.clear()
    expect(await readFile(join(lab, 'flash'))).toEqual(cleared)
    expect(await printed()).toContain('upgrade_available=0')
    expect(await printed()).not.toContain('trial_id')
  })

  test('does not where it has not', async () => {
    await flash('bootdelay=2\n')
    expect((await found()).name).toBe('U-Boot')
  })
})

test('what is missing is named', async () => {
  const missing = async () => ((await findBootLoader(lab)) as { missing: string }).missing
  expect(await missing()).toContain('grubenv')
  await board()
  await rm(join(lab, 'efi'), { recursive: true })
  expect(await missing()).toContain('boot.scr')
})
