/** Packages for tests: small signed ones in memory, real ones out of an OSTree repo, and the tools to spoil them. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ustarHeader } from '../../src/package/header.ts'
import { formatIndex, type Member } from '../../src/package/index.ts'
import { encodeManifest, type Manifest, parseManifest } from '../../src/package/manifest.ts'
import { type Head, readHead, readIndex, type Source, takeMembers, verifyWhole } from '../../src/package/read.ts'
import { type Keyring, loadKeys, makeKey, signBytes, verifySignatures } from '../../src/package/signature.ts'
import type { NewMember } from '../../src/package/write.ts'

export interface Key {
  fingerprint: string
  publicKey: string
  secretKey: string
}

/** A key as old as the tests' releases. */
export const testKey = (name: string): Promise<Key> =>
  makeKey({ userId: `${name} <${name}@example.com>`, made: new Date('2026-01-01T00:00:00Z') })

/** As a device would have it whose key folder holds these files. */
export async function keyringOf(...files: (string | Uint8Array | { publicKey: string })[]): Promise<Keyring> {
  const folder = await mkdtemp(join(tmpdir(), 'sb-keys-'))
  try {
    for (const [at, file] of files.entries())
      await writeFile(
        join(folder, `${at}.asc`),
        typeof file === 'string' || file instanceof Uint8Array ? file : file.publicKey,
      )
    return await loadKeys([folder])
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** One tar entry; a header of its own takes the place of the canonical one. */
export interface Entry {
  path: string
  bytes: Buffer
  header?: Buffer
  padding?: Buffer
}

export const archiveOf = (entries: readonly Entry[], end: Buffer = Buffer.alloc(1024)): Buffer =>
  Buffer.concat([
    ...entries.flatMap(({ path, bytes, header, padding }) => [
      header ?? ustarHeader(path, bytes.length),
      bytes,
      padding ?? Buffer.alloc((512 - (bytes.length % 512)) % 512),
    ]),
    end,
  ])

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

/** A commit object as ostree makes one, of an empty tree: version 2.0, for acme/gateway, of the manifest's time. */
const COMMIT_OBJECT = Buffer.from(
  'dmVyc2lvbgAyLjAAAHMIAG9zdHJlZS5yZWYtYmluZGluZwAAAAAAAGFjbWUvZ2F0ZXdheQANAGFzEw86Mi4wIDUwAAAAAAAAAAAAAGl+l4BuNAuc' +
    '/7N6mJylROa7eAoseJAdP7M3OHaFEaMGF6+gHURqDvEbfMFn87YD5YXH7u62dfqkEtXsc/YpiOsLbFSIcERDPDw8',
  'base64',
)
export const COMMIT = sha256(COMMIT_OBJECT)
export const BASE = sha256('a commit before it')
export const REF = 'acme/gateway'

export const objectPath = (checksum: string, kind: string) =>
  `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${kind}`

/** The least that a package of one commit holds, and some content. */
export const smallMembers = (): { path: string; bytes: Buffer; unpacked: number }[] => {
  const flat = (path: string, bytes: Buffer) => ({ path, bytes, unpacked: bytes.length })
  return [
    flat('config', Buffer.from('[core]\nrepo_version=1\nmode=archive-z2\n')),
    flat(`deltas/${BASE}.superblock`, Buffer.alloc(700, 'delta')),
    { path: objectPath(sha256('file'), 'filez'), bytes: Buffer.alloc(1025, 'file'), unpacked: 4000 },
    flat(objectPath(sha256('empty'), 'filez'), Buffer.alloc(0)),
    flat(objectPath(sha256('tree'), 'dirtree'), Buffer.alloc(512, 'tree')),
    flat(objectPath(COMMIT, 'commit'), COMMIT_OBJECT),
    flat(`refs/heads/${REF}`, Buffer.from(`${COMMIT}\n`)),
  ].sort((a, b) => (a.path < b.path ? -1 : 1))
}

export const smallManifest = (): Omit<Manifest, 'index' | 'payload' | 'format'> => ({
  compatible: ['acme-gateway'],
  version: '2.0',
  os: 'acme',
  ref: REF,
  commit: COMMIT,
  timestamp: '2026-02-01T00:00:00Z',
  epoch: 1,
  deltas: [{ from: BASE, path: `deltas/${BASE}.superblock` }],
  metadata: { name: 'Acme' },
  notes: 'Better.\n',
})

/** When the tests' releases are signed. */
export const SIGNED = new Date('2026-03-01T00:00:00Z')

export interface Parts {
  manifest: Buffer
  signatures: Entry[]
  index: Buffer
  members: Entry[]
}

/**
 * The parts of a signed package in memory, each free to be spoiled before `assemble`.
 * @param change lets the signed manifest itself say something else
 */
export async function smallPackage(
  keys: readonly Key[],
  options: {
    members?: { path: string; bytes: Buffer; unpacked: number }[]
    index?: Buffer
    change?: (manifest: Manifest) => unknown
  } = {},
): Promise<Parts> {
  const members = options.members ?? smallMembers()
  const lines = members.map(m => ({ ...m, size: m.bytes.length, sha256: sha256(m.bytes) }))
  const index = options.index ?? formatIndex(lines)
  const sum = (pick: (line: (typeof lines)[number]) => number) => lines.reduce((total, line) => total + pick(line), 0)
  const honest: Manifest = {
    ...smallManifest(),
    format: 1,
    index: { sha256: sha256(index), size: index.length },
    payload: { members: lines.length, size: sum(l => l.size), unpacked: sum(l => l.unpacked) },
  }
  const changed = options.change?.(honest)
  const manifest = Buffer.isBuffer(changed) ? changed : encodeManifest((changed as Manifest | undefined) ?? honest)
  return { manifest, signatures: await signatures(manifest, keys), index, members }
}

export async function signatures(manifest: Buffer, keys: readonly Key[]): Promise<Entry[]> {
  const entries = await Promise.all(
    keys.map(async key => {
      const { fingerprint, armor } = await signBytes(manifest, key.secretKey, undefined, SIGNED)
      return { path: `signatures/${fingerprint}.asc`, bytes: Buffer.from(armor) }
    }),
  )
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1))
}

export const entriesOf = (parts: Parts): Entry[] => [
  { path: 'manifest.json', bytes: parts.manifest },
  ...parts.signatures,
  { path: 'index', bytes: parts.index },
  ...parts.members,
]

export const assemble = (parts: Parts): Buffer => archiveOf(entriesOf(parts))

/** A package that lies in memory; `reads` lists what was asked for. */
export function memorySource(bytes: Buffer): Source & { reads: { position: number; length: number }[] } {
  const reads: { position: number; length: number }[] = []
  return {
    size: bytes.length,
    reads,
    async read(position, length) {
      reads.push({ position, length })
      return Buffer.from(bytes.subarray(position, position + length))
    },
    async close() {},
  }
}

/**
 * The whole way of a package, as a device goes it, up to the last byte.
 * @returns what was read
 * @throws Failure; with the code `refused` when fewer than `required` signers are good
 */
export async function readWhole(source: Source, keyring: Keyring, required: number): Promise<Head> {
  const head = await readHead(source)
  const { signers, rejected } = await verifySignatures(head.manifest, head.signatures, keyring)
  if (signers.length < required)
    throw Object.assign(new Error(rejected[0]?.why ?? 'unsigned'), { code: rejected[0]?.code ?? 'unsigned' })
  const manifest = parseManifest(head.manifest)
  const members = await readIndex(source, head, manifest)
  await verifyWhole(source, members)
  return head
}

/** The code of the refusal, or `accepted`. */
export async function verdictOn(bytes: Buffer | Source, keyring: Keyring, required = 1): Promise<string> {
  try {
    await readWhole(Buffer.isBuffer(bytes) ? memorySource(bytes) : bytes, keyring, required)
    return 'accepted'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

/** The same bytes with one of them changed. */
export function flip(bytes: Buffer, at: number, mask: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ mask
  return changed
}

/** The same package with another manifest, signed anew. */
export async function saying(bytes: Buffer, key: Key, change: (manifest: Manifest) => Manifest): Promise<Buffer> {
  const head = await readHead(memorySource(bytes))
  const manifest = encodeManifest(change(parseManifest(head.manifest)))
  const signed = [{ path: 'manifest.json', bytes: manifest }, ...(await signatures(manifest, [key]))]
  return Buffer.concat([archiveOf(signed, Buffer.alloc(0)), bytes.subarray(head.indexAt)])
}

/** The same package with zeros in the middle of the members that are chosen, as where a cluster was never written. */
export async function damaged(bytes: Buffer, isChosen: (member: Member) => boolean): Promise<Buffer> {
  const source = memorySource(bytes)
  const head = await readHead(source)
  const spoilt = Buffer.from(bytes)
  for (const member of await readIndex(source, head, parseManifest(head.manifest))) {
    if (!isChosen(member)) continue
    const middle = member.header + 512 + Math.floor(member.size / 2)
    spoilt.fill(0, middle, middle + 16)
  }
  return spoilt
}

/** Every member of a package of the one commit in an archive-mode repo. */
export async function repoMembers(repo: string, ref: string): Promise<NewMember[]> {
  const files = [join(repo, 'config'), join(repo, 'refs/heads', ref)]
  for (const folder of await readdir(join(repo, 'objects')))
    for (const name of await readdir(join(repo, 'objects', folder))) files.push(join(repo, 'objects', folder, name))
  return Promise.all(
    files.map(async file => ({ path: file.slice(repo.length + 1), file, unpacked: await unpackedSize(file) })),
  )
}

/** A .filez object begins with the length of its header, padding, and the size of its content, big-endian. */
async function unpackedSize(file: string): Promise<number> {
  if (!file.endsWith('.filez')) return (await readFile(file)).length
  const handle = await open(file)
  try {
    const { buffer } = await handle.read(Buffer.alloc(16), 0, 16, 0)
    return Number(buffer.readBigUInt64BE(8))
  } finally {
    await handle.close()
  }
}

/** Members as they are, each to a file of its own. */
export async function copyMembers(
  source: Source,
  members: Iterable<Member>,
  pathOf: (member: Member) => string,
  onBytes?: (count: number) => void,
): Promise<void> {
  const scratch = join(tmpdir(), `sb-scratch-${randomUUID()}`)
  const take: Parameters<typeof takeMembers>[2] = (member, content) =>
    Buffer.isBuffer(content) ? writeFile(pathOf(member), content, { flag: 'wx' }) : rename(content.file, pathOf(member))
  await takeMembers(source, members, take, scratch, onBytes)
}
