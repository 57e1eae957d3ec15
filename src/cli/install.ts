/** `superblock install`: start an install and watch it. */
import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import type { InstallRequest } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { EXIT, usage } from './exit.ts'
import { conclude, follow } from './follow.ts'
import { say, sayJson } from './io.ts'

export async function install(
  { io, json, client }: Context,
  what: string,
  options: { allowDowngrade?: boolean; disownNewer?: boolean; reason?: string; wait: boolean },
): Promise<number> {
  const request: InstallRequest = await named(what, 'install')
  if (options.disownNewer && !options.reason?.trim())
    throw usage('cannot disown a newer release without a reason: give --reason TEXT for the history')
  if (options.allowDowngrade || options.disownNewer) request.allowDowngrade = true
  if (options.disownNewer) request.disownNewer = true
  if (options.reason?.trim()) request.reason = options.reason.trim()
  const service = await client()
  const job = await service.install(request)
  if (!options.wait) {
    if (json) sayJson(io, { job })
    else say(io, `Started. See \`superblock status\`; job ${safe(job.id)}.`)
    return EXIT.ok
  }
  const ended = await follow(io, service, job.id, json)
  if (!ended) return EXIT.detached
  if (json) sayJson(io, { job: ended })
  return conclude(io, ended)
}

/** Folders may be links, as /home and /root are on these systems; the file itself may not, and the service sees to that. */
const withoutLinks = async (path: string) =>
  join(await realpath(dirname(path)).catch(() => dirname(path)), basename(path))

/**
 * A path where there is such a file, else an id.
 * @param doing as it goes on after "cannot"
 * @throws Failure `usage`, `not-found`
 */
export async function named(what: string, doing: string): Promise<{ path: string } | { id: string }> {
  const path = await withoutLinks(resolve(what))
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) throw usage(`cannot ${doing} ${what}: it is a folder; name the .superblock file in it`)
  if (found) return { path }
  if (/^[0-9a-f]{8,64}$/i.test(what)) return { id: what.toLowerCase() }
  if (what.includes('/') || what.includes('.'))
    throw new Failure('not-found', `cannot ${doing} ${what}: there is no such file`)
  throw usage(`cannot ${doing} ${what}: give a file, or at least 8 characters of an id that \`superblock list\` shows`)
}
