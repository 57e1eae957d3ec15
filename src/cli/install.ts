/** `superblock install`: start an install and watch it. */
import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { bytesOf, nameOf } from '../base/names.ts'
import { safe } from '../base/text.ts'
import type { Client } from '../control/client.ts'
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
  if (options.disownNewer && !options.reason?.trim())
    throw usage('cannot disown a newer release without a reason: give --reason TEXT for the history')
  const request: InstallRequest = await named(what, 'install')
  const service = await client()
  if (request.id !== undefined) Object.assign(request, await shown(service, request.id))
  if (options.allowDowngrade || options.disownNewer) request.allowDowngrade = true
  if (options.disownNewer) request.disownNewer = true
  if (options.reason?.trim()) request.reason = options.reason.trim()
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
async function withoutLinks(path: string): Promise<string> {
  const folder = await realpath(bytesOf(dirname(path)), { encoding: 'buffer' }).then(nameOf, () => dirname(path))
  return join(folder, basename(path))
}

/** The file that `list` shows for an id: it is that one which is meant. The service says what is wrong with any other id. */
async function shown(service: Client, id: string): Promise<InstallRequest> {
  const named = (await service.status()).offers.filter(offer => offer.id.startsWith(id))
  const chosen = named.find(({ preferred }) => preferred)
  return chosen && named.every(offer => offer.id === chosen.id) ? { id: chosen.id, path: chosen.path } : {}
}

/**
 * A path where there is such a file, else an id.
 * @param doing as it goes on after "cannot"
 * @throws Failure `usage`, `not-found`
 */
export async function named(what: string, doing: string): Promise<{ path: string } | { id: string }> {
  const path = await withoutLinks(resolve(what))
  const found = await stat(bytesOf(path)).catch(() => undefined)
  if (found?.isDirectory()) throw usage(`cannot ${doing} ${what}: it is a folder; name the .superblock file in it`)
  if (found) return { path }
  if (/^[0-9a-f]{8,64}$/i.test(what)) return { id: what.toLowerCase() }
  if (what.includes('/') || what.includes('.'))
    throw new Failure('not-found', `cannot ${doing} ${what}: there is no such file`)
  throw usage(`cannot ${doing} ${what}: give a file, or at least 8 characters of an id that \`superblock list\` shows`)
}
