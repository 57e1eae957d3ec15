/** The emulated device itself: what ostree believes in it, what its boot loader does, what lasts and what it leaves behind. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { isThere } from '../../src/base/files.ts'
import { run } from '../../src/base/run.ts'
import { type Device, makeDevice } from '../kit/device.ts'
import { makeStick } from '../kit/stick.ts'
import { commitTree, makeTree } from '../kit/sysroot.ts'

let lab: string
let repo: string
let device: Device
const ref = 'sample/device'

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-kit-')
  repo = join(lab, 'repo')
  for (const version of ['1.0', '2.0']) {
    const tree = join(lab, version)
    await makeTree(tree, { version, files: { 'usr/lib/superblock/release': `${version}\n` } })
    await commitTree(repo, tree, { ref: `${ref}/${version}`, version })
  }
})
afterEach(() => device.destroy())
afterAll(() => rm(lab, { recursive: true, force: true }))

const make = async (name: string) => {
  device = await makeDevice({ folder: join(lab, name), repo, ref: `${ref}/1.0`, os: 'sample' })
  return device
}
const off = { service: false }
const read = async (path: string) => (await device.exec(['cat', path])).stdout
const status = async () => (await device.exec(['ostree', 'admin', 'status'])).stdout

/** Deploy 2.0 from inside, as the device's own service would. */
async function deploy() {
  const local = await makeStick(lab, 'repo-stick')
  await run(['cp', '-a', repo, local.folder])
  await device.insert(local)
  const pull = ['ostree', 'pull-local', '/run/superblock/media/repo-stick/repo', `${ref}/2.0`]
  await device.exec(pull)
  await device.remove(local)
  await device.exec(['ostree', 'admin', 'deploy', `${ref}/2.0`])
}

async function trial(id: string, tries: number) {
  const block = `# GRUB Environment Block\ntrial_id=${id}\ntrial_tries=${tries}\n`
  await writeFile(join(device.sysroot, 'boot/grub/grubenv'), block.padEnd(1024, '#'))
}

test('ostree marks the booted, the pending and the rollback deployment', async () => {
  await make('a')
  await device.boot(off)
  expect(await status()).toMatch(/^\* sample [0-9a-f]{64}\.0$/m)
  await deploy()
  expect(await status()).toMatch(/sample .*\(pending\)[\s\S]*^\* sample/m)
  await expect(device.exec(['ostree', 'admin', 'undeploy', '1'])).rejects.toThrow(/booted/)
  await device.powerCut()
  await device.boot(off)
  expect(await status()).toMatch(/^\* sample [\s\S]*\(rollback\)/m)
  expect(await read('/usr/lib/os-release')).toContain('VERSION_ID=2.0')
})

test("the tree's own files lie over the programs of the userland", async () => {
  await make('a')
  await device.boot(off)
  expect(await read('/usr/lib/superblock/release')).toBe('1.0\n')
  expect(await read('/etc/hostname')).toBe('sample\n')
  await expect(device.exec(['touch', '/usr/lib/new'])).rejects.toThrow(/Read-only/)
})

test('while the default is on trial its tries are counted down, then the entry below boots', async () => {
  await make('a')
  await device.boot(off)
  await deploy()
  await device.powerCut()
  const { id } = await device.boot(off)
  await device.powerCut()
  await trial(id, 2)
  const booted: string[] = []
  for (let i = 0; i < 4; i++) {
    booted.push((await device.boot(off)).id)
    await device.powerCut()
  }
  expect(booted.map(one => one === id)).toEqual([true, true, false, false])
  const block = await readFile(join(device.sysroot, 'boot/grub/grubenv'), 'latin1')
  expect(block).toHaveLength(1024)
  expect(block).toContain(`trial_id=${id}\ntrial_tries=0\n#`)
  await trial('another', 0)
  expect((await device.boot(off)).id).toBe(id)
})

test('with one entry only, tries that are used up boot it all the same', async () => {
  await make('a')
  const { id } = await device.boot(off)
  await device.powerCut()
  await trial(id, 0)
  expect((await device.boot(off)).id).toBe(id)
})

test('/var and /etc last over a power cut, /run and /tmp do not, and each boot has its own id', async () => {
  await make('a')
  await device.boot(off)
  for (const path of ['/var/kept', '/etc/kept', '/run/superblock/gone', '/tmp/gone'])
    await device.exec(['sh', '-c', `echo here >${path}`])
  const first = await read('/proc/sys/kernel/random/boot_id')
  await device.powerCut()
  await device.boot(off)
  expect(await read('/var/kept')).toBe('here\n')
  expect(await read('/etc/kept')).toBe('here\n')
  await expect(read('/run/superblock/gone')).rejects.toThrow(/No such file/)
  await expect(read('/tmp/gone')).rejects.toThrow(/No such file/)
  const second = await read('/proc/sys/kernel/random/boot_id')
  expect(second).toMatch(/^[0-9a-f-]{36}\n$/)
  expect(second).not.toBe(first)
  expect(second).not.toBe(await readFile('/proc/sys/kernel/random/boot_id', 'utf8'))
})

test('a stick is a read-only mount while it is inserted', async () => {
  await make('a')
  await device.boot(off)
  await writeFile(join(lab, 'hello'), 'hello')
  const stick = await makeStick(lab, 'STICK', [join(lab, 'hello')])
  await device.insert(stick)
  expect(await read('/run/superblock/media/STICK/hello')).toBe('hello')
  expect(await read('/proc/self/mountinfo')).toMatch(/ \/run\/superblock\/media\/STICK ro,nosuid,nodev,noexec/)
  await device.remove(stick)
  expect(await read('/proc/self/mountinfo')).not.toContain('STICK')
  await device.insert(stick)
  await device.exec(['sh', '-c', 'exec sleep 100 </run/superblock/media/STICK/hello >/dev/null 2>&1 &'])
  await expect(device.remove(stick)).rejects.toThrow(/busy/)
  await device.remove(stick, { lazy: true })
  expect(await read('/proc/self/mountinfo')).not.toContain('STICK')
})

test('a reboot is asked for inside and told from a power cut', async () => {
  await make('a')
  await device.boot(off)
  await device.exec(['sh', '-c', 'kill -TERM 1'])
  await device.rebooted()
  await device.boot(off)
  const gone = device.rebooted()
  await device.powerCut()
  await expect(gone).rejects.toThrow('went off by itself')
})

test('the service is killed and started while PID 1 and the rest go on', async () => {
  await make('a')
  await device.boot()
  const first = await device.service.pid()
  const { now, peak } = await device.service.memory()
  expect(now).toBeGreaterThan(20e6)
  expect(peak).toBeGreaterThanOrEqual(now)
  await device.exec(['sh', '-c', 'setsid sleep 100 </dev/null >/dev/null 2>&1 & echo $! >/tmp/left'])
  expect(await device.service.kill('SIGKILL')).toBe(137)
  expect(await device.service.pid()).toBeUndefined()
  await expect(device.client.status()).rejects.toThrow(/cannot reach/)
  await device.service.start()
  expect(await device.service.pid()).not.toBe(first)
  expect((await device.cli(['status'])).stdout).toContain('1.0')
  await device.exec(['sh', '-c', 'kill -0 $(cat /tmp/left)'])
  expect((await device.log()).match(/"msg":"ready"/g)).toHaveLength(2)
  expect(await device.service.kill('SIGTERM')).toBe(0)
})

test('a power cut ends every process, and destroy leaves nothing', async () => {
  await make('a')
  await device.boot(off)
  await device.exec(['sh', '-c', 'setsid sleep 4711 </dev/null >/dev/null 2>&1 &'])
  const mentions = async () => {
    const found: string[] = []
    for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
      if (command.includes('4711') || command.includes(device.folder) || mounts.includes(device.folder))
        found.push(`${pid} ${command}`)
    }
    return found
  }
  expect((await mentions()).length).toBeGreaterThan(2)
  await device.powerCut()
  expect(await mentions()).toEqual([])
  await device.boot(off)
  await device.destroy()
  expect(await mentions()).toEqual([])
  expect(await isThere(device.folder)).toBe(false)
})
