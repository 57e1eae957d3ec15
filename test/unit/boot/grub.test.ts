/** The environment block, byte for byte as grub-editenv 2.06 writes it (test/golden/grub). */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BootLoader, findBootLoader, trialId } from '../../../src/boot/bootloader.ts'
import { editBlock, parseBlock, readEnvironment, writeEnvironment } from '../../../src/boot/grub.ts'
import { PROJECT } from '../../kit/project.ts'

const golden = (name: string) => readFile(join(PROJECT, 'test/golden/grub', `${name}.env`))
let lab: string
beforeAll(async () => {
  lab = await mkdtemp(join(tmpdir(), 'sb-grub-'))
})
afterAll(() => rm(lab, { recursive: true, force: true }))

test('reads what grub-editenv wrote', async () => {
  expect([...parseBlock(await golden('armed'))]).toEqual([
    ['saved_entry', '0'],
    ['next_entry', ''],
    ['odd', 'a\\b=c#d'],
    ['trial_id', 'abc.0'],
    ['trial_tries', '3'],
  ])
  expect(parseBlock(await golden('newline')).get('nl')).toBe('one\ntwo')
})

test('writes what grub-editenv would', async () => {
  const [others, armed, changed, cleared, newline] = await Promise.all(
    ['others', 'armed', 'changed', 'cleared', 'newline'].map(golden),
  )
  if (!others || !armed || !changed || !cleared || !newline) throw new Error('a golden file is missing')
  expect(editBlock(others, { trial_id: 'abc.0', trial_tries: '3' })).toEqual(armed)
  expect(editBlock(armed, { trial_tries: '12', next_entry: null })).toEqual(changed)
  expect(editBlock(changed, { trial_id: null, trial_tries: null, absent: null })).toEqual(cleared)
  expect(editBlock(cleared, { nl: 'one\ntwo' })).toEqual(newline)
  expect(editBlock(newline, { nl: null })).toEqual(cleared)
})

test('any values survive, and those of others stay', () => {
  const name = fc.stringMatching(/^[a-z_]{1,12}$/)
  const value = fc.string({ unit: fc.constantFrom('a', '=', '#', '\\', '\n', ' '), maxLength: 20 })
  const empty = Buffer.from('# GRUB Environment Block\n'.padEnd(1024, '#'))
  fc.assert(
    fc.property(fc.dictionary(name, value, { maxKeys: 8 }), name, value, (all, changedName, changed) => {
      const before = editBlock(empty, all)
      const after = editBlock(before, { [changedName]: changed })
      expect(after.length).toBe(1024)
      expect(Object.fromEntries(parseBlock(after))).toEqual({ ...all, [changedName]: changed })
    }),
  )
})

test('what is no block, cut short or full is refused and stays as it is', async () => {
  const path = join(lab, 'bad')
  const full = editBlock(await golden('others'), { fill: 'x'.repeat(800) })
  for (const bad of ['', 'saved_entry=0\n', '# GRUB Environment Block\ntrial_id=a', full]) {
    await writeFile(path, bad)
    const change = writeEnvironment(path, { trial_id: 'a'.repeat(100) })
    await expect(change).rejects.toMatchObject({
      code: 'grubenv',
      message: expect.stringMatching(/^cannot write .*bad: /),
    })
    expect(await readFile(path)).toEqual(Buffer.from(bad))
  }
  await expect(readEnvironment(join(lab, 'absent'))).rejects.toMatchObject({ code: 'grubenv' })
})

test('a trial is armed in place, read and cleared', async () => {
  const target = { deployment: `${'c'.repeat(64)}.0`, release: 'not for GRUB' }
  await mkdir(join(lab, 'boot/grub'), { recursive: true })
  expect(await findBootLoader(lab)).toMatchObject({ missing: expect.stringContaining('/boot/grub/grubenv') })
  const path = join(lab, 'boot/grub/grubenv')
  await writeFile(path, await golden('others'))
  const { ino } = await stat(path)
  const loader = (await findBootLoader(lab)) as BootLoader
  expect(loader.name).toBe('GRUB')
  expect(await loader.read()).toBeUndefined()
  await loader.arm(target, 3)
  expect(await loader.read()).toEqual({ id: target.deployment, tries: 3 })
  await loader.clear()
  await loader.clear()
  expect(await readFile(path)).toEqual(await golden('others'))
  // GRUB reads the blocks that this inode had.
  expect((await stat(path)).ino).toBe(ino)
})

test('a block that GRUB cannot read ends a trial by being made anew, in place', async () => {
  const path = join(lab, 'boot/grub/grubenv')
  const loader = (await findBootLoader(lab)) as BootLoader
  for (const bad of ['', '\0'.repeat(1024), 'x'.repeat(5000)]) {
    await writeFile(path, bad)
    const { ino } = await stat(path)
    await loader.clear()
    expect((await readFile(path)).equals(Buffer.from('# GRUB Environment Block\n'.padEnd(1024, '#')))).toBe(true)
    expect((await stat(path)).ino).toBe(ino)
    expect(await loader.read()).toBeUndefined()
  }
})

test('the id is that of the deployment to be, or just made', () => {
  const one = (commit: string, serial: number, booted = false, os = 'sample') => ({ os, commit, serial, booted })
  const idOf = (list: ReturnType<typeof one>[]) => trialId(list, { os: 'sample', commit: 'a' })
  expect(idOf([one('b', 0, true)])).toBe('a.0')
  expect(idOf([one('b', 0, true), one('a', 0), one('a', 2)])).toBe('a.3')
  expect(idOf([one('a', 1), one('b', 0, true), one('a', 0)])).toBe('a.1')
  expect(idOf([one('a', 0, true)])).toBe('a.1')
  expect(idOf([one('a', 4, false, 'other'), one('b', 0, true)])).toBe('a.0')
})
