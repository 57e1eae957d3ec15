/** A release of any size for the sample product: contents that do not compress, and are the same every time. */
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/base/run.ts'
import { builder, SAMPLE, type Sample } from './sample.ts'

const CHUNK = 1024 * 1024

export interface Large {
  version: string
  /** so many files of so many bytes each */
  files: readonly { count: number; size: number }[]
}

/** Commit release 2.0's tree with these files added, and package it. @returns the package's path */
export async function makeLarge(sample: Sample, folder: string, { version, files }: Large): Promise<string> {
  const tree = join(folder, `tree-${version}`)
  await run(['cp', '-a', join(folder, 'tree-2.0'), tree])
  await writeFile(join(tree, 'usr/lib/os-release'), `ID=sample\nVERSION_ID=${version}\n`)
  for (const [at, { count, size }] of files.entries()) {
    const place = join(tree, 'usr/share/large', String(at))
    await mkdir(place, { recursive: true })
    for (let i = 0; i < count; i++) await writeNoise(join(place, `${i}.bin`), `${version} ${at} ${i}`, size)
  }
  // What does not compress needs no effort.
  await run(['ostree', 'config', `--repo=${sample.repo}`, 'set', 'archive.zlib-level', '1'])
  await builder(['commit', '--ostree-repo', sample.repo, '--ref', SAMPLE.ref, '--version', version, tree])
  await rm(tree, { recursive: true })
  const file = join(folder, `acme-gateway-${version}.superblock`)
  await builder([
    ...['package', '--ostree-repo', sample.repo, '--ref', SAMPLE.ref, '--os', SAMPLE.os],
    ...['--compatible', SAMPLE.compatible, '--sign-key', sample.secretKey, '--out', file],
  ])
  return file
}

export async function writeNoise(path: string, name: string, size: number): Promise<void> {
  const noise = createCipheriv(
    'aes-128-ctr',
    createHash('sha256').update(name).digest().subarray(0, 16),
    Buffer.alloc(16),
  )
  const zeros = Buffer.alloc(Math.min(CHUNK, size))
  const file = await open(path, 'wx')
  try {
    for (let left = size; left > 0; left -= CHUNK)
      await file.write(noise.update(zeros.subarray(0, Math.min(CHUNK, left))))
  } finally {
    await file.close()
  }
}
