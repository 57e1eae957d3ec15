/** A product for the system tests: its keys, a line of small releases in a repo, signed packages of them, and devices that run the first. */
import { createCipheriv, createHash } from 'node:crypto'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import { makePackage, type PackageOptions, type PackageResult } from '../../src/builder/package.ts'
import type { Work } from '../../src/builder/work.ts'
import { makeKey } from '../../src/package/signature.ts'
import { type Device, makeDevice } from './device.ts'
import type { Key } from './packages.ts'
import { commitTree, makeTree } from './sysroot.ts'

export const PRODUCT = { os: 'acme', ref: 'acme/gateway', compatible: 'acme-gateway' } as const

/** What a device does without being asked is quick here. */
const CONFIG = '[reboot]\ndelay = 0.5\n'

/** Bad is a release whose number is in the folder /var/bad; what it says is looked for in the tests. */
const CHECK = `#!/bin/sh
[ ! -e "/var/bad/$SUPERBLOCK_VERSION" ] && exit
echo "the fieldbus of $SUPERBLOCK_VERSION is silent"
exit 1
`

const quiet: Work = { signal: new AbortController().signal, progress: (_, task) => task(() => {}), note: () => {} }

export interface Product {
  folder: string
  /** archive repo with all releases */
  repo: string
  /** trusted by every release */
  key: Key
  commits: Record<string, string>
  /** write both halves of a key to files */
  keep(key: Key): Promise<{ secret: string; public: string }>
  /**
   * @param ballast bytes that do not compress, in one file a megabyte: for what must not be over at once
   * @param files beside the usual ones
   */
  release(
    version: string,
    options?: { ballast?: number; repo?: string; ref?: string; files?: Record<string, string> },
  ): Promise<string>
  /** a package of a release; signed with the product's key unless `keys` says otherwise */
  package(
    version: string,
    options?: Partial<PackageOptions> & { keys?: readonly Key[]; name?: string },
  ): Promise<PackageResult>
  device(
    name: string,
    options?: { config?: string; keys?: readonly string[]; bootLoader?: 'grub' | 'uboot' },
  ): Promise<Device>
}

/** @param folder short: the control sockets of devices lie in it */
export async function makeProduct(folder: string): Promise<Product> {
  const repo = join(folder, 'repo')
  const factory = join(folder, 'factory')
  const commits: Record<string, string> = {}
  await mkdir(join(folder, 'keys'))
  const key = await newKey('Acme Releases')
  const product: Product = {
    folder,
    repo,
    key,
    commits,
    async keep({ fingerprint, publicKey, secretKey }) {
      const at = (ending: string) => join(folder, 'keys', `${fingerprint}.${ending}`)
      await writeFile(at('asc'), publicKey)
      await writeFile(at('key'), secretKey)
      return { secret: at('key'), public: at('asc') }
    },
    async release(version, { ballast = 0, repo: into = repo, ref = PRODUCT.ref, files = {} } = {}) {
      const tree = join(folder, `tree-${version}${ref === PRODUCT.ref ? '' : '-other'}`)
      await makeTree(tree, { version, files: { ...filesOf(version, ballast, key), ...files } })
      const timestamp = new Date(Date.UTC(2025, 0, 1) + Number(version) * 86_400_000).toISOString()
      const commit = await commitTree(into, tree, { ref, version, timestamp })
      if (ref === PRODUCT.ref) commits[version] = commit
      return commit
    },
    async package(version, { keys = [key], name = `acme-${version}.superblock`, ...options } = {}) {
      const out = join(folder, name)
      const signKey = await Promise.all(keys.map(async one => (await product.keep(one)).secret))
      const rev = options.fromSuperblock === undefined ? { ref: PRODUCT.ref, rev: commits[version] } : {}
      const from = options.from?.map(base => commits[base] ?? base)
      // Some tests want a release that strands its devices.
      const usual = { ostreeRepo: repo, os: PRODUCT.os, compatible: [PRODUCT.compatible], epoch: 0, allowKeyless: true }
      return makePackage({ ...usual, ...rev, signKey, out, ...options, ...(from ? { from } : {}) }, quiet)
    },
    device: (name, { config = '', keys, bootLoader } = {}) =>
      makeDevice({
        ...{ folder: join(folder, name), repo: factory, ref: PRODUCT.ref, os: PRODUCT.os },
        ...{ config: merged(config), keys, bootLoader },
      }),
  }
  await product.keep(key)
  await product.release('1.0')
  // Devices leave the factory before there is another release.
  await cp(repo, factory, { recursive: true })
  return product
}

/** A key that is older than every release here. */
export const newKey = (name: string, life?: number): Promise<Key> =>
  makeKey({
    userId: `${name} <${name.toLowerCase().replaceAll(' ', '.')}@acme.example>`,
    made: new Date('2025-01-01T00:00:00Z'),
    life,
  })

/** The same table twice would not be TOML. */
const merged = (config: string) =>
  config.includes('[reboot]') ? config.replace('[reboot]\n', CONFIG) : `${CONFIG}${config}`

function filesOf(version: string, ballast: number, key: Key): Record<string, string | Uint8Array> {
  const files: Record<string, string | Uint8Array> = {
    'usr/lib/superblock/superblock.toml': `[device]\ncompatible = "${PRODUCT.compatible}"\n`,
    'usr/lib/superblock/keys/acme.asc': key.publicKey,
    'usr/lib/superblock/health.d/required.d/10-fieldbus': CHECK,
    'usr/lib/ostree-boot/uEnv.txt': `release_id=${createHash('sha256').update(version).digest('hex').slice(0, 32)}\n`,
    'usr/etc/acme/site.conf': 'site = none\n',
    'usr/etc/acme/upstream.conf': `of = ${version}\n`,
    'usr/share/acme/program': noise('program', 128 * 1024).fill(version, 70_000, 70_100),
    'usr/share/acme/data': noise(`data of ${version}`, 32 * 1024),
  }
  for (let i = 0; i < 24; i++) files[`usr/share/acme/map-${i}`] = noise(`map ${i}`, 64 * 1024)
  for (let i = 0; i * 2 ** 20 < ballast; i++) files[`usr/share/acme/ballast-${i}`] = noise(`${version} ${i}`, 2 ** 20)
  return files
}

/** Bytes that do not compress and are the same every time. */
function noise(name: string, size: number): Buffer {
  const key = createHash('sha256').update(name).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size))
}

/** The bare superblock that ostree itself makes of a release, for `--from-superblock`. */
export async function bareSuperblock(product: Product, version: string, base?: string): Promise<string> {
  const file = join(product.folder, `bare-${version}-${base ?? 'empty'}`)
  await run([
    ...['ostree', 'static-delta', 'generate', `--repo=${product.repo}`, '--inline', '--min-fallback-size=0'],
    ...[base === undefined ? '--empty' : `--from=${product.commits[base]}`, `--to=${product.commits[version]}`],
    `--filename=${file}`,
  ])
  return file
}
