/** The sample product made ready: a signing key, releases 1.0 and 2.0 in a repo, 2.0 as a signed package, a device with 1.0. */
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunResult, run } from '../../src/base/run.ts'
import { type Device, makeDevice } from './device.ts'
import { PROJECT } from './project.ts'
import { makeTree } from './sysroot.ts'

export const SAMPLE = {
  os: 'acme',
  ref: 'acme/gateway',
  compatible: 'acme-gateway',
  signer: 'Acme Updates <updates@acme.example>',
}

const TILE = 256 * 1024
/** In 2.0 every second of the first release's tiles is another one, and there are more of them. */
const TILES: Record<string, number> = { '1.0': 48, '2.0': 72 }

export interface Sample {
  /** archive repo with both releases */
  repo: string
  /** secret key file */
  secretKey: string
  /** public key file, also in both releases */
  publicKey: string
  /** signed, from 1.0 or whatever else runs to 2.0 */
  package: string
  /** switched off */
  device: Device
}

/** Runs the build-host tool as its users do. */
export const builder = (argv: readonly string[]): Promise<RunResult> =>
  run([process.execPath, join(PROJECT, 'dist/superblock-builder.js'), ...argv])

/** @param folder short: the device's control socket lies in it */
export async function makeSample(folder: string): Promise<Sample> {
  const repo = join(folder, 'repo')
  const keys = join(folder, 'keys')
  await builder(['keygen', '--user-id', SAMPLE.signer, '--out', keys])
  const names = await readdir(keys)
  const keyFile = (ending: string) => join(keys, names.find(name => name.endsWith(ending)) ?? `no ${ending} file`)
  const publicKey = keyFile('.asc')

  await release(folder, repo, '1.0', publicKey)
  // The device leaves the factory before there is a 2.0.
  const device = await makeDevice({ folder: join(folder, 'device'), repo, ref: SAMPLE.ref, os: SAMPLE.os })
  await release(folder, repo, '2.0', publicKey)
  const file = join(folder, 'acme-gateway-2.0.superblock')
  await builder([
    ...['package', '--ostree-repo', repo, '--ref', SAMPLE.ref, '--os', SAMPLE.os, '--compatible', SAMPLE.compatible],
    ...['--notes-file', join(PROJECT, 'samples/2.0/notes.txt'), '--sign-key', keyFile('.key'), '--out', file],
  ])
  return { repo, secretKey: keyFile('.key'), publicKey, package: file, device }
}

async function release(folder: string, repo: string, version: string, publicKey: string): Promise<void> {
  const samples = join(PROJECT, 'samples')
  const tree = join(folder, `tree-${version}`)
  await mkdir(tree)
  await makeTree(tree, {
    version,
    files: {
      ...(await filesBelow(join(samples, 'tree'))),
      ...(await filesBelow(join(samples, version, 'tree'))),
      ...tiles(version),
      'usr/lib/superblock/keys/acme.asc': await readFile(publicKey),
    },
  })
  await builder([
    ...['commit', '--ostree-repo', repo, '--ref', SAMPLE.ref, '--version', version],
    ...['--ota-json', join(samples, version, 'ota.json'), tree],
  ])
}

async function filesBelow(folder: string): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {}
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) files[path.slice(folder.length + 1)] = await readFile(path)
  }
  return files
}

/** Map tiles that do not compress and are the same every time: a key stream from the tile's name. */
function tiles(version: string): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {}
  for (let i = 0; i < (TILES[version] ?? 0); i++) {
    const name = i % 2 === 0 ? `tile ${i}` : `tile ${i} of ${version}`
    const key = createHash('sha256').update(name).digest()
    files[`usr/share/acme/tiles/${i}.bin`] = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(
      Buffer.alloc(TILE),
    )
  }
  return files
}
