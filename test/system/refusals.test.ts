/** Bad input on a stick, end to end: each with its own code and sentence, nothing written, the service alive, the next good package installs. */
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import { padded, ustarHeader } from '../../src/package/header.ts'
import { type Manifest, parseManifest } from '../../src/package/manifest.ts'
import { readHead, readIndex } from '../../src/package/read.ts'
import { signBytes } from '../../src/package/signature.ts'
import type { Device } from '../kit/device.ts'
import { superblock } from '../kit/io.ts'
import { type KeyHome, makeKeyHome } from '../kit/keys.ts'
import {
  atRest,
  ended,
  inboxOf,
  install,
  listing,
  offerOf,
  order,
  read,
  restart,
  staged,
  standing,
  stateOf,
  varOf,
  verdictOf,
  whileStaging,
  write,
} from '../kit/operate.ts'
import {
  archiveOf,
  assemble,
  type Entry,
  entriesOf,
  flip,
  type Key,
  memorySource,
  type Parts,
  smallPackage,
} from '../kit/packages.ts'
import { bareSuperblock, makeProduct, newKey, type Product } from '../kit/releases.ts'
import { makeStick, type Stick } from '../kit/stick.ts'

let lab: string
let home: KeyHome
let product: Product
let device: Device
let pid: number | undefined
let second: Key
let stranger: Key
/** the good package's parts, and what it says of itself */
let good: Parts
let said: Manifest
let bytes: Buffer
/** a package with so much in it that copying takes a while */
let bytesOfBig: Buffer
let stick: Stick
/** signatures over the good manifest by gpg: made before the release, while its key was valid, after its end, by a revoked key, as text */
let timed: { early: Entry; before: Entry; after: Entry; revoked: Entry; text: Entry }

interface Options {
  keys?: readonly Key[]
  index?: Buffer
  members?: { path: string; bytes: Buffer; unpacked: number }[]
  change?: (manifest: Manifest) => unknown
}

/** A package of release 2.0, signed as it is or with something else in it. */
const make = ({ keys = [product.key], change = manifest => manifest, members = real(), index }: Options = {}) =>
  smallPackage(keys, { members, ...(index ? { index } : {}), change: made => change({ ...said, ...sums(made) }) })
const sums = ({ index, payload }: Manifest) => ({ index, payload })
let unpackedOf: Map<string, number>
const real = () =>
  good.members.map(({ path, bytes: content }) => ({ path, bytes: content, unpacked: unpackedOf.get(path) ?? 0 }))

const signedBy = (parts: Parts, ...signatures: Entry[]): Buffer =>
  assemble({ ...parts, signatures: signatures.sort((a, b) => (a.path < b.path ? -1 : 1)) })
const signature = (fingerprint: string, armor: string | Buffer): Entry => ({
  path: `signatures/${fingerprint}.asc`,
  bytes: Buffer.from(armor),
})
const at = (time: string) => `--faked-system-time=${time}!`
const gpgSign = async (fingerprint: string, ...options: string[]) =>
  signature(
    fingerprint,
    (await home.gpg([...options, '--armor', '--local-user', fingerprint, '--detach-sign', '-'], good.manifest)).stdout,
  )

beforeAll(async () => {
  lab = await mkdtemp('/tmp/sb-bad-')
  home = await makeKeyHome()
  product = await makeProduct(lab)
  second = await newKey('Second Signer')
  stranger = await newKey('Somebody Else')
  await product.release('2.0')
  await product.release('3.0', { ballast: 12 * 2 ** 20 })
  bytesOfBig = await readFile((await product.package('3.0', { epoch: 2 })).file)
  bytes = await readFile((await product.package('2.0', { epoch: 2, name: 'plain.superblock' })).file)
  const head = await readHead(memorySource(bytes))
  said = parseManifest(head.manifest)
  const members = [...(await readIndex(memorySource(bytes), head, said))]
  unpackedOf = new Map(members.map(member => [member.path, member.unpacked]))
  const place = (start: number, size: number) => bytes.subarray(start + 512, start + 512 + size)
  good = {
    manifest: head.manifest,
    signatures: head.signatures.map(({ name, armor }) => ({ path: name, bytes: armor })),
    index: place(head.indexAt, said.index.size),
    members: members.map(({ path, header, size }) => ({ path, bytes: place(header, size) })),
  }
  expect(assemble(good).equals(bytes)).toBe(true)
  const { public: key } = await product.keep(second)
  device = await product.device('d', { keys: [key] })
  const keyOf = async (name: string) => {
    const then = [at('20250102T000000'), '--status-fd=1', '--quick-generate-key', name, 'ed25519', 'sign', 'never']
    return /KEY_CREATED \w ([0-9A-F]{40})/.exec((await home.gpg(then)).stdout)?.[1] ?? ''
  }
  const ending = await keyOf('ending')
  const gone = await keyOf('gone')
  timed = {
    early: await gpgSign(ending, at('20250102T120000')),
    before: await gpgSign(ending, at('20250115T000000')),
    after: await gpgSign(ending, at('20250301T000000')),
    revoked: await gpgSign(gone, at('20250115T000000')),
    text: await gpgSign(ending, at('20250115T000000'), '--textmode'),
  }
  await home.gpg([at('20250120T000000'), '--quick-set-expire', ending, '2025-02-01'])
  await home.gpg(['--command-fd=0', '--edit-key', gone, 'revkey', 'save'], 'y\n0\n\ny\ny\n')
  await device.boot()
  await atRest(device)
  for (const key of [ending, gone]) await write(device, `/etc/superblock/keys/${key}.asc`, await home.publicKey(key))
  // As after a release of epoch 2 that was good.
  const path = join(stateOf(device), 'state.json')
  pid = await device.service.pid()
  await serviceWith(async () =>
    writeFile(path, (await readFile(path, 'utf8')).replace('"epochFloor": 0', '"epochFloor": 2')),
  )
  expect((await device.client.status()).device.epochFloor).toBe(2)
})
afterAll(async () => {
  await device.destroy()
  await home.close()
  await rm(lab, { recursive: true, force: true })
})
afterEach(async () => {
  for (const one of inserted.splice(0)) await device.remove(one, { lazy: true })
  expect(await device.service.pid()).toBe(pid)
})

/** Start the service anew with another configuration, or state, or keys. */
async function serviceWith(change: () => Promise<unknown>) {
  if (pid !== undefined) await device.service.kill('SIGTERM')
  await change()
  await device.service.start()
  await atRest(device)
  pid = await device.service.pid()
}
const configure = (toml: string) => serviceWith(() => write(device, '/etc/superblock/superblock.d/70-test.toml', toml))

let sticks = 0
const inserted: Stick[] = []
async function insert(files: Record<string, Buffer | ((path: string) => Promise<unknown>)>): Promise<void> {
  stick = await makeStick(lab, `STICK${++sticks}`)
  for (const [name, content] of Object.entries(files)) {
    const path = join(stick.folder, name)
    await mkdir(dirname(path), { recursive: true })
    await (Buffer.isBuffer(content) ? writeFile(path, content) : content(path))
  }
  await device.insert(stick)
  inserted.push(stick)
}
/** Take out what is in. */
async function remove() {
  for (const one of inserted.splice(0)) await device.remove(one, { lazy: true })
  await device.waitFor(({ media }) => media.every(medium => medium.kind === 'inbox'), 'no stick')
}
const onStick = (name: string) => `/run/superblock/media/${stick.name}/${name}`

/**
 * Put files on a stick: each is listed with its code and a sentence, its installation is refused with it, and nothing at
 * all is written.
 */
async function refused(
  rows: Record<string, { code: string; why?: RegExp; file: Buffer | ((path: string) => Promise<unknown>) }>,
) {
  const nameOf = (row: string) => `${row}.superblock`
  const before = await listing(device.sysroot)
  const files = Object.fromEntries(Object.entries(rows).map(([row, { file }]) => [nameOf(row), file]))
  await insert(files)
  const { offers } = await device.waitFor(snapshot => snapshot.offers.length === Object.keys(rows).length, 'all files')
  const list = await superblock(['--socket', device.socket, 'list'])
  const seen: Record<string, unknown> = {}
  const expected: Record<string, unknown> = {}
  for (const [row, { code, why }] of Object.entries(rows)) {
    const offer = offers.find(one => one.file === nameOf(row))
    if (!offer || offer.verdict.fits) {
      seen[row] = offer ? 'fits' : 'is not listed'
      expected[row] = code
      continue
    }
    seen[row] = offer.verdict.code
    expected[row] = code
    expect([row, offer.preselected, offer.plan]).toEqual([row, false, undefined])
    expect(offer.verdict.why).toMatch(why ?? /\w+ \w+ \w+/)
    expect(list.out).toContain(offer.verdict.why.slice(0, 60))
    const asked = device.client.install({ path: onStick(nameOf(row)) })
    await expect(asked).rejects.toMatchObject({ code: offer.verdict.code, message: expect.stringMatching(/^cannot /) })
    // An id stands for all copies of a manifest, however they are signed.
    if (offers.filter(one => one.id === offer.id).length > 1) continue
    const done = await superblock(['--socket', device.socket, 'install', offer.id])
    expect([row, done.status, done.err]).toEqual([row, 4, expect.stringContaining(`(${offer.verdict.code})`)])
  }
  expect(seen).toEqual(expected)
  expect(await staged(device)).toEqual([])
  expect(await listing(device.sysroot)).toEqual(before)
  await remove()
}

describe('refused at sight', () => {
  test('what nobody signed that this device trusts, or not in time, or not this', async () => {
    const other = await make({ change: manifest => ({ ...manifest, version: '2.1' }) })
    const [own] = good.signatures as [Entry]
    const many = Array.from({ length: 17 }, (_, i) =>
      signature(i.toString(16).padStart(40, '0').toUpperCase(), own.bytes),
    )
    const huge = signature(product.key.fingerprint, 'x')
    await refused({
      unsigned: { code: 'unsigned', file: signedBy(good) },
      stranger: { code: 'unknown-signer', why: /not trusted here/, file: assemble(await make({ keys: [stranger] })) },
      'expired key': { code: 'expired-key', why: /was not valid when it signed/, file: signedBy(good, timed.after) },
      'before the release': { code: 'early-signature', why: /before it was made/, file: signedBy(good, timed.early) },
      revoked: { code: 'revoked-key', why: /was revoked/, file: signedBy(good, timed.revoked) },
      'text mode': { code: 'weak-signature', why: /binary/, file: signedBy(good, timed.text) },
      'another manifest': { code: 'tampered', file: signedBy(good, ...other.signatures) },
      'named after another key': { code: 'tampered', file: signedBy(good, signature(second.fingerprint, own.bytes)) },
      'the same twice': { code: 'tampered', file: signedBy(good, own, own) },
      '17 signatures': { code: 'too-many-signatures', file: signedBy(good, ...many) },
      '20 MB of armor': {
        code: 'too-large',
        file: async path => {
          const start = archiveOf([{ path: 'manifest.json', bytes: good.manifest }], Buffer.alloc(0))
          await writeFile(path, Buffer.concat([start, ustarHeader(huge.path, 20_000_000)]))
          await truncate(path, 25_000_000)
        },
      },
    })
  })

  test('a key that has expired since still vouches for what it signed before', async () => {
    await insert({ 'before.superblock': signedBy(good, timed.before) })
    expect(await verdictOf(device, 'before.superblock')).toBe('fits')
    await remove()
  })

  test('branch not bound by the signature, rollback unchecked: what is for another device, system or line, older, or below the floor', async () => {
    const saying = async (change: Partial<Manifest>) =>
      assemble(await make({ change: manifest => ({ ...manifest, ...change }) }))
    const otherLine = real().map(member =>
      member.path.startsWith('refs/') ? { ...member, path: 'refs/heads/acme/nightly' } : member,
    )
    await refused({
      'wrong product': {
        code: 'wrong-device',
        why: /pump, this device is acme-gateway/,
        file: await saying({ compatible: ['pump'] }),
      },
      'other os': { code: 'wrong-os', file: await saying({ os: 'other' }) },
      'other ref': {
        code: 'wrong-ref',
        why: /nightly/,
        file: assemble(await make({ members: otherLine, change: manifest => ({ ...manifest, ref: 'acme/nightly' }) })),
      },
      older: { code: 'older', why: /--allow-downgrade/, file: await saying({ timestamp: '2025-01-01T23:59:59Z' }) },
      'below the floor': { code: 'below-floor', why: /epoch 1 is below 2/, file: await saying({ epoch: 1 }) },
      installed: {
        code: 'already-installed',
        file: await readFile((await product.package('1.0', { epoch: 2, name: 'one.superblock' })).file),
      },
    })
    await insert({ 'floor.superblock': await saying({ epoch: 0, timestamp: '2025-01-01T00:00:00Z' }) })
    const { id } = await offerOf(device, 'floor.superblock')
    const done = await superblock(['--socket', device.socket, 'install', id, '--allow-downgrade'])
    expect([done.status, done.err]).toEqual([4, expect.stringContaining('(below-floor)')])
    await remove()
  })

  test('signature covering only part of the file: cut short, flipped, or with entries that do not belong', async () => {
    const head = bytes.length - good.members.reduce((sum, member) => sum + 512 + padded(member.bytes.length), 0) - 1024
    const cuts = [0, 1, 512, 1024, 4096, head - 512, head, head + 512, Math.floor(bytes.length / 2048) * 512]
    const rows: Parameters<typeof refused>[0] = {}
    for (const size of [...cuts, bytes.length - 1024, bytes.length - 512, bytes.length - 1])
      rows[`cut at ${size}`] = { code: 'truncated', why: /copy it again/, file: bytes.subarray(0, size) }
    rows['never copied'] = { code: 'truncated', file: Buffer.alloc(bytes.length) }
    const signatureAt = 512 + padded(good.manifest.length)
    const indexAt = head - padded(good.index.length)
    for (const [where, place] of Object.entries({
      manifest: 600,
      signature: signatureAt + 700,
      index: indexAt + 9,
      header: indexAt - 400,
    }))
      rows[`flip in ${where}`] = { code: 'tampered', file: flip(bytes, place, 1) }
    const entries = entriesOf(good)
    const kind = (entry: Entry, flag: string, target = ''): Entry => {
      const header = ustarHeader(entry.path, entry.bytes.length)
      header.write(flag, 156, 'latin1')
      header.write(target, 157, 'latin1')
      return { ...entry, header: checksummed(header) }
    }
    const named = (path: string, entry: Entry): Entry => {
      const header = ustarHeader('x', entry.bytes.length)
      header.write(path.padEnd(100, '\0').slice(0, 100), 0, 'latin1')
      return { ...entry, header: checksummed(header) }
    }
    const [manifest, signed, index, ...members] = entries as [Entry, Entry, Entry, ...Entry[]]
    const pax: Entry = kind({ path: 'pax', bytes: Buffer.from('18 path=/etc/passwd\n') }, 'x')
    const tampered = {
      'named ..': [manifest, signed, named('../index', index), ...members],
      'named absolutely': [manifest, signed, named('/index', index), ...members],
      'a zero in the name': [manifest, signed, named('index\0/../x', index), ...members],
      'a long name': [manifest, signed, named('i'.repeat(300), index), ...members],
      'a symbolic link': [
        manifest,
        signed,
        kind({ path: 'index', bytes: Buffer.alloc(0) }, '2', '/etc/shadow'),
        ...members,
      ],
      'a hard link': [
        manifest,
        signed,
        kind({ path: 'index', bytes: Buffer.alloc(0) }, '1', 'manifest.json'),
        ...members,
      ],
      'a device': [manifest, signed, kind(index, '3'), ...members],
      'a folder with a size': [manifest, signed, kind(index, '5'), ...members],
      sparse: [manifest, signed, kind(index, 'S'), ...members],
      pax: [manifest, signed, pax, index, ...members],
      'manifest repeated': [manifest, manifest, signed, index, ...members],
      'index missing': [manifest, signed, ...members],
    }
    for (const [name, list] of Object.entries(tampered)) rows[name] = { code: 'tampered', file: archiveOf(list) }
    rows['signature after index'] = { code: 'unsigned', file: archiveOf([manifest, index, signed, ...members]) }
    rows['pax first'] = { code: 'not-a-package', file: archiveOf([pax, ...entries]) }
    rows['after the end'] = {
      code: 'tampered',
      file: Buffer.concat([bytes, archiveOf([{ path: 'more', bytes: Buffer.from('more') }])]),
    }
    rows['a member less'] = { code: 'truncated', file: archiveOf(entries.slice(0, -1)) }
    await refused(rows)
  })

  test('path traversal and link targets, 2/4 GiB overflows: an index that lies, though it is signed', async () => {
    const lines = good.index.toString().trimEnd().split('\n')
    const lying = async (change: (fields: string[]) => string[], line = 5) =>
      assemble(
        await make({
          index: Buffer.from(`${lines.with(line, change((lines[line] ?? '').split(' ')).join(' ')).join('\n')}\n`),
        }),
      )
    const rows: Parameters<typeof refused>[0] = {}
    const add = (name: string, file: Buffer) => {
      rows[name] = { code: 'tampered', file }
    }
    for (const size of ['0', '1', '4294967296', '8589934592', '9007199254740993', '-1'])
      add(`size ${size}`, await lying(fields => fields.with(1, size)))
    for (const [name, path] of Object.entries({
      up: '../../etc/passwd',
      root: '/etc/passwd',
      within: 'objects/aa/../../x',
      hooks: 'extensions/x',
    }))
      add(`path ${name}`, await lying(fields => fields.with(3, path)))
    add('unpacked', await lying(fields => fields.with(2, '1')))
    add(
      'repeated',
      assemble(await make({ index: Buffer.from(`${lines.toSpliced(3, 0, lines[3] ?? '').join('\n')}\n`) })),
    )
    add('reordered', assemble(await make({ index: Buffer.from(`${lines.toReversed().join('\n')}\n`) })))
    await refused(rows)
  })

  test('manifests that are none', async () => {
    const saying = async (manifest: string | Buffer) => assemble(await make({ change: () => Buffer.from(manifest) }))
    const text = (manifest: object) => JSON.stringify({ ...said, ...manifest })
    const bad = (file: Buffer) => ({ code: 'bad-manifest', why: /^cannot use manifest\.json: /, file })
    await refused({
      'wrong type': bad(await saying(text({ epoch: '9' }))),
      'no commit': bad(await saying(text({ commit: undefined }))),
      'more keys': bad(await saying(text({ run: '/bin/sh' }))),
      'twice the same key': bad(await saying(text({}).replace('{', '{"epoch":99,'))),
      nested: bad(
        await saying(text({}).replace('"metadata":{', `"metadata":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)},`)),
      ),
      'no JSON': bad(await saying('compatible = everything')),
      'another format': { code: 'unsupported-format', file: await saying(text({ format: 2 })) },
      '1 GiB': {
        code: 'too-large',
        file: async path => {
          await writeFile(path, ustarHeader('manifest.json', 1024 ** 3))
          await truncate(path, 1024 ** 3 + 4096)
        },
      },
    })
  })

  test('what is no package at all', async () => {
    const bare = await bareSuperblock(product, '2.0', '1.0')
    await refused({
      text: { code: 'not-a-package', file: Buffer.from('This is a text. '.repeat(99)) },
      picture: { code: 'not-a-package', file: Buffer.alloc(5000, 0xff) },
      bare: {
        code: 'bare-superblock',
        why: /superblock-builder package --from-superblock FILE/,
        file: await readFile(bare),
      },
      '._acme': { code: 'sidecar', why: /macOS/, file: Buffer.alloc(4096, 1) },
    })
  })

  test.runIf(process.getuid?.() === 0)("what cannot be read (needs root, for a file of somebody else's)", async () => {
    // Of an owner that is nobody inside, so that not even root may read it there.
    const unreadable = async (path: string) => {
      await writeFile(path, bytes)
      await chown(path, 4711, 4711)
      await chmod(path, 0)
    }
    await refused({ locked: { code: 'unreadable', why: /EACCES|permission denied/, file: unreadable } })
  })

  test('code and files of the device by way of removable media: links, folders and pipes are not followed, entered or waited for', async () => {
    const before = await listing(device.sysroot)
    await insert({
      'folder.superblock/inner.txt': Buffer.from('x'),
      'shadow.superblock': path => symlink('/etc/shadow', path),
      'up.superblock': path => symlink('../../../../var/lib/superblock/state.json', path),
      'all.superblock': path => symlink('/', path),
      'pipe.superblock': path => run(['mkfifo', path]),
      'real.superblock': bytes,
    })
    expect(await verdictOf(device, 'real.superblock')).toBe('fits')
    await device.waitFor(({ media }) => media.every(medium => medium.state === 'ready'), 'the end of the look')
    expect((await device.client.status()).offers.map(offer => offer.file)).toEqual(['real.superblock'])
    for (const name of ['shadow', 'up', 'pipe', 'folder']) {
      const asked = device.client.install({ path: onStick(`${name}.superblock`) })
      await expect(asked).rejects.toMatchObject({ code: 'not-a-package' })
    }
    await expect(device.client.install({ path: onStick('all.superblock/etc/passwd') })).rejects.toMatchObject({
      code: 'not-a-package',
    })
    await expect(device.client.install({ path: onStick('none.superblock') })).rejects.toMatchObject({
      code: 'unreadable',
    })
    expect(await listing(device.sysroot)).toEqual(before)
    await remove()
  })

  test('names that would move the cursor or read backwards are shown as what they are', async () => {
    const evil = 'a\u001b[2J\nfits  \u202egnp\u0007.superblock'
    await insert({ [evil]: Buffer.from('x'.repeat(600)) })
    await device.waitFor(({ offers }) => offers.length === 1, 'it')
    for (const verb of [['list'], ['status']]) {
      const { out } = await superblock(['--socket', device.socket, ...verb])
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
      if (verb[0] === 'list') expect(out).toContain('a\\u001b[2J\\u000afits  \\u202egnp\\u0007.superblock')
    }
    const { id } = (await device.client.status()).offers[0] as { id: string }
    const { err } = await superblock(['--socket', device.socket, 'install', id])
    expect(err).toMatch(/a\\u001b\[2J\\u000afits {2}\\u202egnp.* \(not-a-package\)\n$/)
    await remove()
  })
})

describe('refused while it is installed', () => {
  /** The largest member that the device lacks, and that planning does not read. */
  const target = () => {
    const lacking = good.members.filter(({ path }) => path.endsWith('.filez') && !there.has(path))
    return lacking.reduce((a, b) => (b.bytes.length > a.bytes.length ? b : a))
  }
  let there: Set<string>
  let before: string[]
  beforeAll(async () => {
    const objects = await readdir(join(device.sysroot, 'ostree/repo/objects'), { recursive: true })
    there = new Set(objects.map(name => `objects/${name}z`))
    before = await standing(device)
  })
  afterEach(async () => {
    expect(await staged(device)).toEqual([])
    expect(await standing(device)).toEqual(before)
  })

  /** Install what fits at sight. @returns the exit status and what was said */
  async function tryIt(file: Buffer): Promise<[number, string]> {
    await insert({ 'try.superblock': file })
    const offer = await offerOf(device, 'try.superblock')
    expect(offer.verdict).toEqual({ fits: true })
    const done = await superblock(['--socket', device.socket, 'install', offer.id])
    await remove()
    return [done.status, done.err]
  }
  const spoiled = (change: (member: Entry) => Entry) =>
    archiveOf(entriesOf(good).map(entry => (entry.path === target().path ? change(entry) : entry)))

  test('a member that is not the one in the index', async () => {
    const wrong = spoiled(member => ({ ...member, bytes: flip(member.bytes, 20_000, 1) }))
    expect(await tryIt(wrong)).toEqual([4, expect.stringContaining('(tampered)')])
  })

  test('path traversal on extraction: a member whose tar header names another place', async () => {
    const wrong = spoiled(member => ({
      ...member,
      header: renamedHeader('../../../../etc/cron.d/x', member.bytes.length),
    }))
    expect(await tryIt(wrong)).toEqual([4, expect.stringContaining('(tampered)')])
  })

  test('an object that is not what its name says, though it is signed', async () => {
    const donor = good.members.find(({ path, bytes: content }) => path.endsWith('.filez') && content.length > 60_000)
    const members = real().map(member =>
      member.path === target().path && donor
        ? { ...member, bytes: donor.bytes, unpacked: unpackedOf.get(donor.path) ?? 0 }
        : member,
    )
    const [status, err] = await tryIt(assemble(await make({ members })))
    expect([status, err]).toEqual([5, expect.stringMatching(/Nothing was changed/)])
  })

  test('TOCTOU between check and use: a file that is another by the time it is installed', async () => {
    const other = await make({ change: manifest => ({ ...manifest, version: '2.1' }) })
    await insert({ 'swap.superblock': bytes })
    const { id } = await offerOf(device, 'swap.superblock')
    // Whoever touches the stick is held, so that nobody can notice before the installation does.
    const reader = await readerOf(stick)
    process.kill(reader, 'SIGSTOP')
    const asked = superblock(['--socket', device.socket, 'install', id])
    await device.waitFor(({ job }) => job?.state === 'running', 'the job')
    const path = join(stick.folder, 'swap.superblock')
    await writeFile(`${path}.new`, assemble(other))
    await rename(`${path}.new`, path)
    process.kill(reader, 'SIGCONT')
    const done = await asked
    expect([done.status, done.err]).toEqual([4, expect.stringContaining('(changed)')])
    await remove()
  })

  describe('a file that changes while it is read', () => {
    const whileRead = async (spoil: (path: string) => Promise<unknown>) => {
      await insert({ 'big.superblock': bytesOfBig })
      const { id, verdict } = await offerOf(device, 'big.superblock')
      expect(verdict).toEqual({ fits: true })
      const asked = superblock(['--socket', device.socket, 'install', id])
      await whileStaging(device, () => spoil(join(stick.folder, 'big.superblock')))
      const done = await asked
      await remove()
      return [done.status, done.err]
    }

    test('it shrinks', async () => {
      const half = Math.floor(bytesOfBig.length / 2)
      expect(await whileRead(path => truncate(path, half))).toEqual([4, expect.stringContaining('(truncated)')])
    })

    test('its content is another', async () => {
      const spoil = async (path: string) => {
        const file = await open(path, 'r+')
        for (let at = 4 * 2 ** 20; at < bytesOfBig.length - 1024; at += 4096)
          await file.write(Buffer.from('?'), 0, 1, at)
        await file.close()
      }
      expect(await whileRead(spoil)).toEqual([4, expect.stringContaining('(tampered)')])
    })
  })

  test('predictable names and planted links in staging and inbox lead nowhere', async () => {
    const victim = join(varOf(device), 'victim')
    const planted = join(stateOf(device), 'staging')
    const id = (await readHead(memorySource(bytes))).id
    const plantAround = async (plant: () => Promise<unknown>) => {
      await rm(victim, { recursive: true, force: true })
      await rm(planted, { recursive: true, force: true })
      await mkdir(victim)
      await writeFile(join(victim, 'precious'), 'precious')
      await plant()
    }
    const installed = async () => {
      await insert({ 'good.superblock': bytes })
      await offerOf(device, 'good.superblock')
      expect((await install(device, { id })).state).toBe('reboot')
      await device.client.cancel()
      await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end')
      await remove()
      expect(await readdir(victim)).toEqual(['precious'])
    }
    await plantAround(() => symlink('/var/victim', planted))
    await installed()
    await plantAround(async () => {
      await mkdir(planted, { mode: 0o700 })
      await symlink('/var/victim', join(planted, id))
    })
    await installed()
    await plantAround(async () => {
      await mkdir(join(planted, id), { recursive: true })
      await chmod(join(planted, id), 0o777)
      await symlink('/var/victim', join(planted, id, 'repo'))
    })
    await installed()
    await plantAround(() => symlink('/var/victim', planted))
    await symlink('/etc/shadow', join(inboxOf(device), 'x.superblock'))
    await serviceWith(async () => {})
    expect(await readdir(victim)).toEqual(['precious'])
    expect((await device.client.status()).offers).toEqual([])
    await rm(join(inboxOf(device), 'x.superblock'))
  })
})

describe('a missing key file means that nothing is installed', () => {
  afterAll(() => configure(''))
  const folder = '/etc/superblock/other-keys'

  test('no key folder, then an empty file in it, then a key: the same offer is judged anew', async () => {
    await configure(`[signatures]\nkeys = ["${folder}"]\n`)
    await refused({ good: { code: 'no-keys', why: /superblock doctor/, file: bytes } })
    await write(device, `${folder}/empty.asc`, '')
    await refused({ good: { code: 'no-keys', file: bytes } })
    const doctor = await superblock(['--socket', device.socket, 'doctor'])
    expect(doctor.status).toBe(6)
    expect(doctor.out).toMatch(/keys: 0 usable signing keys.*empty\.asc: it is empty/)
    await insert({ 'good.superblock': bytes })
    const { id } = await offerOf(device, 'good.superblock')
    const began = performance.now()
    await write(device, `${folder}/acme.asc`, product.key.publicKey)
    await device.waitFor(({ offers }) => offers.some(one => one.id === id && one.verdict.fits), 'the new key to count')
    // A look at everything by the clock comes every 30 s.
    expect(performance.now() - began).toBeLessThan(10_000)
    await device.client.install({ id })
    expect((await ended(device)).state).toBe('reboot')
    await device.client.cancel()
    await device.waitFor(({ job }) => job?.state === 'cancelled', 'the end')
    await remove()
  })

  test('threshold: two signers are two keys, not one key twice', async () => {
    await configure('[signatures]\nrequired = 2\n')
    const [own] = good.signatures as [Entry]
    const later = await signBytes(good.manifest, product.key.secretKey, undefined, new Date('2026-04-01T00:00:00Z'))
    await refused({
      one: { code: 'not-enough-signatures', why: /wants 2 signers, the package has 1/, file: bytes },
      'one, and itself under another name': {
        code: 'not-enough-signatures',
        file: signedBy(good, own, signature(second.fingerprint, later.armor)),
      },
      'one, and a stranger': {
        code: 'not-enough-signatures',
        why: /not trusted here/,
        file: assemble(await make({ keys: [product.key, stranger] })),
      },
    })
    await insert({ 'both.superblock': assemble(await make({ keys: [product.key, second] })) })
    expect(await verdictOf(device, 'both.superblock')).toBe('fits')
    await remove()
  })
})

describe('no room', () => {
  /** The good release installed and found good, which is what all the refusals above must not have stood in the way of. */
  test('the next good package installs', async () => {
    await insert({ 'good.superblock': bytes })
    const { id } = await offerOf(device, 'good.superblock')
    const done = await superblock(['--socket', device.socket, 'install', id])
    expect([done.status, done.err]).toEqual([0, ''])
    await remove()
    expect((await restart(device)).job).toMatchObject({ state: 'done', to: { version: '2.0' } })
    expect(await read(device, '/etc/acme/upstream.conf')).toBe('of = 2.0\n')
    await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    pid = await device.service.pid()
  })

  /** The large package, inserted into a device that starts with a disk of this size, and with this in the settings of its repo. */
  async function offeredOn(disk: string, section = '') {
    await device.powerCut()
    await writeFile(join(device.folder, 'disk'), disk)
    await device.boot()
    await device.exec(['sh', '-c', `printf "${section}" >>/sysroot/ostree/repo/config`])
    await atRest(device)
    pid = await device.service.pid()
    await insert({ 'big.superblock': bytesOfBig })
    return offerOf(device, 'big.superblock')
  }

  test.each([
    ['unpacked', ''],
    ['as an archive', '[ex-integrity]\\nfsverity=no\\n'],
  ])(
    'what was staged already, %s, is no missing room: an installation whose stick was pulled goes on',
    async (_, section) => {
      const { id, plan } = await offeredOn('100m', section)
      await device.client.install({ id })
      await whileStaging(device, () => device.remove(stick, { lazy: true }), 2 ** 20)
      inserted.pop()
      await device.waitFor(({ job }) => job?.state === 'paused', 'the pause')
      const numbers = await device.exec([
        'sh',
        '-c',
        'du -sk /var/lib/superblock/staging; stat -f -c "%a %b %S" /sysroot',
      ])
      const [staged = 0, free = 0, blocks = 0, size = 0] = numbers.stdout.match(/\b\d+\b/g)?.map(Number) ?? []
      expect(staged).toBeGreaterThan(200)
      const need = plan?.spaceOnSysroot ?? 0
      const fill = free * size - Math.ceil(blocks * size * 0.03) - need + staged * 512 // half of it is missing
      await device.exec(['sh', '-c', `head -c ${fill} /dev/zero >/var/fill`])
      await insert({ 'big.superblock': bytesOfBig })
      await device.waitFor(({ job }) => job?.state === 'reboot', 'the end of the installation')
      await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
      await remove()
    },
  )

  test('a disk that somebody else fills meanwhile is said, nothing of the job stays, and with room it installs', async () => {
    const { id } = await offeredOn('100m')
    await device.client.install({ id })
    const fill = ['sh', '-c', 'cat /dev/zero >/var/fill || cat /dev/zero >/var/fill-more || true']
    await whileStaging(device, () => device.exec(fill), 2 ** 20)
    const { job } = await device.waitFor(({ job }) => job?.state === 'failed', 'the failure')
    expect(job).toMatchObject({ code: 'disk-full', text: expect.stringContaining("the device's disk is full") })
    const { stdout } = await device.exec(['find', '/var/lib/superblock/staging', '-mindepth', '1'], { accept: [1] })
    expect(stdout).toBe('')
    await device.exec(['sh', '-c', 'rm /var/fill*'])
    await device.client.install({ id })
    await device.waitFor(({ job }) => job?.state === 'reboot', 'the end of the installation')
    await device.exec(['ostree', 'fsck', '--repo=/sysroot/ostree/repo'])
    await remove()
  })

  test('a release that does not fit on the disk is refused before anything is written', async () => {
    const offer = await offeredOn('16m')
    expect(offer.verdict).toMatchObject({
      fits: false,
      code: 'no-space',
      why: expect.stringMatching(/needs .* on \/sysroot, .* are free/),
    })
    const done = await superblock(['--socket', device.socket, 'install', offer.id])
    expect([done.status, done.err]).toEqual([4, expect.stringContaining('(no-space)')])
    const { stdout } = await device.exec(['find', '/var/lib/superblock/staging', '-mindepth', '1'], { accept: [1] })
    expect(stdout).toBe('')
    await remove()
  })

  test('on a disk that is full to the last byte a rollback still works', async () => {
    expect(await order(device)).toBe('2.0 booted, 1.0 rollback')
    await device.exec(['sh', '-c', 'cat /dev/zero >/var/fill || cat /dev/zero >/var/fill-more || true'])
    const free = async () => (await device.exec(['stat', '-f', '-c', '%a', '/var'])).stdout.trim()
    expect(await free()).toBe('0')
    const done = await superblock(['--socket', device.socket, 'rollback', '--yes', '--reason', 'the disk is full'])
    expect([done.status, done.err]).toEqual([0, ''])
    expect(await order(device)).toBe('1.0 pending, 2.0 booted')
    const { chain, entries } = await device.client.history(true)
    expect([chain.ok, entries.at(-1)?.event]).toEqual([true, 'rollback'])
    await device.exec(['sh', '-c', 'rm /var/fill*'])
  })
})

/** The header with its checksum made right again. */
function checksummed(header: Buffer): Buffer {
  header.fill(0x20, 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')} `, 148, 'latin1')
  return header
}

function renamedHeader(path: string, size: number): Buffer {
  const header = ustarHeader('x', size)
  header.write(path, 0, 'latin1')
  return checksummed(header)
}

/** The process that touches a stick: the child of the service that has its mount folder among its arguments. */
async function readerOf(inserted: Stick): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  for (const child of children.split(' ').filter(Boolean)) {
    const words = (await readFile(`/proc/${child}/cmdline`, 'utf8')).split('\0')
    if (words.some(word => basename(word) === inserted.name)) return Number(child)
  }
  throw new Error('cannot find who reads the stick')
}
