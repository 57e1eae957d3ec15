/** The boot loader's part of an image: GRUB for BIOS and EFI, or a script for the U-Boot that the board has. */
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { isThere } from '../../base/files.ts'
import { findShared } from '../../base/program.ts'
import { run } from '../../base/run.ts'
import { ROOT_LABEL } from '../tree/fstab.ts'
import { readUbootFile } from '../uboot.ts'
import { BIOS_AT, ESP_AT, ESP_SIZE, writeAt } from './disk.ts'
import type { Architecture } from './release.ts'

/** Where distributions have GRUB's modules for each kind of computer. */
const GRUB = '/usr/lib/grub'
const MODULES = 'part_gpt ext2 search search_label normal configfile linux loadenv test echo serial terminal'.split(' ')
const MORE = 'sleep reboot ls cat minicmd true halt'.split(' ')
const EFI: Record<Architecture, { target: string; name: string; from: string; modules: string[] }> = {
  x86_64: { target: 'x86_64-efi', name: 'BOOTX64.EFI', from: 'grub-efi-amd64-bin', modules: [] },
  arm64: { target: 'arm64-efi', name: 'BOOTAA64.EFI', from: 'grub-efi-arm64-bin', modules: ['fdt'] },
}
const MKIMAGE: Record<Architecture, string> = { x86_64: 'x86', arm64: 'arm64' }

/** @throws Failure `command-missing` when the build host lacks something for that */
export async function checkGrub(architecture: Architecture): Promise<void> {
  const { target, from } = EFI[architecture]
  const needed = [[target, from], ...(architecture === 'x86_64' ? [['i386-pc', 'grub-pc-bin']] : [])] as [
    string,
    string,
  ][]
  for (const [folder, packaged] of needed)
    if (!(await isThere(join(GRUB, folder, 'moddep.lst'))))
      throw new Failure(
        'command-missing',
        `cannot make a GRUB image: ${GRUB}/${folder} is not there; install ${packaged}`,
      )
}

/** Write GRUB into the image: the EFI program, and on PCs also what a BIOS starts. */
export async function writeGrub(image: string, architecture: Architecture, scratch: string, signal: AbortSignal) {
  const early = join(scratch, 'early.cfg')
  const template = await readFile(await findShared('boot/grub/early.cfg'), 'utf8')
  await writeFile(early, template.replace('@LABEL@', ROOT_LABEL))
  const make = async (target: string, name: string, modules: readonly string[]) => {
    const out = join(scratch, name)
    const how = ['-O', target, '-c', early, '-p', '/boot/grub', '-o', out]
    await run(['grub-mkimage', ...how, ...modules, ...MODULES, ...MORE], { signal })
    return out
  }
  const efi = EFI[architecture]
  const program = await make(efi.target, efi.name, ['fat', ...efi.modules])
  await writeEsp(image, { [`EFI/BOOT/${efi.name}`]: program }, scratch, signal)
  if (architecture === 'x86_64') {
    const core = await readFile(await make('i386-pc', 'core.img', ['biosdisk']))
    await embed(image, await readFile(join(GRUB, 'i386-pc/boot.img')), core)
  }
}

/**
 * As grub-bios-setup does, which works on real disks only: boot.img's code into the first sector, with the place of core.img
 * in it, and in core.img's first sector how much follows (GRUB: include/grub/i386/pc/boot.h, diskboot.h).
 */
async function embed(image: string, boot: Buffer, core: Buffer): Promise<void> {
  const sector = BIOS_AT / 512
  if (core.length > ESP_AT - BIOS_AT)
    throw new Failure('internal', 'cannot embed GRUB: it is larger than its partition')
  const code = Buffer.from(boot.subarray(0, 440)) // the partition table's own fields follow
  code.writeBigUInt64LE(BigInt(sector), 0x5c)
  code.writeUInt16LE(0x9090, 0x66) // start from the drive that the BIOS names
  core.writeBigUInt64LE(BigInt(sector + 1), 0x1f4)
  core.writeUInt16LE(Math.ceil(core.length / 512) - 1, 0x1fc)
  await writeAt(image, code, 0)
  await writeAt(image, core, BIOS_AT)
}

/**
 * Write the script that U-Boot's distro_bootcmd looks for: ours, or the one that `file` is.
 * @throws Failure `bad-value`
 */
export async function writeUboot(
  image: string,
  architecture: Architecture,
  file: string | undefined,
  scratch: string,
  signal: AbortSignal,
): Promise<void> {
  const given = file === undefined ? undefined : await readUbootFile(file)
  const script = join(scratch, 'boot.scr')
  if (given?.kind === 'image') await writeFile(script, given.bytes)
  else {
    const source = join(scratch, 'boot.cmd')
    const ours = await readFile(await findShared('boot/uboot/boot.cmd'), 'utf8')
    await writeFile(source, given?.kind === 'script' ? given.text : ours)
    const argv = ['mkimage', '-A', MKIMAGE[architecture], '-T', 'script', '-C', 'none', '-d', source, script]
    await run(argv, { signal, env: { SOURCE_DATE_EPOCH: '0' } })
  }
  // The place of a trial is there from the start, so that it is only ever written over.
  const trial = join(scratch, 'trial.env')
  await writeFile(trial, Buffer.alloc(512))
  await writeEsp(image, { 'boot.scr': script, 'trial.env': trial }, scratch, signal)
}

/** Fill the EFI partition: path there → file. */
async function writeEsp(image: string, files: Record<string, string>, scratch: string, signal: AbortSignal) {
  const esp = join(scratch, 'esp.img')
  await writeFile(esp, '')
  await truncate(esp, ESP_SIZE)
  await run(['mkfs.vfat', '-n', 'ESP', esp], { signal })
  for (const [path, file] of Object.entries(files)) {
    const folders = dirname(path)
      .split('/')
      .filter(name => name !== '.')
    for (let depth = 1; depth <= folders.length; depth++)
      await run(['mmd', '-i', esp, `::/${folders.slice(0, depth).join('/')}`], { signal })
    await run(['mcopy', '-i', esp, file, `::/${path}`], { signal })
  }
  await writeAt(image, await readFile(esp), ESP_AT)
}
