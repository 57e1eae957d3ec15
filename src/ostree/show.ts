/** What a commit says about itself, as `ostree show` prints it, and single files of it. */
import { rm } from 'node:fs/promises'
import { Failure } from '../base/failure.ts'
import { run } from '../base/run.ts'
import type { Engine } from './engine.ts'

export interface CommitInfo {
  commit: string
  /** RFC 3339, UTC */
  timestamp: string
  /** '' if it has none */
  version: string
}

const DATE = /^Date: {2}(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d) \+0000$/m

/**
 * @param text what `ostree show` printed on standard output
 * @throws Failure `ostree-output`
 */
export function parseShow(text: string): CommitInfo {
  // The subject and body follow after an empty line or "(no subject)" and may say anything.
  const head = text.split(/\n\n|\n\(no subject\)\n/, 1)[0] ?? ''
  const commit = /^commit ([0-9a-f]{64})$/m.exec(head)?.[1]
  const date = DATE.exec(head)
  if (commit === undefined || !date)
    throw new Failure(
      'ostree-output',
      `cannot read a commit: \`ostree show\` says ${JSON.stringify(head.slice(0, 300))}`,
    )
  return { commit, timestamp: `${date[1]}T${date[2]}Z`, version: /^Version: (.*)$/m.exec(head)?.[1] ?? '' }
}

/**
 * @param where an engine, or the folder of any repo
 * @param rev a ref or a commit's checksum
 * @throws Failure `command-failed` where there is no such commit, `ostree-output`
 */
export async function commitInfo(where: Engine | string, rev: string): Promise<CommitInfo> {
  const repo = typeof where === 'string' ? where : where.repo
  return parseShow((await run(['ostree', 'show', `--repo=${repo}`, '--', rev])).stdout)
}

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
