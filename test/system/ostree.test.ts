/** The engine on a real ostree: each verb does what it says, twice if need be, and a kill at any moment leaves a valid state. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import { plainPath } from '../../src/ostree/object.ts'
import { unpackObject } from '../../src/ostree/unpack.ts'
import { type Device, makeDevice } from '../kit/device.ts'
import { buildEngine, call, FLIP, NODE, placeEngine, verbLine } from '../kit/engine.ts'
import { commitTree, KERNEL_ARGUMENTS, makeTree } from '../kit/sysroot.ts'

const REF = 'sample/stable'
const VERSIONS = ['1.0', '2.0', '3.0', '4.0'] as const
let lab: string
let repo: string
let built: string
let device: Device
const commits: Record<string, string> = {}
const commitOf = (version: string) => commits[version] ?? ''

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-ostree-')
  repo = join(lab, 'repo')
  built = await buildEngine(join(lab, 'built'))
  for (const [at, version] of VERSIONS.entries()) {
    const tree = await makeTree(join(lab, version), {
      version,
      files: { 'usr/share/payload': `payload of ${version}\n`.repeat(1000), 'usr/share/constant': 'same in all\n' },
    })
    const timestamp = `2026-0${at + 1}-01T00:00:00Z`
    commits[version] = await commitTree(repo, tree, { ref: `release/${version}`, version, timestamp })
  }
  await mkdir(join(lab, 'devices'))
})
afterAll(() => rm(lab, { recursive: true, force: true }))

let made = 0
beforeEach(async () => {
  device = await makeDevice({ folder: join(lab, `devices/${++made}`), repo, ref: `release/1.0`, os: 'sample' })
  await on()
})
afterEach(() => device.destroy())

async function on() {
  await device.boot({ service: false })
  await placeEngine(device, built)
}
async function reboot() {
  await device.powerCut()
  await on()
}

/** An object of the archive as an index has it. */
async function describeObject(path: string) {
  const bytes = await readFile(join(repo, path))
  const unpacked = path.endsWith('.filez') ? Number(bytes.readBigUInt64BE(8)) : bytes.length
  return { path, size: bytes.length, unpacked }
}

/** A repo with only those objects of a commit that the device lacks, as the staging step makes it. */
async function stage(
  version: string,
  mode: 'archive' | 'bare-user-only' = 'bare-user-only',
): Promise<{ host: string; inside: string }> {
  const { stdout } = await run(['ostree', 'ls', `--repo=${repo}`, '-RC', commitOf(version)])
  const paths = new Set([`objects/${commitOf(version).slice(0, 2)}/${commitOf(version).slice(2)}.commit`])
  for (const line of stdout.split('\n')) {
    const sums = line.match(/\b[0-9a-f]{64}\b/g) ?? []
    const kinds = line.startsWith('d') ? ['dirtree', 'dirmeta'] : ['filez']
    for (const [at, sum] of sums.entries()) paths.add(`objects/${sum.slice(0, 2)}/${sum.slice(2)}.${kinds[at]}`)
  }
  const described = await Promise.all([...paths].map(path => describeObject(path)))
  const missing = (await call(device, 'lacking', described)) as string[]
  expect(missing.length).toBeLessThan(paths.size)
  const host = join(device.folder, 'shared', `staging-${version}`)
  await rm(host, { recursive: true, force: true })
  await run(['ostree', 'init', `--repo=${host}`, `--mode=${mode}`])
  for (const name of missing) {
    const path = join(host, mode === 'archive' ? name : plainPath(name))
    const bytes = await readFile(join(repo, name))
    const checksum = name.slice(8, 10) + name.slice(11, -'.filez'.length)
    await mkdir(dirname(path), { recursive: true })
    if (mode !== 'archive' && name.endsWith('.filez'))
      await unpackObject(bytes, { checksum, size: Number(bytes.readBigUInt64BE(8)), path, mode })
    else await writeFile(path, bytes)
  }
  return { host, inside: `/run/superblock/staging-${version}` }
}

async function install(version: string) {
  await call(device, 'importCommit', (await stage(version)).inside, commitOf(version), REF)
  await call(device, 'deploy', 'sample', REF)
}

/** `2.0 pending, 1.0 booted`: what the boot order is, in short. */
async function order(): Promise<string> {
  const list = await call(device, 'deployments')
  return list
    .map(one => {
      const flags = (['booted', 'pending', 'rollback', 'pinned'] as const).filter(flag => one[flag])
      return [one.version, ...flags].join(' ')
    })
    .join(', ')
}
const at = async (index: number) => {
  const one = (await call(device, 'deployments'))[index]
  if (!one) throw new Error(`there is no deployment ${index}`)
  return one
}
const etcOf = (commit: string, name: string) => `/sysroot/ostree/deploy/sample/deploy/${commit}.0/etc/${name}`
const fsck = () => device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])

describe('import', () => {
  test('needs only the objects that the device lacks, and may be repeated', async () => {
    const staged = await stage('2.0')
    for (let time = 0; time < 2; time++) await call(device, 'importCommit', staged.inside, commitOf('2.0'), REF)
    expect(await call(device, 'refCommit', REF)).toBe(commitOf('2.0'))
    expect(await call(device, 'commitFacts', commitOf('2.0'))).toEqual({
      timestamp: '2026-02-01T00:00:00Z',
      version: '2.0',
    })
    await fsck()
    // The ref exists now: the next release moves it.
    await call(device, 'importCommit', (await stage('3.0')).inside, commitOf('3.0'), REF)
    expect(await call(device, 'refCommit', REF)).toBe(commitOf('3.0'))
  })

  /** Inode numbers of a repo's objects by their names. */
  const inodes = async (of: string) => {
    const { stdout } = await device.exec(['find', `${of}/objects`, '!', '-type', 'd', '-printf', '%P %i\n'])
    return new Map(stdout.split('\n').map(line => line.split(' ') as [string, string]))
  }

  test('takes objects by a second name, though /var is a mount of its own', async () => {
    await device.exec(['cp', '-a', (await stage('2.0')).inside, '/var/staged'])
    expect(await call(device, 'stagedMode', '/var/staged')).toBe('bare-user-only')
    await call(device, 'importCommit', '/var/staged', commitOf('2.0'), REF)
    const [staged, own] = [await inodes('/var/staged'), await inodes('/sysroot/ostree/repo')]
    expect(staged.size).toBeGreaterThan(5)
    for (const [name, inode] of staged) expect([name, own.get(name)]).toEqual([name, inode])
    await fsck()
  })

  /** Spoil each of some objects of a staged repo in turn: none is taken in, and all of them once they are good. */
  async function refusesSpoiled({ host, inside }: { host: string; inside: string }, kind: string) {
    const before = await order()
    const files = (await readdir(join(host, 'objects'), { recursive: true })).filter(name => name.endsWith(kind))
    for (const name of files.slice(0, 3)) {
      const path = join(host, 'objects', name)
      const good = await readFile(path)
      const bad = Buffer.from(good)
      bad[bad.length - 6] = (bad.at(-6) ?? 0) ^ 1 // of compressed content the last bits may mean nothing
      await writeFile(path, bad)
      await expect(call(device, 'importCommit', inside, commitOf('2.0'), REF)).rejects.toMatchObject({
        code: 'command-failed',
      })
      expect(await call(device, 'refCommit', REF)).toBeNull()
      await expect(call(device, 'deploy', 'sample', REF)).rejects.toMatchObject({ code: 'no-such-ref' })
      await writeFile(path, good)
      await call(device, 'cleanup') // what was good has been kept for the next attempt
    }
    expect(await order()).toBe(before)
    await call(device, 'importCommit', inside, commitOf('2.0'), REF)
    await fsck()
  }

  test('what is not beside the repo is an archive, whose objects ostree checks', async () => {
    expect(await call(device, 'stagedMode', '/run/superblock')).toBe('archive-z2')
    await refusesSpoiled(await stage('2.0', 'archive'), '.filez')
  })

  test('so it is where fs-verity is asked for, and what was staged unpacked before is checked', async () => {
    await device.exec(['mkdir', '/var/staged'])
    const config = '/sysroot/ostree/repo/config'
    await device.exec(['cp', config, '/var/config'])
    for (const section of ['integrity', 'ex-integrity', 'ex-fsverity']) {
      const script = `cat /var/config >${config}; printf "[${section}]\\nsomething=no\\n" >>${config}`
      await device.exec(['sh', '-c', script])
      expect([section, await call(device, 'stagedMode', '/var/staged')]).toEqual([section, 'archive-z2'])
    }
    await refusesSpoiled(await stage('2.0'), '.file')
  })

  test('an interrupted one counts its commit as missing', async () => {
    const { host, inside } = await stage('2.0')
    const [file = ''] = (await readdir(join(host, 'objects'), { recursive: true })).filter(name =>
      name.endsWith('.file'),
    )
    const away = join(lab, 'away.file')
    await cp(join(host, 'objects', file), away)
    await rm(join(host, 'objects', file))
    await expect(call(device, 'importCommit', inside, commitOf('2.0'), REF)).rejects.toThrow(
      /cannot run ostree pull-local/,
    )
    const commit = `objects/${commitOf('2.0').slice(0, 2)}/${commitOf('2.0').slice(2)}.commit`
    expect(await call(device, 'lacking', [await describeObject(commit)])).toEqual([commit])
    await cp(away, join(host, 'objects', file))
    await call(device, 'importCommit', inside, commitOf('2.0'), REF)
    expect(await call(device, 'lacking', [await describeObject(commit)])).toEqual([])
  })

  test('finds a file that is gone below a folder that is there', async () => {
    const { inside } = await stage('2.0')
    await call(device, 'importCommit', inside, commitOf('2.0'), REF)
    const payload = (await run(['ostree', 'ls', `--repo=${repo}`, '-C', commitOf('2.0'), '/usr/share/payload'])).stdout
    const sum = /[0-9a-f]{64}/.exec(payload)?.[0] ?? ''
    const bare = `/sysroot/ostree/repo/objects/${sum.slice(0, 2)}/${sum.slice(2)}.file`
    const commit = `/sysroot/ostree/repo/objects/${commitOf('2.0').slice(0, 2)}/${commitOf('2.0').slice(2)}.commit`
    await device.exec(['sh', '-c', `ostree refs --repo=/sysroot/ostree/repo --delete ${REF}; rm ${bare} ${commit}`])
    const again = await stage('2.0')
    await call(device, 'importCommit', again.inside, commitOf('2.0'), REF)
    await fsck()
  })

  test('by a delta from a commit that is here', async () => {
    const file = join(device.folder, 'shared/delta')
    const delta = ['--inline', '--min-fallback-size=0', `--from=${commitOf('1.0')}`, `--to=${commitOf('2.0')}`]
    await run(['ostree', 'static-delta', 'generate', `--repo=${repo}`, ...delta, `--filename=${file}`])
    const apply = () => call(device, 'applyDelta', '/run/superblock/delta', commitOf('2.0'), REF)
    await expect(call(device, 'applyDelta', '/run/superblock/delta', commitOf('3.0'), REF)).rejects.toMatchObject({
      code: 'ref-mismatch',
    })
    await apply()
    await apply()
    expect(await call(device, 'refCommit', REF)).toBe(commitOf('2.0'))
    await fsck()
  })

  test('undone, the device is what it was', async () => {
    const before = await order()
    const objects = () =>
      device.exec(['sh', '-c', 'cd /sysroot/ostree/repo; find objects refs -type f -o -type l | sort'])
    await call(device, 'cleanup')
    const { stdout } = await objects()
    await install('2.0')
    expect(await order()).toBe('2.0 pending, 1.0 booted')
    await call(device, 'undeploy', 0)
    for (let time = 0; time < 2; time++) await call(device, 'dropRef', REF)
    expect(await order()).toBe(before)
    expect((await objects()).stdout).toBe(stdout)
  })

  test('undone, an earlier commit of the ref is back; no other ref goes', async () => {
    await install('2.0')
    await call(device, 'importCommit', (await stage('3.0')).inside, commitOf('3.0'), REF)
    await call(device, 'dropRef', REF, commitOf('2.0'))
    expect(await call(device, 'refCommit', REF)).toBe(commitOf('2.0'))
    // A prefix of a ref is no ref.
    await call(device, 'dropRef', 'sample')
    expect(await call(device, 'refCommit', REF)).toBe(commitOf('2.0'))
    expect(await call(device, 'commitFacts', commitOf('3.0'))).toMatchObject({
      timestamp: '',
      damaged: expect.any(String),
    })
  })
})

describe('deploy', () => {
  test('merges /etc and the kernel arguments, names its origin, and may be repeated', async () => {
    await device.exec(['sh', '-c', 'echo local > /etc/local.conf'])
    await install('2.0')
    await call(device, 'deploy', 'sample', REF)
    expect(await order()).toBe('2.0 pending, 1.0 booted')
    expect((await at(0)).ref).toBe(REF)
    expect((await device.exec(['cat', etcOf(commitOf('2.0'), 'local.conf')])).stdout).toBe('local\n')
    const entries = await device.exec(['sh', '-c', 'cat /boot/loader/entries/*.conf'])
    expect(entries.stdout.match(new RegExp(`^options ${KERNEL_ARGUMENTS.join(' ')} ostree=`, 'gm'))).toHaveLength(2)
  })

  test('the trial names the deployment that ostree then makes', async () => {
    const deployAndCompare = async (version: string) => {
      await call(device, 'importCommit', repoInside, commitOf(version), REF)
      await call(device, 'arm', 'sample', commitOf(version))
      const trial = await call(device, 'readTrial')
      await call(device, 'deploy', 'sample', REF)
      const { commit, serial } = await at(0)
      expect(trial).toEqual({ id: `${commit}.${serial}`, tries: 3 })
      // Armed again after the deployment was made, as after a crash, it names the same one.
      await call(device, 'arm', 'sample', commitOf(version))
      expect(await call(device, 'readTrial')).toEqual(trial)
      return serial
    }
    await run(['cp', '-a', repo, join(device.folder, 'shared/repo')])
    const repoInside = '/run/superblock/repo'
    expect(await deployAndCompare('2.0')).toBe(0)
    expect(await deployAndCompare('1.0')).toBe(1)
    expect(await deployAndCompare('2.0')).toBe(1)
    // What a killed command leaves is no deployment, and its serial is given again.
    const folder = `/sysroot/ostree/deploy/sample/deploy/${commitOf('3.0')}`
    await device.exec(['sh', '-c', `mkdir ${folder}.0 ${folder}.4`])
    expect(await deployAndCompare('3.0')).toBe(0)
    await call(device, 'clearTrial')
    expect(await call(device, 'readTrial')).toBeNull()
  })

  test('prune keeps the booted, the next, the pinned and the protected', async () => {
    for (const version of ['2.0', '3.0', '4.0']) await install(version)
    expect(await order()).toBe('4.0 pending, 3.0, 2.0, 1.0 booted')
    await call(device, 'pin', 1)
    expect(await call(device, 'prune', 2, [`${commitOf('2.0')}.0`])).toEqual([])
    const gone = await call(device, 'prune', 2, [])
    expect(gone.map(one => one.version)).toEqual(['2.0'])
    expect(await order()).toBe('4.0 pending, 3.0 pinned, 1.0 booted')
    await call(device, 'unpin', 1)
    expect((await call(device, 'prune', 3, [])).length).toBe(0)
    expect((await call(device, 'prune', 2, [])).length).toBe(1)
    expect(await order()).toBe('4.0 pending, 1.0 booted')
    await expect(call(device, 'undeploy', 1)).rejects.toThrow(/booted/)
  })
})

describe('rollback', () => {
  test('makes the target the first, whose /etc and pin stay what they were; may be repeated', async () => {
    await install('2.0')
    await install('3.0')
    await call(device, 'pin', 2)
    await device.exec(['sh', '-c', `echo own > ${etcOf(commitOf('2.0'), 'own.conf')}`])
    await reboot()
    expect(await order()).toBe('3.0 booted, 2.0 rollback, 1.0 pinned')
    await device.exec(['sh', '-c', 'echo new > /etc/sample.conf'])
    for (let time = 0; time < 2; time++) await call(device, 'setDefault', await at(time === 0 ? 2 : 0))
    expect(await order()).toBe('1.0 pending pinned, 3.0 booted, 2.0 rollback')
    await call(device, 'setDefault', { commit: commitOf('2.0'), serial: 0 })
    expect(await order()).toBe('2.0 pending, 1.0 pinned, 3.0 booted')
    await reboot()
    expect(await order()).toBe('2.0 booted, 1.0 rollback pinned, 3.0')
    expect((await device.exec(['cat', '/etc/own.conf', '/etc/sample.conf'])).stdout).toBe('own\ndefault = 2.0\n')
    expect((await device.exec(['cat', etcOf(commitOf('3.0'), 'sample.conf')])).stdout).toBe('new\n')
  })

  test('refuses what is not there, and while an update is staged', async () => {
    await expect(call(device, 'setDefault', { commit: commitOf('4.0'), serial: 0 })).rejects.toMatchObject({
      code: 'no-such-deployment',
    })
    await install('2.0')
    await install('3.0')
    const { commit, serial } = await at(1)
    // Staging asks systemd for the unit that finishes it at shutdown; there is none here.
    const systemctl = '/run/superblock-kit/bin/systemctl'
    const stageIt = `ln -s /usr/bin/true ${systemctl}; ostree admin deploy --os=sample --stage ${REF}; rm ${systemctl}`
    await device.exec(['sh', '-euc', stageIt])
    expect((await at(0)).staged).toBe(true)
    await expect(call(device, 'setDefault', { commit, serial })).rejects.toMatchObject({ code: 'staged' })
    // The program by itself refuses too: between the look and the flip another may have staged.
    const { stdout } = await device.exec([NODE, FLIP, '/', 'sample', commit, String(serial)])
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, code: 'staged' })
    expect((await at(0)).staged).toBe(true)
  })

  test('without koffi the flip says what to install', async () => {
    await install('2.0')
    await device.exec(['rm', '/run/superblock/verbs/node_modules'])
    const { commit } = await at(1)
    const { stdout } = await device.exec([NODE, FLIP, '/', 'sample', commit, '0'])
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      code: 'flip-missing',
      message: expect.stringContaining('install'),
    })
    expect(await order()).toBe('2.0 pending, 1.0 booted')
  })
})

describe('kill -9', () => {
  /** Run a command inside, kill it after some milliseconds, and wait until nothing of it is left. */
  const killed = (argv: string[], milliseconds: number) =>
    device.exec([
      ...['bash', '-c', `"$@" >/dev/null 2>&1 & sleep ${milliseconds / 1000}; kill -9 $!; wait $! 2>/dev/null; true`],
      ...['bash', ...argv],
    ])

  test('of deploy and flip at random moments leaves a status that is valid', async () => {
    await install('2.0')
    const valid = ['2.0 pending, 1.0 booted', '1.0 booted, 2.0 rollback']
    for (let round = 0; round < 6; round++) {
      const { commit, serial } = await at(1)
      await killed([NODE, FLIP, '/', 'sample', commit, String(serial)], 60 + Math.random() * 120)
      expect(valid).toContain(await order())
    }
    await call(device, 'setDefault', { commit: commitOf('2.0'), serial: 0 })
    await call(device, 'importCommit', (await stage('3.0')).inside, commitOf('3.0'), REF)
    for (let round = 0; round < 8; round++) {
      await killed(['ostree', 'admin', 'deploy', '--os=sample', '--retain', REF], 10 + Math.random() * 120)
      expect(['2.0 pending, 1.0 booted', '3.0 pending, 2.0, 1.0 booted']).toContain(await order())
      if ((await at(0)).version === '3.0') await call(device, 'undeploy', 0)
    }
    await call(device, 'deploy', 'sample', REF)
    expect(await order()).toBe('3.0 pending, 2.0, 1.0 booted')
    const folders = await device.exec(['sh', '-c', 'ls -d /sysroot/ostree/deploy/sample/deploy/*/'])
    expect(folders.stdout.trim().split('\n')).toHaveLength(3)
    await fsck()
    await reboot()
    expect(await order()).toBe('3.0 booted, 2.0 rollback, 1.0')
  })

  test('of the service lets its deploy go on, and the next life waits for it', async () => {
    await call(device, 'importCommit', (await stage('2.0')).inside, commitOf('2.0'), REF)
    const script = `
      find_deploy() {
        for file in /proc/[0-9]*/cmdline; do
          mapfile -d '' -t words 2>/dev/null <"$file" || continue
          [ "\${words[*]:0:3}" = 'ostree admin deploy' ] && file=\${file%/cmdline} && pid=\${file#/proc/} && return
        done
        return 1
      }
      "$@" >/dev/null 2>&1 & service=$!
      until find_deploy; do :; done
      kill -STOP $pid; kill -9 $service; wait $service 2>/dev/null
      echo $pid`
    const { stdout } = await device.exec(['bash', '-c', script, 'bash', ...verbLine('deploy', 'sample', REF)])
    let over = false
    const settled = call(device, 'settled').finally(() => {
      over = true
    })
    for (let look = 0; look < 3; look++) expect(await order()).toBe('1.0 booted')
    expect(over).toBe(false)
    await device.exec(['bash', '-c', `kill -CONT ${stdout}`])
    await settled
    expect(await order()).toBe('2.0 pending, 1.0 booted')
    expect(await readdir(join(device.folder, 'shared/engine'))).toEqual(['engine.lock'])
  })
})

test('a boot folder that may not be thawed is let be', async () => {
  expect(await call(device, 'thawBoot')).toBe(false)
})
