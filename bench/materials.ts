/** What all contenders start from: trees, commits of them, images of them, devices that run them, and keys. */
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../src/base/run.ts'
import { builder } from '../test/kit/sample.ts'
import { cached, code, scratch } from './cache.ts'
import type { Way } from './contender.ts'
import { attach, makeExt4, megabytesOf } from './disk.ts'
import { changedFiles, makeTrees, type Size, type Version } from './trees.ts'

export const OS = 'acme'
export const REF = 'acme/gateway'
export const COMPATIBLE = 'acme-gateway'

export interface Materials {
  size: Size
  trees: Record<Version, string>
  /** archive repo with a commit of each tree */
  repo: string
  commits: Record<Version, string>
  /** ext4 images of releases 1 to 3, as they are written to a slot */
  images: Partial<Record<Version, string>>
  /** disk images of devices that run a release through OSTree, with superblock set up on them */
  devices: Partial<Record<Version, string>>
  /** folder with FINGERPRINT.asc and FINGERPRINT.key, and with cert.pem, private.pem (traditional.pem is the same), and public.pem for the others */
  keys: string
  /** files in `to` that `from` has not, and their bytes */
  changes(from: Version, to: Version): Promise<{ files: string[]; bytes: number }>
}

const VERSIONS = ['0', '1', '2', '3'] as const

/** @param ways images and devices are made of what these need, and of nothing else */
export async function makeMaterials(size: Size, ways: readonly Way[]): Promise<Materials> {
  const trees = await makeTrees(size)
  const keys = await cached('keys', [code(makeKeys)], makeKeys)
  const repo = await cached(`repo-${size}`, Object.values(trees), async path => {
    for (const version of VERSIONS)
      await builder([
        ...['commit', trees[version], '--ref', REF, '--version', version, '--ostree-repo', path],
        ...['--timestamp', `${Date.UTC(2025, 0, 1) / 1000 + 86400 * Number(version)}`, '--allow-unbootable'],
      ])
  })
  const commits = {} as Record<Version, string>
  for (const [back, version] of [...VERSIONS].reverse().entries())
    commits[version] = (await run(['ostree', 'rev-parse', `--repo=${repo}`, REF + '^'.repeat(back)])).stdout.trim()

  const megabytes = Math.ceil(((await megabytesOf(trees[3])) * 1.25 + 64) / 64) * 64
  const image = (version: Version) =>
    cached(`image-${size}-${version}`, [code(makeExt4), trees[version], `${megabytes}`], path =>
      makeExt4(path, megabytes, trees[version]),
    )
  const device = (version: Version) =>
    cached(`device-${size}-${version}`, [code(makeDevice, makeExt4), repo, keys, `${megabytes}`], path =>
      makeDevice(path, 4 * megabytes, repo, commits[version], keys),
    )
  const [images, devices]: [Materials['images'], Materials['devices']] = [{}, {}]
  for (const version of VERSIONS) {
    // casync takes what it can from an image of what is on the device.
    const isImaged = version !== '0' && ways.some(way => way.from === version || way.to === version)
    if (isImaged) images[version] = await image(version)
    // The limits write to the device that has next to nothing.
    if (version === '0' || ways.some(way => way.from === version)) devices[version] = await device(version)
  }
  return {
    size,
    trees,
    repo,
    commits,
    keys,
    images,
    devices,
    async changes(from, to) {
      const list = await cached(
        `changes-${size}-${from}-${to}`,
        [code(changedFiles), trees[from], trees[to]],
        async path => writeFile(path, JSON.stringify(await changedFiles(trees[from], trees[to]))),
      )
      const files = JSON.parse(await readFile(list, 'utf8')) as string[]
      let bytes = 0
      for (const file of files) bytes += (await stat(join(trees[to], file))).size
      return { files, bytes }
    },
  }
}

async function makeKeys(folder: string): Promise<void> {
  await builder(['keygen', '--user-id', 'Acme Updates <updates@acme.example>', '--out', folder])
  const at = (name: string) => join(folder, name)
  await run([
    ...['openssl', 'req', '-x509', '-newkey', 'rsa:3072', '-nodes', '-days', '36500', '-subj', '/CN=Acme Updates'],
    ...[
      '-addext',
      'extendedKeyUsage=emailProtection,codeSigning',
      '-keyout',
      at('private.pem'),
      '-out',
      at('cert.pem'),
    ],
  ])
  const key = ['openssl', 'rsa', '-in', at('private.pem')]
  await run([...key, '-pubout', '-out', at('public.pem')])
  await run([...key, '-traditional', '-out', at('traditional.pem')])
}

/** The disk of a device: its own ext4 with an OSTree sysroot on it, and one deployment. */
async function makeDevice(image: string, megabytes: number, repo: string, commit: string, keys: string) {
  await makeExt4(image, megabytes)
  const disk = await attach(image)
  try {
    const sysroot = await scratch('sysroot')
    await disk.mount(sysroot)
    const script = `set -eu
      ostree admin init-fs --modern "$1"
      ostree config --repo="$1/ostree/repo" set sysroot.bootloader none
      ostree admin os-init --sysroot="$1" "$4"
      ostree pull-local --repo="$1/ostree/repo" "$2" "$3"
      ostree refs --repo="$1/ostree/repo" --create="$5" "$3"
      ostree admin deploy --sysroot="$1" --os="$4" --karg=root=LABEL=root --karg=rw "$5"`
    await run(['sh', '-c', script, 'sh', sysroot, repo, commit, OS, REF])
    await mkdir(join(sysroot, 'boot/grub'), { recursive: true })
    await writeFile(join(sysroot, 'boot/grub/grubenv'), '# GRUB Environment Block\n'.padEnd(1024, '#'))
    const etc = join(sysroot, `ostree/deploy/${OS}/deploy/${commit}.0/etc/superblock`)
    await mkdir(join(etc, 'keys'), { recursive: true })
    await writeFile(join(etc, 'superblock.toml'), `[device]\ncompatible = "${COMPATIBLE}"\n`)
    for (const name of await readdir(keys))
      if (name.endsWith('.asc')) await cp(join(keys, name), join(etc, 'keys', name))
  } finally {
    await disk.remove()
  }
}
