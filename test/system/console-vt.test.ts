/** The console on a real Linux virtual terminal, with the kernel's own font. */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Control, makeControl } from '../kit/control.ts'
import { FULL } from '../kit/moments.ts'
import { PROJECT } from '../kit/project.ts'
import { job, medium, offer, snapshot } from '../kit/snapshots.ts'
import { noVt, openVt, type VirtualTerminal } from '../kit/vt.ts'

const why = noVt()

describe.skipIf(why !== undefined)(`on a Linux virtual terminal${why ? ` (skipped: ${why})` : ''}`, () => {
  let control: Control
  let vt: VirtualTerminal | undefined
  beforeEach(async () => {
    control = await makeControl()
  })
  afterEach(async () => {
    await vt?.close()
    vt = undefined
    await control.close()
  })
  const open = (env: Record<string, string>) => {
    const program = [process.execPath, join(PROJECT, 'dist/superblock.js')]
    vt = openVt([...program, '--socket', control.socket, 'console', '--kiosk'], env)
    return vt
  }

  test('home, packages, rollback and progress are readable, in glyphs that its font has', async () => {
    control.set(FULL)
    const { sees, press, missing } = open({ LC_ALL: 'C' })
    await sees(/^─{80}$/m)
    await sees(/Version 2\.0 can be installed[\s\S]*Running +1\.0[\s\S]*STICK \(vfat\): ready/)
    expect(missing()).toBe(0)
    await press('p')
    await sees(/→ {2}2\.0 +fits, newest[\s\S]*Signed by +Gadget Releases/)
    expect(missing()).toBe(0)
    await press('\u001b', 'r')
    await sees(/→ {2}0\.9[\s\S]*pinned[\s\S]*left because: version 2\.0 failed/)
    expect(missing()).toBe(0)
    control.set(snapshot({ media: [medium()], job: job() }))
    await sees(/│ {2}L E A V E {3}T H E {3}S T I C K {3}I N {2}│[\s\S]*√ {2}checking[\s\S]*█{10,}░{10,}[\s\S]*25 %/)
    expect(missing()).toBe(0)
  })

  test('German has its letters, and names in any script are shown in letters that are there', async () => {
    const name = 'Größe – Žižek, Жук, 更新 🚀.superblock'
    control.set(snapshot({ media: [medium()], offers: [offer({ file: name })] }))
    const { sees, press, missing } = open({ LC_ALL: 'de_DE.UTF-8' })
    await sees(/Rückkehr zu/)
    await press('p')
    await sees(/Datei +Größe - Zizek, \\u0416\\u0443\\u043a, \\u66f4\\u65b0\s+\\u\{1f680\}\.superblock/)
    expect(missing()).toBe(0)
  })

  test('no key leaves it', async () => {
    control.set(snapshot())
    const { sees, press } = open({ LC_ALL: 'C' })
    await sees(/Insert a stick/)
    await press('q', '\u0003', '\u001a', 'r')
    await sees(/Which release should the device return to/)
  })
})
