/** Releases beyond the sample's two: made in moments by a change to 2.0, packaged and signed as its maker does it. */
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isThere } from '../../src/base/files.ts'
import { run } from '../../src/base/run.ts'
import { writeNoise } from '../kit/large.ts'
import { PROJECT } from '../kit/project.ts'
import { builder, SAMPLE } from '../kit/sample.ts'
import type { Sample } from './lab.ts'

export interface Change {
  version: string
  /** added to 2.0, or instead of what is there; what begins with #! is made executable */
  files?: Record<string, string>
  /** so many files of so many bytes that do not compress */
  ballast?: readonly { count: number; size: number }[]
  /** so many zeros at the end of its kernel and its initramfs, which makes them others and changes nothing */
  zeros?: number
  /** RFC 3339, of the commit; without it as many seconds after 2.0 as the number behind its dot */
  timestamp?: string
  compatible?: string
}

const FOLDER = join(PROJECT, '.cache/vm/releases')

/** @returns the package of 2.0 with this change, from an earlier run if it is the same */
export async function makePackage(sample: Sample, change: Change): Promise<string> {
  const { version, compatible = SAMPLE.compatible } = change
  const source = basename(dirname(sample.image))
  const repo = join(FOLDER, `${source}.repo`)
  await mkdir(FOLDER, { recursive: true })
  for (const name of await readdir(FOLDER))
    if (!name.startsWith(source)) await rm(join(FOLDER, name), { recursive: true, force: true })
  const digest = createHash('sha256').update(JSON.stringify(change)).digest('hex').slice(0, 16)
  const file = join(FOLDER, `${source}-${digest}.superblock`)
  if (await isThere(file)) return file

  if (!(await isThere(repo))) {
    await run(['ostree', 'init', `--repo=${repo}.unfinished`, '--mode=archive'])
    // What does not compress needs no effort.
    await run(['ostree', 'config', `--repo=${repo}.unfinished`, 'set', 'archive.zlib-level', '1'])
    await run(['ostree', 'pull-local', `--repo=${repo}.unfinished`, sample.repo, SAMPLE.ref])
    await rename(`${repo}.unfinished`, repo)
  }
  const work = `${file}.unfinished`
  await rm(work, { recursive: true, force: true })
  await layOut(join(work, 'tree'), change)
  if (change.zeros) await layOutBoot(repo, join(work, 'tree'), change.zeros)
  const argv = ['ostree', `--repo=${repo}`, 'commit', `--branch=lab/${digest}`, `--tree=ref=${SAMPLE.ref}`]
  await run([...argv, `--tree=dir=${join(work, 'tree')}`])
  // The device follows the product's ref, of which this one becomes the only commit in a repo of its own.
  const line = join(work, 'repo')
  await builder([
    ...['commit', '--ostree-repo', line, '--from-repo', repo, `lab/${digest}`, '--ref', SAMPLE.ref],
    ...['--version', version, '--timestamp', change.timestamp ?? (await after(repo, Number(version.split('.')[1])))],
  ])
  await builder([...(await packaging(sample, compatible)), '--ostree-repo', line, '--out', join(work, 'package')])
  await rename(join(work, 'package'), file)
  await rm(work, { recursive: true })
  return file
}

/** The package of the release that devices leave the factory with. */
export async function makeFactoryPackage(sample: Sample, file: string): Promise<void> {
  await builder([...(await packaging(sample)), '--ostree-repo', sample.repo, '--rev', `${SAMPLE.ref}^`, '--out', file])
}

/** As the maker does it for all devices of the product, or of another one. */
async function packaging({ keys }: Sample, compatible = SAMPLE.compatible): Promise<string[]> {
  const key = (await readdir(keys)).find(name => name.endsWith('.key')) ?? ''
  const product = ['--ref', SAMPLE.ref, '--os', SAMPLE.os, '--compatible', compatible]
  return ['package', ...product, '--sign-key', join(keys, key)]
}

/** After 2.0, so that it is newer however quickly it was made. */
async function after(repo: string, seconds: number): Promise<string> {
  const { stdout } = await run(['ostree', `--repo=${repo}`, 'show', SAMPLE.ref])
  const date = /^Date: +(.*)$/m.exec(stdout)?.[1] ?? ''
  return new Date(Date.parse(date) + seconds * 1000).toISOString().replace('.000Z', 'Z')
}

async function layOut(tree: string, { version, files = {}, ballast = [] }: Change): Promise<void> {
  const release = `NAME="Acme Gateway"\nVERSION_ID=${version}\nPRETTY_NAME="Acme Gateway ${version}"\nID=acme\n`
  for (const [path, text] of Object.entries({ 'usr/lib/os-release': release, ...files })) {
    const at = join(tree, path)
    await mkdir(dirname(at), { recursive: true })
    await writeFile(at, text)
    await chmod(at, text.startsWith('#!') ? 0o755 : 0o644)
  }
  for (const [at, { count, size }] of ballast.entries()) {
    const folder = join(tree, 'usr/share/acme/ballast', String(at))
    await mkdir(folder, { recursive: true })
    for (let i = 0; i < count; i++) await writeNoise(join(folder, String(i)), `${version} ${at} ${i}`, size)
  }
}

async function layOutBoot(repo: string, tree: string, zeros: number): Promise<void> {
  const modules = '/usr/lib/modules'
  const { stdout } = await run(['ostree', 'ls', '-R', `--repo=${repo}`, SAMPLE.ref, modules])
  for (const [, path = ''] of stdout.matchAll(/ (\/\S+\/(?:vmlinuz|initramfs\.img))$/gm)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    const script = 'ostree cat --repo="$1" "$2" "$3" >"$4" && head -c "$5" /dev/zero >>"$4"'
    await run(['sh', '-c', script, 'sh', repo, SAMPLE.ref, path, join(tree, path), String(zeros)])
  }
}
