/** `superblock repair`: read everything that is stored, and bring back what is damaged. */
import { safe } from '../base/text.ts'
import type { RepairRequest } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { conclude, follow } from './follow.ts'
import { named } from './install.ts'
import { say, sayJson } from './io.ts'

export async function repair({ io, json, client }: Context, what?: string): Promise<number> {
  const request: RepairRequest = what === undefined ? {} : await named(what, 'repair from')
  const service = await client()
  const job = await service.repair(request)
  const ended = await follow(io, service, job.id, json)
  if (!ended) return EXIT.detached
  if (json) sayJson(io, { job: ended })
  const status = conclude(io, ended)
  if (status === EXIT.ok && !json) say(io, safe(ended.text))
  return status === EXIT.refused ? EXIT.unhealthy : status
}
