import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { run } from '../../../src/base/run.ts'
import { readFailure } from '../../../src/base/source.ts'
import { ustarHeader } from '../../../src/package/header.ts'
import type { Member } from '../../../src/package/index.ts'
import { LIMITS } from '../../../src/package/limits.ts'
import { type Manifest, parseManifest } from '../../../src/package/manifest.ts'
import {
  type Checked,
  openFile,
  readHead,
  readIndex,
  readMember,
  readMembers,
  type Source,
  takeMembers,
  verifyWhole,
} from '../../../src/package/read.ts'
import type { Keyring } from '../../../src/package/signature.ts'
import {
  archiveOf,
  assemble,
  BASE,
  COMMIT,
  copyMembers,
  type Key,
  keyringOf,
  memorySource,
  objectPath,
  type Parts,
  readWhole,
  sha256,
  smallMembers,
  smallPackage,
  testKey,
  verdictOn,
} from '../../kit/packages.ts'

let folder: string
let key: Key
let keyring: Keyring
let parts: Parts
let good: Buffer
beforeAll(async () => {
  key = await testKey('reader')
  keyring = await keyringOf(key)
  parts = await smallPackage([key])
  good = assemble(parts)
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sb-read-'))
  return () => rm(folder, { recursive: true })
})

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    error => (error as Failure).code,
  )
const headCode = (bytes: Buffer) => codeOf(readHead(memorySource(bytes)))
const membersOf = async (source: Source) => {
  const head = await readHead(source)
  return [...(await readIndex(source, head, parseManifest(head.manifest)))]
}

/** Members of these sizes side by side, as an index would list them; their content is a function of their number. */
function row(sizes: number[]): { members: Member[]; bytes: Buffer } {
  const entries = sizes.map((size, at) => ({ path: `objects/${at}`, bytes: Buffer.alloc(size, `${at} `) }))
  let header = 0
  const members = entries.map(({ path, bytes }) => {
    const member = { path, sha256: sha256(bytes), size: bytes.length, unpacked: bytes.length, header }
    header += 512 + Math.ceil(bytes.length / 512) * 512
    return member
  })
  return { members, bytes: archiveOf(entries) }
}

describe('readHead', () => {
  it('gives bytes, names and places, and parses no manifest', async () => {
    const junk = { ...parts, manifest: Buffer.from('not JSON at all') }
    const head = await readHead(memorySource(assemble(junk)))
    expect(head.manifest.toString()).toBe('not JSON at all')
    expect(head.id).toBe(sha256('not JSON at all'))
    expect(head.signatures).toEqual(parts.signatures.map(({ path, bytes }) => ({ name: path, armor: bytes })))
    expect(head.indexAt).toBe(512 + 512 + 512 + 512)
  })

  it('reads each byte once, in few reads, and no more of the file than it needs', async () => {
    const source = memorySource(Buffer.concat([good, Buffer.alloc(1024 * 1024)]))
    const head = await readHead(source)
    await codeOf(readIndex(source, head, parseManifest(head.manifest)))
    expect(source.reads).toEqual([{ position: 0, length: 32 * 1024 }])
    const large = { ...parts, manifest: Buffer.alloc(LIMITS.manifest, ' ') }
    const bytes = assemble(large)
    const second = memorySource(bytes)
    await readHead(second)
    let end = 0
    for (const { position, length } of second.reads) {
      expect(position).toBe(end)
      end = position + length
    }
    expect(second.reads.length).toBeLessThan(5)
  })

  it('takes a package without a signature: that is for others to refuse', async () => {
    expect((await readHead(memorySource(assemble({ ...parts, signatures: [] })))).signatures).toEqual([])
  })

  it.each([
    ['nothing', '', 'truncated'],
    ['zeros', Buffer.alloc(4096), 'truncated'],
    ['half a header', Buffer.from('manifest.json\0\0\0'), 'truncated'],
    ['three bytes of a header', Buffer.from('man'), 'truncated'],
    ['a few bytes', Buffer.from('hello'), 'not-a-package'],
    ['text', Buffer.alloc(4096, 'hello '), 'not-a-package'],
    ['a gzip', Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(2000, 7)]), 'not-a-package'],
    ['another tar', archiveOf([{ path: 'README', bytes: Buffer.from('hi') }]), 'not-a-package'],
  ])('%s', async (_what, bytes, code) => {
    expect(await headCode(Buffer.from(bytes))).toBe(code)
  })

  it('what tar(1) itself packs has other headers and is no package', async () => {
    await writeFile(join(folder, 'manifest.json'), parts.manifest)
    const bytes = execFileSync('tar', ['-C', folder, '--format=ustar', '-c', 'manifest.json'])
    expect(await headCode(bytes)).toBe('not-a-package')
  })

  it('counts and measures signatures', async () => {
    const file = (at: number, size = 100) => ({
      path: `signatures/${at.toString(16).toUpperCase().padStart(40, '0')}.asc`,
      bytes: Buffer.alloc(size, 'x'),
    })
    const many = (count: number) => Array.from({ length: count }, (_, at) => file(at))
    expect((await readHead(memorySource(assemble({ ...parts, signatures: many(16) })))).signatures).toHaveLength(16)
    expect(await headCode(assemble({ ...parts, signatures: many(17) }))).toBe('too-many-signatures')
    expect(await headCode(assemble({ ...parts, signatures: [file(1, 16 * 1024)] }))).toBe('done')
    expect(await headCode(assemble({ ...parts, signatures: [file(1, 16 * 1024 + 1)] }))).toBe('too-large')
    expect(await headCode(assemble({ ...parts, signatures: [file(1, 20_000_000)] }))).toBe('too-large')
    for (const path of [
      'signatures/a.asc',
      `signatures/${'a'.repeat(40)}.asc`,
      `signatures/${'A'.repeat(40)}`,
      'readme',
    ])
      expect(await headCode(assemble({ ...parts, signatures: [{ path, bytes: Buffer.from('x') }] }))).toBe('tampered')
  })
})

describe('a bare superblock', () => {
  let made: string
  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'sb-bare-'))
    const [repo, tree] = [join(made, 'repo'), join(made, 'tree')]
    await run(['ostree', `--repo=${repo}`, 'init', '--mode=archive'])
    const commit = async (content: string | Buffer) => {
      await rm(tree, { recursive: true, force: true })
      await run(['mkdir', tree])
      await writeFile(join(tree, 'file'), content)
      await run(['ostree', `--repo=${repo}`, 'commit', '--canonical-permissions', '-b', 'r', `--tree=dir=${tree}`])
    }
    const delta = (name: string, ...options: string[]) =>
      run([
        'ostree',
        `--repo=${repo}`,
        'static-delta',
        'generate',
        'r',
        '--inline',
        `--filename=${join(made, name)}`,
        ...options,
      ])
    await commit('small')
    await delta('small', '--empty')
    await commit(createHash('sha512').update('x').digest())
    await delta('next')
    const noise = Buffer.concat(Array.from({ length: 3000 }, (_, at) => createHash('sha512').update(`${at}`).digest()))
    await commit(noise)
    await delta('large')
    await delta('large-empty', '--empty')
  })
  afterAll(() => rm(made, { recursive: true }))

  it('is known by its structure, whatever its name and size, and told how to be wrapped', async () => {
    for (const name of ['small', 'next', 'large', 'large-empty']) {
      const bytes = await readFile(join(made, name))
      await expect(readHead(memorySource(bytes))).rejects.toMatchObject({
        code: 'bare-superblock',
        message: expect.stringContaining('superblock-builder package --from-superblock FILE'),
      })
      expect(await headCode(bytes.subarray(0, bytes.length - 100))).toBe('not-a-package')
    }
  })

  it('also one that is signed in ostree’s own way', async () => {
    expect(await headCode(Buffer.concat([Buffer.from('OSTSGNDT'), Buffer.alloc(1000, 1)]))).toBe('bare-superblock')
  })
})

describe('readIndex', () => {
  it('knows from the size alone that a copy was not finished, and reads no member for it', async () => {
    const source = memorySource(good.subarray(0, good.length - 1))
    const head = await readHead(source)
    const before = source.reads.length
    expect(await codeOf(readIndex(source, head, parseManifest(head.manifest)))).toBe('truncated')
    expect(source.reads.length).toBe(before)
    expect(await codeOf(membersOf(memorySource(Buffer.concat([good, Buffer.alloc(512)]))))).toBe('tampered')
  })

  it('believes no line of an index with another hash, though its sums and paths hold', async () => {
    const lines = parts.index.toString().split('\n')
    const [a = 0, b = 0] = lines.flatMap((line, at) => (line.includes('.filez') ? [at] : []))
    const unpacked = (line = '') => line.split(' ')[2] ?? ''
    const swapped = lines
      .with(a, lines[a]?.replace(` ${unpacked(lines[a])} obj`, ` ${unpacked(lines[b])} obj`) ?? '')
      .with(b, lines[b]?.replace(` ${unpacked(lines[b])} obj`, ` ${unpacked(lines[a])} obj`) ?? '')
    const index = Buffer.from(swapped.join('\n'))
    expect(index).toHaveLength(parts.index.length)
    expect(index).not.toEqual(parts.index)
    expect(await codeOf(membersOf(memorySource(assemble({ ...parts, index }))))).toBe('tampered')
  })

  it('takes members in the one order only, and each once, though index and archive agree', async () => {
    const of = async (members: ReturnType<typeof smallMembers>) =>
      verdictOn(assemble(await smallPackage([key], { members })), keyring)
    const members = smallMembers()
    expect(await of(members)).toBe('accepted')
    expect(await of(members.toReversed())).toBe('tampered')
    for (const [at, member] of members.entries()) expect(await of(members.toSpliced(at, 0, member))).toBe('tampered')
  })

  it('holds the index against each sum of the manifest, and no member may be larger than a header can say', async () => {
    const sums = async (change: Partial<Manifest['payload']>) =>
      assemble(await smallPackage([key], { change: m => ({ ...m, payload: { ...m.payload, ...change } }) }))
    const { payload } = parseManifest(parts.manifest)
    for (const name of ['members', 'size', 'unpacked'] as const)
      expect([name, await verdictOn(await sums({ [name]: payload[name] + 1 }), keyring)]).toEqual([name, 'tampered'])
    const size = LIMITS.member + 1
    const index = Buffer.from(`${sha256('x')} ${size} ${size} deltas/${BASE}.superblock\n`)
    const change = (m: Manifest) => ({ ...m, payload: { members: 1, size, unpacked: size } })
    const large = assemble(await smallPackage([key], { index, change, members: [] }))
    await expect(membersOf(memorySource(large))).rejects.toThrow('has more bytes than a member may have')
  })

  it('takes objects that are read as a whole up to 8 MiB', async () => {
    const verdict = async (kind: string, size: number) => {
      const object = { path: objectPath(sha256('large'), kind), bytes: Buffer.alloc(size), unpacked: size }
      const members = [...smallMembers(), object].sort((a, b) => (a.path < b.path ? -1 : 1))
      return verdictOn(assemble(await smallPackage([key], { members })), keyring)
    }
    for (const kind of ['dirtree', 'dirmeta']) {
      expect(await verdict(kind, 8 * 2 ** 20)).toBe('accepted')
      expect(await verdict(kind, 8 * 2 ** 20 + 1)).toBe('tampered')
    }
    expect(await verdict('filez', 8 * 2 ** 20 + 1)).toBe('accepted')
  })

  it('takes no commit but the manifest’s', async () => {
    for (const kind of ['commit', 'commitmeta']) {
      const other = { path: objectPath(sha256('other'), kind), bytes: Buffer.from('x'), unpacked: 1 }
      const members = [...smallMembers(), other].sort((a, b) => (a.path < b.path ? -1 : 1))
      expect(await verdictOn(assemble(await smallPackage([key], { members })), keyring)).toBe('tampered')
    }
  })

  it('places every member', async () => {
    const members = await membersOf(memorySource(good))
    expect(members.map(member => member.path)).toEqual(smallMembers().map(member => member.path))
    for (const member of members)
      expect(good.subarray(member.header, member.header + 512)).toEqual(ustarHeader(member.path, member.size))
  })

  it('takes a package of deltas alone, but no part of a repository', async () => {
    const only = (pick: (path: string) => boolean) =>
      smallPackage([key], { members: smallMembers().filter(m => pick(m.path)) }).then(p =>
        verdictOn(assemble(p), keyring),
      )
    expect(await only(path => path.startsWith('deltas/'))).toBe('accepted')
    expect(await only(path => !path.startsWith('deltas/'))).toBe('tampered')
    for (const missing of ['config', 'refs/heads/acme/gateway', objectPath(COMMIT, 'commit')])
      expect([missing, await only(path => path !== missing)]).toEqual([missing, 'tampered'])
    const more = [
      ...smallMembers(),
      { path: objectPath(COMMIT, 'commitmeta'), bytes: Buffer.from('meta'), unpacked: 4 },
    ]
    more.sort((a, b) => (a.path < b.path ? -1 : 1))
    expect(await verdictOn(assemble(await smallPackage([key], { members: more })), keyring)).toBe('accepted')
  })
})

describe('a file', () => {
  it('is read by position, shorter only at its end', async () => {
    const path = join(folder, 'p.superblock')
    await writeFile(path, good)
    const source = await openFile(path)
    expect(source.size).toBe(good.length)
    expect(await source.read(100, 50)).toEqual(good.subarray(100, 150))
    expect(await source.read(good.length - 10, 50)).toEqual(good.subarray(-10))
    expect(await source.read(good.length + 10, 50)).toHaveLength(0)
    expect((await readWhole(source, keyring, 1)).id).toBe(sha256(parts.manifest))
    await source.close()
  })

  it('must be a regular file under its own name', async () => {
    const path = join(folder, 'p.superblock')
    await writeFile(path, good)
    await symlink(path, join(folder, 'link'))
    execFileSync('mkfifo', [join(folder, 'pipe')])
    expect(await codeOf(openFile(join(folder, 'link')))).toBe('not-a-package')
    expect(await codeOf(openFile(join(folder, 'pipe')))).toBe('not-a-package')
    expect(await codeOf(openFile(folder))).toBe('not-a-package')
    expect(await codeOf(openFile('/dev/null'))).toBe('not-a-package')
    expect(await codeOf(openFile(join(folder, 'none')))).toBe('media-gone')
    expect(await codeOf(openFile(join(path, 'below')))).toBe('media-gone')
  })

  it('that shrinks while it is read is truncated', async () => {
    const path = join(folder, 'p.superblock')
    await writeFile(path, good)
    const source = await openFile(path)
    const members = await membersOf(source)
    await truncate(path, (members.at(-1)?.header ?? 0) + 100)
    expect(await codeOf(verifyWhole(source, members))).toBe('truncated')
    expect(await codeOf(readMember(source, members.at(-1) as Member))).toBe('truncated')
    expect(await codeOf(copyMembers(source, members.slice(-1), () => join(folder, 'out')))).toBe('truncated')
    await source.close()
  })

  it('names what went wrong with the medium', () => {
    const failure = (code: string) => readFailure(Object.assign(new Error(`${code}: oh`), { code }), '/media/p', 512)
    for (const code of ['ENODEV', 'ENXIO', 'ENOENT', 'ENOTCONN', 'ESTALE'])
      expect(failure(code)).toMatchObject({ code: 'media-gone', message: expect.stringContaining('stick was removed') })
    expect(failure('EIO')).toMatchObject({
      code: 'media-error',
      message: expect.stringContaining('cannot read /media/p at byte 512: EIO'),
    })
  })
})

describe('members', () => {
  it('side by side share reads of at most 1 MiB', async () => {
    const { members, bytes } = row([0, 1, 511, 512, 513, 300_000, 600_000, 2_000_000, 5, ...Array(2000).fill(700)])
    const source = memorySource(bytes)
    const got: string[] = []
    for await (const { member, bytes: content } of readMembers(source, members)) {
      expect(sha256(content)).toBe(member.sha256)
      got.push(member.path)
    }
    expect(got).toEqual(members.map(member => member.path))
    expect(source.reads.length).toBe(5)
    for (const { length } of source.reads) expect(length).toBeLessThanOrEqual(2_001_000)
  })

  it('that are not wanted are not read', async () => {
    const { members, bytes } = row([1000, 2000, 3000, 4000])
    const source = memorySource(bytes)
    const wanted = [members[0], members[2], members[3]] as Member[]
    const got: string[] = []
    for await (const { member } of readMembers(source, wanted)) got.push(member.path)
    expect(got).toEqual(wanted.map(member => member.path))
    expect(source.reads).toEqual([
      { position: 0, length: 1536 },
      { position: wanted[1]?.header, length: 512 + 3072 + 512 + 4096 },
    ])
  })

  it('are each checked: header, hash, padding', async () => {
    const { members, bytes } = row([700, 700, 9_000_000])
    for (const member of members)
      for (const at of [
        0,
        156,
        512,
        512 + member.size - 1,
        512 + member.size,
        511 + Math.ceil(member.size / 512) * 512,
      ]) {
        const spoiled = Buffer.from(bytes)
        spoiled[member.header + at] = (spoiled[member.header + at] ?? 0) ^ 1
        const source = memorySource(spoiled)
        const out = join(folder, 'out')
        expect([member.path, at, await codeOf(copyMembers(source, [member], () => out))]).toEqual([
          member.path,
          at,
          'tampered',
        ])
        expect(await codeOf(copyMembers(source, members, m => join(folder, sha256(m.path))))).toBe('tampered')
        expect(await codeOf(verifyWhole(source, members))).toBe('tampered')
        if (member.size < LIMITS.memory) expect(await codeOf(readMember(source, member))).toBe('tampered')
        const left = await readdir(folder)
        for (const name of left) expect(members.filter(m => m !== member).map(m => sha256(m.path))).toContain(name)
        await Promise.all(left.map(name => rm(join(folder, name))))
      }
  })

  it('are handed over, small ones as bytes and large ones as a private file, with every byte counted', async () => {
    const { members, bytes } = row([0, 700, 12_000_000, 1, LIMITS.memory, LIMITS.memory + 1, 600])
    const scratch = join(folder, 'scratch')
    const taken: [string, string][] = []
    let count = 0
    const take = async (member: Member, content: Checked) => {
      const large = !Buffer.isBuffer(content)
      expect(large).toBe(member.size > 1_000_000)
      if (large) expect((await stat(content.file)).mode & 0o7777).toBe(0o600)
      taken.push([member.path, sha256(large ? await readFile(content.file) : content)])
    }
    await takeMembers(memorySource(bytes), members, take, scratch, more => {
      count += more
    })
    expect(count).toBe(bytes.length - 1024)
    expect(taken.sort()).toEqual(members.map(member => [member.path, member.sha256]).sort())
    expect(await readdir(folder)).toEqual([])
    count = 0
    await verifyWhole(memorySource(bytes), members, more => {
      count += more
    })
    expect(count).toBe(bytes.length - 1024)
  })

  it('that become large are handed over as files, and few together that become more than some', async () => {
    const { members, bytes } = row(Array(40).fill(700))
    const swollen = members.map((member, at) => ({ ...member, unpacked: at === 20 ? 5 * 2 ** 20 : 2 * 2 ** 20 }))
    let together = 0
    let most = 0
    const take = async (member: Member, content: Checked) => {
      expect([member.path, Buffer.isBuffer(content)]).toEqual([member.path, member.unpacked < 4 * 2 ** 20])
      most = Math.max(most, ++together)
      await sleep(1)
      together--
    }
    await takeMembers(memorySource(bytes), swollen, take, join(folder, 'scratch'))
    expect(most).toBe(2)
  })

  it('stop at the first failure of who takes them, when none of the others goes on', async () => {
    const { members, bytes } = row([700, 700, 700])
    let under = 0
    const take = async (member: Member) => {
      under++
      await sleep(member === members[0] ? 1 : 20)
      under--
      if (member === members[0]) throw new Failure('ref-mismatch', 'cannot')
    }
    expect(await codeOf(takeMembers(memorySource(bytes), members, take, join(folder, 'scratch')))).toBe('ref-mismatch')
    expect(under).toBe(0)
  })

  it('never replace or follow what is there already, and leave it alone', async () => {
    const { members, bytes } = row([9_000_000])
    const scratch = join(folder, 'out')
    const taking = () => codeOf(takeMembers(memorySource(bytes), members, async () => {}, scratch))
    await writeFile(scratch, 'mine')
    expect(await taking()).toBe('EEXIST')
    expect(await readFile(scratch, 'utf8')).toBe('mine')
    await rm(scratch)
    await symlink(join(folder, 'elsewhere'), scratch)
    expect(await taking()).toBe('EEXIST')
    expect(await readdir(folder)).toEqual(['out'])
  })

  it('over the limit of memory are not held in memory', async () => {
    const { members, bytes } = row([LIMITS.memory + 1])
    expect(await codeOf(readMember(memorySource(bytes), members[0] as Member))).toBe('internal')
  })

  it('that the medium fails to deliver leave nothing behind', async () => {
    const { members, bytes } = row([9_000_000])
    const source = memorySource(bytes)
    const failing: Source = {
      ...source,
      read: (at, length) =>
        at > 4_000_000 ? Promise.reject(new Failure('media-gone', 'cannot read')) : source.read(at, length),
    }
    expect(await codeOf(takeMembers(failing, members, async () => {}, join(folder, 'out')))).toBe('media-gone')
    expect(await codeOf(verifyWhole(failing, members))).toBe('media-gone')
    expect(await readdir(folder)).toEqual([])
  })

  it('on a full or read-only disk give the system’s error', async () => {
    const { members, bytes } = row([9_000_000])
    const taking = (scratch: string) => codeOf(takeMembers(memorySource(bytes), members, async () => {}, scratch))
    expect(await taking('/dev/full')).toBe('EEXIST')
    expect(await taking(join(folder, 'none/out'))).toBe('ENOENT')
  })
})
