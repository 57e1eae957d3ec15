/** `superblock status`: the device on one screen. */
import { safe } from '../base/text.ts'
import { jobLine } from '../console/line.ts'
import { english } from '../console/texts.ts'
import { when } from '../console/words.ts'
import type { Snapshot } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { type Io, say, sayJson, short, tint } from './io.ts'

export async function status({ io, json, client }: Context): Promise<number> {
  const snapshot = await (await client()).status()
  if (json) sayJson(io, snapshot)
  else for (const line of summary(io, snapshot)) say(io, line)
  return 0
}

/** The lines of the summary; what is absent is said, not left out. */
export function summary(io: Io, snapshot: Snapshot): string[] {
  const { device, deployments, offers, media, job, health, problems } = snapshot
  const named = (d: (typeof deployments)[number] | undefined) =>
    d ? `${tint(io, 'strong', safe(d.version || '(no version)'))}  ${short(d.commit)}, of ${when(d.timestamp)}` : '-'
  const pending = deployments.find(d => d.pending)
  const fitting = offers.filter(offer => offer.verdict.fits)
  const best = offers.find(offer => offer.preselected)
  const row = (name: string, value: string) => `${`${name}:`.padEnd(14)}${value}`
  const lines = [
    row(
      'Device',
      `${safe(device.name || device.compatible || '(unnamed)')}  ${safe(device.compatible)}, os ${safe(device.os)}`,
    ),
    row('Running', named(deployments.find(d => d.booted))),
    ...(pending ? [row('After reboot', named(pending))] : []),
    row('Rollback to', named(deployments.find(d => d.rollback))),
    row('Health', healthWords(io, health)),
    row(
      'Media',
      media.length === 0
        ? 'none'
        : media
            .map(
              m =>
                `${safe(m.name)} (${[m.filesystem, m.state, m.code ?? '']
                  .filter(Boolean)
                  .map(word => safe(word))
                  .join(', ')})`,
            )
            .join(', '),
    ),
    row(
      'Packages',
      `${offers.length} found, ${fitting.length} of them fit${best?.release ? `; newest: ${safe(best.release.version)}  ${short(best.id)}` : ''}`,
    ),
    row('Job', job ? jobLine(job, english) : 'none'),
    ...(job?.code ? [`${' '.repeat(14)}${safe(job.text, 400)}`] : []),
  ]
  for (const problem of problems)
    lines.push(
      '',
      tint(io, 'bad', `Problem: ${safe(problem.text, 400)} (${safe(problem.code)})`),
      `  ${safe(problem.next, 400)}`,
    )
  return lines
}

function healthWords(io: Io, health: Snapshot['health']): string {
  if (!health) return 'not checked yet'
  const kind = health.verdict === 'good' ? 'good' : health.verdict === 'bad' ? 'bad' : 'warn'
  return `${tint(io, kind, health.verdict)}, ${safe(health.version)}, ${when(health.at)}${health.current ? '' : ' (at an earlier start)'}`
}
