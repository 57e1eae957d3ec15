/** `superblock deployments`: the releases on this device. */

import { when } from '../console/words.ts'
import type { DeploymentInfo } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { say, sayJson, table } from './io.ts'

export async function deployments({ io, json, client }: Context): Promise<number> {
  const { deployments } = await (await client()).status()
  if (json) sayJson(io, { deployments })
  else if (deployments.length === 0) say(io, 'No deployments: this device does not run on OSTree.')
  else for (const line of table(HEADER, deployments.map(row))) say(io, line)
  return 0
}

const HEADER = ['INDEX', 'VERSION', 'STATE', 'COMMIT', 'INSTALLED', 'LAST GOOD', 'LEFT BECAUSE']

const row = (d: DeploymentInfo): string[] => [
  String(d.index),
  d.version || '-',
  deploymentWords(d) || '-',
  d.commit.slice(0, 12),
  when(d.installedAt),
  when(d.lastGood),
  d.leftBecause ?? '',
]

/** `running, kept`: what a deployment is at the moment. */
function deploymentWords(d: DeploymentInfo): string {
  const words = [d.booted && 'running', d.pending && 'after reboot', d.rollback && 'rollback', d.pinned && 'pinned']
  return words.filter(word => word !== false).join(', ')
}
