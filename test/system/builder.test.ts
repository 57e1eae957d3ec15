/** The build-host tool as its users run it; its packages are looked at with tar, gpg, sha256sum and ostree alone. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RunResult, run, start } from '../../src/base/run.ts'
import { type KeyHome, makeKeyHome } from '../kit/keys.ts'
import { PROJECT } from '../kit/project.ts'

const BUILDER = [process.execPath, join(PROJECT, 'dist/superblock-builder.js')]
const ANY_STATUS = Array.from({ length: 255 }, (_, i) => i + 1)
const RELEASE = ['--os', 'acme', '--compatible', 'acme-gw', '--ref', 'acme/gw']

let folder: string
let home: KeyHome
let gpgKey: string
let made: { fingerprint: string; publicKey: string; secretKey: string }
let commits: { commit: string }[]
let count = 0
/** a new name for each test's package */
let out: string

const path = (name: string) => join(folder, name)
const builder = (...argv: string[]): Promise<RunResult> =>
  run([...BUILDER, ...argv], { cwd: folder, accept: ANY_STATUS })
const json = async (...argv: string[]) => {
  const result = await builder(...argv, '--json')
  return { ...JSON.parse(result.stdout), status: result.status, stderr: result.stderr }
}
const pack = (...argv: string[]) => json('package', '--ostree-repo', 'repo', ...RELEASE, '--out', out, ...argv)

async function unpack(file: string): Promise<string> {
  const to = await mkdtemp(join(folder, 'unpacked-'))
  await run(['tar', 'xf', file, '-C', to])
  return to
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'builder-'))
  home = await makeKeyHome()
  gpgKey = await home.generate('Acme Safe <safe@acme.example>')
  await writeFile(path('pass'), 'open sesame\n')
  made = await json('keygen', '--user-id', 'Acme <a@acme.example>', '--out', 'keys', '--passphrase-file', 'pass')
  await writeFile(path('ota.json'), '{"changes":["faster"]}')
  const tree = path('tree')
  await mkdir(join(tree, 'usr', 'a b'), { recursive: true })
  for (let i = 0; i < 50; i++) await writeFile(join(tree, 'usr', 'a b', `${i}`), `line ${i}\n`.repeat(3000))
  await writeFile(join(tree, 'usr', 'random'), randomBytes(500_000))
  const commit = (version: string) =>
    json('commit', tree, '--ostree-repo', 'repo', '--ref', 'acme/gw', '--version', version, '--ota-json', 'ota.json')
  commits = [await commit('1.0')]
  await appendFile(join(tree, 'usr', 'random'), 'one more line\n')
  commits.push(await commit('2.0'))
})
beforeEach(() => {
  out = `package-${count++}.superblock`
})
afterAll(async () => {
  await home.close()
  await rm(folder, { recursive: true, force: true })
})

describe('keygen', () => {
  test('two files, the secret one for its owner alone, both readable by gpg', async () => {
    expect(made.publicKey).toBe(`keys/${made.fingerprint}.asc`)
    expect((await stat(path(made.secretKey))).mode & 0o777).toBe(0o600)
    const shown = await home.gpg(['--show-keys', '--with-colons', path(made.publicKey)])
    expect(shown.stdout).toContain(`:${made.fingerprint}:`)
  })

  test('text says what each file is for', async () => {
    const { stdout, status } = await builder('keygen', '--user-id', 'Other <o@acme.example>', '--out', 'more/keys')
    expect(status).toBe(0)
    expect(stdout).toContain('/usr/lib/superblock/keys/')
    expect(await readdir(path('more/keys'))).toHaveLength(2)
  })
})

describe('package, with standard tools', () => {
  test('tar, sha256sum, gpg and ostree agree with it', async () => {
    const result = await pack('--from', 'acme/gw^', '--sign-key', made.secretKey, '--passphrase-file', 'pass')
    expect(result).toMatchObject({
      status: 0,
      version: '2.0',
      commit: commits[1]?.commit,
      signatures: [made.fingerprint],
    })
    const folder = await unpack(path(out))

    const index = await readFile(join(folder, 'index'), 'utf8')
    const sums = index.replace(/^(\S+) \S+ \S+ (.*)$/gm, '$1  $2')
    await run(['sha256sum', '--check', '--strict', '--quiet', '-'], { cwd: folder, input: sums })

    await home.gpg(['--import', path(made.publicKey)])
    const signature = join(folder, 'signatures', `${made.fingerprint}.asc`)
    const verified = await home.gpg(['--status-fd=1', '--verify', signature, join(folder, 'manifest.json')])
    expect(verified.stdout).toContain(`VALIDSIG ${made.fingerprint}`)

    for (const missing of ['refs/remotes', 'state', 'tmp/cache'])
      await mkdir(join(folder, missing), { recursive: true })
    const fsck = await run(['ostree', 'fsck', `--repo=${folder}`])
    expect(fsck.stdout).toContain('no errors found')
    expect((await run(['ostree', 'rev-parse', `--repo=${folder}`, 'acme/gw'])).stdout.trim()).toBe(commits[1]?.commit)

    const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'))
    expect(manifest).toMatchObject({ os: 'acme', compatible: ['acme-gw'], epoch: 0, metadata: { changes: ['faster'] } })
  })

  test('its delta brings a device from the base to the release', async () => {
    const result = await pack('--from', commits[0]?.commit ?? '')
    expect(result.deltas).toMatchObject([{ from: commits[0]?.commit, version: '1.0' }])
    const unpacked = await unpack(path(out))
    const device = path('device')
    await run(['ostree', 'init', `--repo=${device}`, '--mode=bare-user'])
    await run(['ostree', 'pull-local', `--repo=${device}`, path('repo'), commits[0]?.commit ?? ''])
    const delta = join(unpacked, 'deltas', `${commits[0]?.commit}.superblock`)
    await run(['ostree', 'static-delta', 'apply-offline', `--repo=${device}`, delta])
    const fsck = await run(['ostree', 'fsck', `--repo=${device}`])
    expect(fsck.stdout).toContain('object fsck of 2 commits completed successfully')
  })

  test('built twice, at different times, it is the same file', async () => {
    const first = path(out)
    await pack('--from', 'acme/gw^', '--notes', 'Two\nlines')
    await new Promise(resolve => setTimeout(resolve, 1100))
    out = 'again.superblock'
    await pack('--from', 'acme/gw^', '--notes', 'Two\nlines')
    expect((await readFile(first)).equals(await readFile(path(out)))).toBe(true)
  })

  test('what is not signed says so, loudly', async () => {
    const result = await pack()
    expect(result).toMatchObject({ status: 0, signatures: [] })
    expect(result.stderr).toContain('NOT SIGNED')
  })

  test('a delta that saves nothing is left out, and the reason is given', async () => {
    const tree = ['--ref', 'acme/same', '--ostree-repo', 'repo', '--from-repo', 'repo']
    for (const version of ['1', '2']) await json('commit', 'acme/gw', ...tree, '--version', version)
    const result = await pack('--ref', 'acme/same', '--from', 'acme/same^')
    expect(result).toMatchObject({ status: 0, deltas: [], leftOut: [{ version: '1' }] })
    expect(result.leftOut[0].why).toMatch(/^it has .* the changed objects have /)
  })

  test('an older commit of the ref', async () => {
    expect(await pack('--rev', 'acme/gw^')).toMatchObject({ version: '1.0', commit: commits[0]?.commit })
  })
})

describe('package --from-superblock', () => {
  const generate = (name: string, ...how: string[]) =>
    run([
      ...['ostree', 'static-delta', 'generate', `--repo=${path('repo')}`, '--inline', '--min-fallback-size=0'],
      ...['--to=acme/gw', `--filename=${path(name)}`, ...how],
    ])
  const wrap = (file: string) =>
    json('package', '--from-superblock', file, '--os', 'acme', '--compatible', 'acme-gw', '--out', out)

  test('one that needs no base gives the same package as its commit', async () => {
    await generate('whole', '--empty')
    expect(await wrap('whole')).toMatchObject({ status: 0, ref: 'acme/gw', version: '2.0' })
    const wrapped = await readFile(path(out))
    out = 'from-commit.superblock'
    await pack()
    expect(wrapped.equals(await readFile(path(out)))).toBe(true)
  })

  test('one with a base is all that the package has', async () => {
    await generate('step', '--from=acme/gw^')
    const result = await wrap('step')
    expect(result).toMatchObject({ status: 0, members: 1, deltas: [{ from: commits[0]?.commit }] })
    const member = join(await unpack(path(out)), 'deltas', `${commits[0]?.commit}.superblock`)
    expect((await readFile(member)).equals(await readFile(path('step')))).toBe(true)
  })
})

describe('sign', () => {
  const attached = async () => (await readdir(join(await unpack(path(out)), 'signatures'))).sort()

  test('with a key file, with gpg and with a signature from elsewhere, one after another', async () => {
    await pack()
    const withFile = await json('sign', out, '--sign-key', made.secretKey, '--passphrase-file', 'pass')
    expect(withFile).toMatchObject({ status: 0, added: [made.fingerprint], version: '2.0' })
    expect(withFile.stderr).toContain(commits[1]?.commit)

    const withGpg = await json('sign', out, '--gpg-sign', 'safe@acme.example', '--gpg-homedir', home.folder)
    expect(withGpg).toMatchObject({ status: 0, added: [gpgKey] })

    const rsa = await home.generate('Far away <far@acme.example>', 'rsa3072')
    await json('sign', out, '--export-manifest', 'to-sign.json')
    const bytes = await readFile(path('to-sign.json'))
    expect(bytes.equals(await readFile(join(await unpack(path(out)), 'manifest.json')))).toBe(true)
    await writeFile(path('far.sig'), await home.sign(bytes, rsa))
    await writeFile(path('far.asc'), await home.publicKey(rsa))
    const imported = await json('sign', out, '--import', 'far.sig', '--key', 'far.asc')
    expect(imported).toMatchObject({ status: 0, added: [rsa] })

    const all = [made.fingerprint, gpgKey, rsa].sort()
    expect(imported.signatures).toEqual(all)
    expect(await attached()).toEqual(all.map(fingerprint => `${fingerprint}.asc`))
    const unpacked = await unpack(path(out))
    for (const fingerprint of [gpgKey, rsa])
      await home.gpg(['--verify', join(unpacked, 'signatures', `${fingerprint}.asc`), join(unpacked, 'manifest.json')])
  })

  test("gpg's home may have a path that is too long for its agent's socket", async () => {
    const long = join(folder, 'build-'.repeat(20), 'gnupg')
    await mkdir(join(long, '..'), { recursive: true })
    await run(['cp', '-r', home.folder, long])
    await run(['sh', '-c', 'chmod 700 "$1"; rm -f "$1"/S.*', 'sh', long])
    expect(await pack('--gpg-sign', gpgKey, '--gpg-homedir', long)).toMatchObject({ status: 0, signatures: [gpgKey] })
    const argv = ['--ref', 'acme/long', '--ostree-repo', 'repo', '--version', '1', '--gpg-sign', gpgKey]
    expect(await json('commit', 'tree', ...argv, '--gpg-homedir', long)).toMatchObject({ status: 0 })
    // The agent that was started for it is gone.
    expect((await readdir(long)).filter(name => name.startsWith('S.'))).toEqual([])
    const wrong = await json('sign', out, '--gpg-sign', 'nobody@acme.example', '--gpg-homedir', long)
    expect(wrong.error.message).toContain('gpg has no secret key of that name')
  })

  test('nothing bad is added', async () => {
    await pack('--sign-key', made.secretKey, '--passphrase-file', 'pass')
    const before = await readFile(path(out))
    await writeFile(path('safe.asc'), await home.publicKey(gpgKey))
    const manifest = await readFile(join(await unpack(path(out)), 'manifest.json'))
    await writeFile(path('other.sig'), await home.sign(Buffer.from('something else'), gpgKey))
    const text = await home.gpg(['--armor', '--textmode', '--local-user', gpgKey, '--detach-sign', '-'], manifest)
    await writeFile(path('text.sig'), text.stdout)
    await writeFile(path('good.sig'), await home.sign(manifest, gpgKey))
    await writeFile(path('wrong'), 'wrong passphrase\n')
    const refused = [
      ['tampered', '--import', 'other.sig', '--key', 'safe.asc'],
      ['weak-signature', '--import', 'text.sig', '--key', 'safe.asc'],
      ['unknown-signer', '--import', 'good.sig', '--key', made.publicKey],
      ['bad-key', '--import', 'good.sig', '--key', 'ota.json'],
      ['bad-key', '--sign-key', made.secretKey, '--passphrase-file', 'wrong'],
      ['bad-key', '--sign-key', made.secretKey],
      ['bad-signature', '--sign-key', made.secretKey, '--passphrase-file', 'pass'],
      ['no-secret-key', '--gpg-sign', 'nobody@acme.example', '--gpg-homedir', home.folder],
    ] as const
    for (const [code, ...argv] of refused) {
      const result = await json('sign', out, ...argv)
      expect(result, argv.join(' ')).toMatchObject({ status: 1, error: { code } })
      expect(result.stderr).toContain(`superblock-builder: ${result.error.message}`)
      expect(result.error.message).toMatch(/^cannot /)
    }
    expect((await readFile(path(out))).equals(before)).toBe(true)
  })

  test('half a package is not signed', async () => {
    await pack()
    const whole = await readFile(path(out))
    await writeFile(path(out), whole.subarray(0, whole.length - 512))
    for (const way of [
      ['--sign-key', made.secretKey, '--passphrase-file', 'pass'],
      ['--export-manifest', 'half.json'],
    ])
      expect(await json('sign', out, ...way)).toMatchObject({ status: 1, error: { code: 'truncated' } })
    await expect(stat(path('half.json'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test("a release of the future is not signed with gpg's time of day: devices would refuse it", async () => {
    const tomorrow = `${new Date(Date.now() + 86_400_000).toISOString().slice(0, 19)}Z`
    const argv = ['--ref', 'acme/future', '--ostree-repo', 'repo', '--version', '9', '--timestamp', tomorrow]
    expect(await json('commit', 'tree', ...argv)).toMatchObject({ status: 0 })
    const gpg = ['--gpg-sign', gpgKey, '--gpg-homedir', home.folder]
    expect(await pack('--ref', 'acme/future', ...gpg)).toMatchObject({ status: 1, error: { code: 'early-signature' } })
    await expect(stat(path(out))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('commit', () => {
  test('--gpg-sign signs the commit, and the package carries that', async () => {
    const argv = ['--ref', 'acme/signed', '--ostree-repo', 'repo', '--version', '1']
    await json('commit', 'tree', ...argv, '--gpg-sign', gpgKey, '--gpg-homedir', home.folder)
    const { commit } = await pack('--ref', 'acme/signed')
    const object = join(await unpack(path(out)), 'objects', commit.slice(0, 2), `${commit.slice(2)}.commitmeta`)
    expect((await stat(object)).size).toBeGreaterThan(64)
  })

  test('SOURCE_DATE_EPOCH is its time', async () => {
    const argv = ['commit', 'tree', '--ref', 'acme/epoch', '--ostree-repo', 'repo', '--version', '1', '--json']
    const { stdout } = await run([...BUILDER, ...argv], { cwd: folder, env: { SOURCE_DATE_EPOCH: '1700000000' } })
    expect(JSON.parse(stdout)).toMatchObject({ timestamp: '2023-11-14T22:13:20Z' })
    const wrong = run([...BUILDER, ...argv], { cwd: folder, env: { SOURCE_DATE_EPOCH: 'now' } })
    await expect(wrong).rejects.toThrow(/exit status 2: .*SOURCE_DATE_EPOCH/)
  })
})

describe("an ordinary user's release", () => {
  /** In a user namespace, whoever runs this test: his files are the made-up user's there. */
  const asUser = async (...argv: string[]) =>
    run(['unshare', '--user', '--map-user=1234', '--map-group=1234', ...argv], { cwd: folder, accept: ANY_STATUS })
  const commitAs = async (...argv: string[]) => {
    const ref = `user/${count}`
    const given = ['--ostree-repo', 'user-repo', '--ref', ref, '--version', '1.0', ...argv]
    const { stderr, status } = await asUser(...BUILDER, 'commit', ...given)
    return { stderr, status, files: (await run(['ostree', 'ls', `--repo=${path('user-repo')}`, '-R', ref])).stdout }
  }
  const inputs = [['of-user'], ['of-user.tar'], ['old', '--from-repo', 'old-repo']]
  beforeAll(async () => {
    await mkdir(path('of-user/usr/bin'), { recursive: true })
    await writeFile(path('of-user/usr/bin/tool'), 'tool', { mode: 0o775 })
    await asUser('chmod', '775', 'of-user/usr/bin/tool')
    await asUser('tar', '--create', '--file=of-user.tar', '--directory=of-user', '.')
    await asUser('ostree', 'init', '--repo=old-repo', '--mode=archive')
    await asUser('ostree', 'commit', '--repo=old-repo', '--branch=old', '--tree=dir=of-user')
  })

  test.each(inputs)('from %j carries his ids nowhere', async (...argv) => {
    const { stderr, status, files } = await commitAs(...argv)
    expect([status, stderr]).toEqual([0, expect.stringContaining('everything in this release belongs to root')])
    expect(stderr).not.toContain('otherwise')
    expect(files.match(/^\S+ \d+ \d+/gm)).toEqual(['d00755 0 0', 'd00755 0 0', 'd00755 0 0', '-00755 0 0'])
  })

  test.each(inputs)('from %j keeps his ids where he asks for it', async (...argv) => {
    const { stderr, status, files } = await commitAs(...argv, '--keep-owners')
    expect([status, stderr]).toEqual([
      0,
      expect.stringContaining('nothing in this release belongs to root, but to the user 1234'),
    ])
    expect(files).toMatch(/^-00775 1234 1234 .* \/usr\/bin\/tool$/m)
  })

  test('says what gets lost of other owners and setuid bits', async () => {
    const repo = ['--repo=old-repo', '--branch=odd']
    const build = `cp -r of-user odd && chmod 4755 odd/usr/bin/tool && chmod 1777 odd/usr &&
      tar --create --file=odd.tar --owner=www:33 --group=33 --directory=odd usr/bin/tool &&
      ostree commit ${repo.join(' ')} --tree=tar=odd.tar --tar-autocreate-parents`
    await asUser('sh', '-euc', build)
    const folderSaid = (await commitAs('odd')).stderr
    expect(folderSaid).toContain('otherwise for /usr (1777), /usr/bin/tool (4755); to keep that, commit it as root.')
    for (const argv of [['odd.tar'], ['odd', '--from-repo', 'old-repo']]) {
      count++
      const { stderr, files } = await commitAs(...argv)
      expect(stderr).toMatch(/otherwise for .*\/usr\/bin\/tool \(33:33, 4755\).*--keep-owners/)
      expect(files).toMatch(/^-00755 0 0 .* \/usr\/bin\/tool$/m)
    }
  })
})

describe('the command line', () => {
  test('help and version are no failure', async () => {
    const { version } = JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8'))
    expect(await builder('--version')).toMatchObject({ status: 0, stdout: `${version}\n` })
    expect((await builder('--help')).stdout).toContain('Exit status: 0 done, 1 failed')
    for (const command of [
      'keygen',
      'commit',
      'package',
      'sign',
      'sysroot',
      'initramfs',
      'image',
      'release',
      'serve',
    ]) {
      const help = await builder(command, '--help')
      expect(help.status).toBe(0)
      expect(help.stdout).toMatch(/\nExamples?:\n {2}(?:sudo )?superblock-builder /)
    }
  })

  test.each([
    [[]],
    [['frobnicate']],
    [['commit', 'tree']],
    [['package', '--os', 'acme', '--compatible', 'x']],
    [['package', ...RELEASE, '--epoch', '-1']],
    [['package', ...RELEASE, '--notes', 'a', '--notes-file', 'b']],
    [['package', ...RELEASE, '--from-superblock', 'a', '--from', 'b']],
    [['sign', 'a']],
    [['sign', 'a', '--import', 'b']],
    [['sign', 'a', '--sign-key', 'b', '--export-manifest', 'c']],
  ])('%j is a wrong command line', async argv => {
    const result = await builder(...argv)
    expect(result.status).toBe(2)
    expect(result.stderr).not.toBe('')
  })

  test('refusals have a code and a sentence, and write nothing', async () => {
    await writeFile(path('there.superblock'), 'precious')
    const before = (await readdir(folder)).sort()
    const refused = [
      ['exists', 'package', '--ostree-repo', 'repo', ...RELEASE, '--out', 'there.superblock'],
      ['no-folder', 'package', '--ostree-repo', 'repo', ...RELEASE, '--out', 'absent/a.superblock'],
      ['wrong-repo', 'package', '--ostree-repo', 'tree', ...RELEASE],
      ['no-commit', 'package', '--ostree-repo', 'repo', ...RELEASE, '--from', 'acme/nothing'],
      ['bad-base', 'package', '--ostree-repo', 'repo', ...RELEASE, '--from', 'acme/gw'],
      ['wrong-ref', 'package', '--ostree-repo', 'repo', ...RELEASE, '--ref', 'acme/x', '--rev', 'acme/gw'],
      ['bad-value', 'package', '--ostree-repo', 'repo', ...RELEASE, '--os', 'a b'],
      ['bad-superblock', 'package', ...RELEASE, '--from-superblock', 'ota.json'],
      ['version-taken', 'commit', 'tree', '--ostree-repo', 'repo', '--ref', 'acme/gw', '--version', '1.0'],
      ['media-gone', 'sign', 'absent.superblock', '--sign-key', made.secretKey],
    ] as const
    for (const [code, ...argv] of refused) {
      const result = await json(...argv)
      expect(result, argv.join(' ')).toMatchObject({ status: 1, error: { code } })
      expect(result.stderr).toContain('superblock-builder: cannot ')
    }
    expect((await readdir(folder)).sort()).toEqual(before)
    expect(await readFile(path('there.superblock'), 'utf8')).toBe('precious')
  })

  test('a commit without a version is not packed', async () => {
    await run(['ostree', 'commit', `--repo=${path('repo')}`, '-b', 'acme/plain', `--tree=dir=${path('tree')}`])
    expect(await pack('--ref', 'acme/plain')).toMatchObject({ status: 1, error: { code: 'no-version' } })
  })

  test('interrupted, it leaves nothing behind', async () => {
    // Two releases that share little: their delta takes seconds.
    for (const version of ['1', '2']) {
      await mkdir(path(`large-${version}`))
      const words = randomBytes(1_000_000).toString('hex')
      for (let i = 0; i < 4; i++) await writeFile(join(path(`large-${version}`), `${i}`), words.slice(i))
      const argv = ['--ref', 'acme/large', '--ostree-repo', 'repo', '--version', version]
      expect(await json('commit', `large-${version}`, ...argv)).toMatchObject({ status: 0 })
    }
    const before = (await readdir(folder)).sort()
    const argv = ['package', '--ostree-repo', path('repo'), ...RELEASE, '--ref', 'acme/large', '--from', 'acme/large^']
    const child = start([...BUILDER, ...argv, '--out', path(out)], 'ignore')
    const ended = once(child, 'close')
    const isScratch = (name: string) => name.startsWith('.superblock-builder-')
    while (!(await readdir(folder)).some(isScratch)) await new Promise(resolve => setTimeout(resolve, 20))
    child.kill('SIGTERM')
    expect(await ended).toEqual([130, null])
    expect((await readdir(folder)).sort()).toEqual(before)
  })
})
