/** `superblock rollback`: return to an earlier release, with the reason on record. */
import { Failure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import { when } from '../console/words.ts'
import type { DeploymentInfo, Snapshot } from '../control/protocol.ts'
import { type Context, parseIndex } from './context.ts'
import { EXIT, usage } from './exit.ts'
import { conclude, follow } from './follow.ts'
import { ask, canAsk, say, sayJson } from './io.ts'

export async function rollback(
  { io, json, client }: Context,
  index: string | undefined,
  options: { reason?: string; force?: boolean; reboot?: boolean; yes?: boolean },
): Promise<number> {
  const wanted = index === undefined ? undefined : parseIndex(index)
  const asking = canAsk(io) && !json
  if (!asking && !options.yes) throw usage('cannot ask without a terminal: give --yes to roll back')
  if (!asking && !options.reason?.trim())
    throw usage('cannot ask without a terminal: give --reason TEXT for the history')
  const service = await client()
  const snapshot = await service.status()
  const target = choose(snapshot, wanted)
  if (!json) for (const line of consequences(snapshot, target)) say(io, line)

  const reason = options.reason?.trim() || (await ask(io, 'Reason, for the history: '))
  if (!reason) throw usage('cannot roll back without a reason: it is what the next person needs to know')
  if (!options.yes && !/^y(es)?$/i.test(await ask(io, 'Roll back? [y/N] '))) {
    say(io, 'Nothing was changed.')
    return EXIT.failed
  }
  const job = await service.rollback({ index: target.index, reason, ...(options.force ? { force: true } : {}) })
  const ended = await follow(io, service, job.id, json)
  if (!ended) return EXIT.detached
  const status = conclude(io, ended)
  if (status === EXIT.ok && options.reboot) await service.reboot()
  if (json) sayJson(io, { job: ended, rebooting: status === EXIT.ok && options.reboot === true })
  else if (status === EXIT.ok)
    say(io, options.reboot ? 'Rebooting.' : 'It starts at the next reboot: superblock reboot')
  return status
}

/** @throws Failure `not-found`, `already-booted` */
function choose({ deployments }: Snapshot, index: number | undefined): DeploymentInfo {
  const target = deployments.find(d => (index === undefined ? d.rollback : d.index === index))
  if (!target) throw new Failure('not-found', `${why(deployments, index)}; see \`superblock deployments\``)
  if (target.booted && !deployments.some(d => d.pending))
    throw new Failure(
      'already-booted',
      `cannot roll back to ${target.index}: it is what runs now; see \`superblock deployments\``,
    )
  return target
}

function why(deployments: readonly DeploymentInfo[], index: number | undefined): string {
  if (index !== undefined) return `cannot roll back to ${index}: there is no such release`
  if (!deployments.some(d => !d.booted)) return 'cannot roll back: there is no earlier release on this device'
  return 'cannot roll back: none of the other releases here was found good, so one has to be named by its index'
}

function consequences({ deployments }: Snapshot, to: DeploymentInfo): string[] {
  const from = deployments.find(d => d.booted)
  return [
    `From ${safe(from?.version ?? 'what runs now')} to ${safe(to.version)} (${safe(to.commit.slice(0, 12))}, last good ${when(to.lastGood)}).`,
    'It comes back with the settings it had when it was left; data stays; nothing is deleted.',
    ...(to.leftBecause ? [`It was left because: ${safe(to.leftBecause, 400)}`] : []),
  ]
}
