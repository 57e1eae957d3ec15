/** `superblock health`: the last health check and what each check said. */
import { safe } from '../base/text.ts'
import { when } from '../console/words.ts'
import type { HealthInfo } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { type Io, paragraph, say, sayJson, tint } from './io.ts'

export async function health({ io, json, client }: Context): Promise<number> {
  const { health } = await (await client()).status()
  if (json) sayJson(io, { health })
  else if (health) for (const line of lines(io, health)) say(io, line)
  else say(io, 'No health check has run yet.')
  return health?.verdict === 'bad' ? EXIT.unhealthy : EXIT.ok
}

function lines(io: Io, health: HealthInfo): string[] {
  const word = { good: 'good', bad: 'bad', checking: 'being checked' }[health.verdict] ?? health.verdict
  const kind = health.verdict === 'good' ? 'good' : health.verdict === 'bad' ? 'bad' : 'warn'
  const out = [`Health of ${safe(health.version)}: ${tint(io, kind, safe(word))} (${when(health.at)})`]
  for (const check of health.checks) {
    out.push(`  ${check.ok ? 'ok  ' : 'FAIL'}  ${safe(check.name)}  ${check.seconds.toFixed(1)} s`)
    if (!check.ok && check.output) out.push(...paragraph(check.output, '        '))
  }
  return out
}
