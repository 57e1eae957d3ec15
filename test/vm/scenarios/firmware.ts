/** The same image with EFI instead of a BIOS, and the one for U-Boot: each starts, is found good, and its menu takes a new release. */
import assert from 'node:assert/strict'
import type { Lab } from '../lab.ts'
import { install, installed, order, reboot } from '../operate.ts'
import { makeStick } from '../sticks.ts'

export async function firmware(lab: Lab, say: (line: string) => void): Promise<void> {
  const stick = await makeStick(lab.folder, 'stick', { 'acme-2.0.superblock': lab.sample.package })
  for (const firmware of ['efi', 'uboot'] as const) {
    const machine = await lab.fresh({ firmware })
    await machine.waitFor(({ health }) => health?.verdict === 'good', `a healthy device with ${firmware}`, 600)
    assert.equal(
      await machine.run('[ -d /sys/firmware/efi ] && echo efi || echo other'),
      firmware === 'efi' ? 'efi' : 'other',
    )
    await machine.plug('stick', stick)
    await install(machine, '2.0')
    await installed(machine)
    const { job } = await reboot(machine)
    assert.equal(job?.state, 'done')
    assert.equal(await order(machine), '2.0 booted, 1.0 rollback')
    say(`${firmware}: 1.0 started, 2.0 installed and found good`)
    await machine.powerCut()
  }
}
