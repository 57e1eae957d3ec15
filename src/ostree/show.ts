/** Single files and folders of a commit, out of the repo. */
import { rm } from 'node:fs/promises'
import { Failure } from '../base/failure.ts'
import { run } from '../base/run.ts'
import type { Engine } from './engine.ts'

/** A text in a commit; '' where there is no such file. @param path absolute */
export async function readFromCommit(where: Engine | string, rev: string, path: string): Promise<string> {
  const repo = typeof where === 'string' ? where : where.repo
  return (await run(['ostree', 'cat', `--repo=${repo}`, rev, path], { accept: [1] })).stdout
}

/**
 * Copy a folder of a commit out of the repo, for programs in it to be run.
 * @param to is made anew
 * @returns whether the commit has such a folder
 */
export async function takeFromCommit({ repo }: Engine, commit: string, path: string, to: string): Promise<boolean> {
  await rm(to, { recursive: true, force: true })
  const { status, stderr } = await run(['ostree', 'ls', `--repo=${repo}`, commit, path], { accept: [1] })
  if (/No such file or directory/.test(stderr)) return false
  if (status !== 0) throw new Failure('command-failed', `cannot look for ${path} in ${commit}: ${stderr.trim()}`)
  await run(['ostree', 'checkout', `--repo=${repo}`, '--force-copy', `--subpath=${path}`, commit, to])
  return true
}
