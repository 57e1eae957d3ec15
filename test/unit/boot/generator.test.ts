/** GRUB's menu as libostree has it made, and its countdown, run by a shell in GRUB's place. */
import { mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { PROJECT } from '../../kit/project.ts'
import { commitTree, makeSysroot, makeTree, rootless, rootlessEnv } from '../../kit/sysroot.ts'

const GENERATOR = join(PROJECT, 'boot/grub/grub-mkconfig')
const OS = 'acme'
const REF = 'acme/gw'

let folder: string
let sysroot: string
let config: string
/** `<commit>.<serial>`, in the order of the menu */
let deployed: string[]

const admin = (...argv: string[]) =>
  run(rootless(['ostree', 'admin', ...argv, `--sysroot=${sysroot}`]), {
    env: { ...rootlessEnv, OSTREE_GRUB2_EXEC: GENERATOR },
  })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'generator-'))
  const repo = join(folder, 'repo')
  const release = async (version: string) => {
    const files = { 'usr/lib/os-release': `ID=acme\nPRETTY_NAME="It's Acme ${version}"\n` }
    return commitTree(repo, await makeTree(join(folder, version), { version, files }), { ref: REF, version })
  }
  const first = await release('1.0')
  sysroot = await makeSysroot(join(folder, 'sysroot'), { repo, ref: REF, os: OS, bootLoader: 'grub' })
  await symlink('../loader/grub.cfg', join(sysroot, 'boot/grub/grub.cfg'))
  const second = await release('2.0')
  await run(['ostree', 'config', `--repo=${sysroot}/ostree/repo`, 'set', 'sysroot.bootloader', 'grub2'])
  await run(['ostree', 'pull-local', `--repo=${sysroot}/ostree/repo`, repo, REF])
  await admin('deploy', `--os=${OS}`, '--karg=console=tty0', '--karg=console=ttyS1,9600n8', REF)
  deployed = [`${second}.0`, `${first}.0`]
  config = await readFile(join(sysroot, 'boot/grub/grub.cfg'), 'utf8')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const isThere = async (program: string) =>
  (await run(['sh', '-c', `command -v ${program}`], { accept: [1, 127] })).status === 0

describe('the menu', () => {
  test('has the deployments in the order of booting, each by its name', () => {
    const ids = [...config.matchAll(/^menuentry '(.*)' --unrestricted --id 'ostree-(.*)' \{$/gm)]
    expect(ids.map(([, , id]) => id)).toEqual(deployed)
    expect(ids[0]?.[1]).toContain("It'\\''s Acme 2.0")
  })

  test('starts each with its own kernel, initramfs and arguments', async () => {
    const entries = config.split('menuentry').slice(1)
    for (const [i, entry] of entries.entries()) {
      const link = /^ {2}linux (\S+) .*\bostree=(\S+)/m.exec(entry)
      expect(basename(await readlink(join(sysroot, link?.[2] ?? 'none')))).toBe(deployed[i])
      for (const path of [link?.[1], /^ {2}initrd (\S+)$/m.exec(entry)?.[1]])
        expect(await readFile(join(sysroot, path ?? 'none'), 'utf8')).toContain('6.1.0')
    }
    expect(entries[0]).toContain('console=ttyS1,9600n8')
  })

  test("is shown where the kernel's console is", () => {
    expect(config).toContain('serial --unit=1 --speed=9600;')
  })

  test('is valid to GRUB', async context => {
    if (!(await isThere('grub-script-check'))) context.skip('grub-script-check (package grub-common) is not installed')
    await run(['grub-script-check', join(sysroot, 'boot/grub/grub.cfg')])
  })

  test('without a boot entry there is none, and the reason is said', async () => {
    const empty = join(folder, 'boot/loader.0')
    await run(['mkdir', '-p', empty])
    await expect(run([GENERATOR, '-o', join(empty, 'grub.cfg')])).rejects.toThrow(
      /cannot write the boot menu: there is no/,
    )
    await expect(run([GENERATOR])).rejects.toThrow(/grub-mkconfig -o/)
    expect(await readdir(empty)).toEqual([])
  })
})

describe('the countdown', () => {
  /** GRUB's script differs from the shell's in how variables are set. */
  const start = async (id: string, tries: string, save = 'saved=$trial_tries') => {
    const script = config.split('menuentry')[0]?.replace(/\bset (\w+)=/g, '$1=')
    const functions = `serial() { return 1; }
      load_env() { trial_id='${id}' trial_tries='${tries}'; }
      save_env() { ${save}; }
      prefix=${join(sysroot, 'boot/grub')}`
    const file = join(folder, 'countdown.sh')
    await writeFile(file, `${functions}\n${script}\necho "$default $fallback \${saved-unsaved}"`)
    return (await run(['sh', file])).stdout.trim()
  }

  test.each([
    ['3', '0 1 2'],
    ['2', '0 1 1'],
    ['1', '0 1 0'],
    ['30', '0 1 29'],
    ['1000', '0 1 30'],
  ])('with %s tries left the new one starts, and one is taken away', async (tries, expected) => {
    expect(await start(deployed[0] as string, tries)).toBe(expected)
  })

  test.each(['0', '', 'x', '-1'])('with "%s" the one before it starts', async tries => {
    expect(await start(deployed[0] as string, tries)).toBe('1 0 unsaved')
  })

  test('what cannot be counted is not started again and again: the one before it starts', async () => {
    expect(await start(deployed[0] as string, '3', 'return 1')).toBe('1 0 unsaved')
  })

  test('a trial of another deployment, or none, changes nothing', async () => {
    for (const id of [deployed[1] as string, `${deployed[0]}1`, '']) expect(await start(id, '3')).toBe('0 1 unsaved')
  })
})
