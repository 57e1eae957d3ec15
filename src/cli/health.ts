/** `superblock health`: the last health check and what each check said; with `--wait`, that of this start. */
import { setTimeout as sleep } from 'node:timers/promises'
import { safe } from '../base/text.ts'
import { when } from '../console/words.ts'
import type { Client } from '../control/client.ts'
import type { HealthInfo } from '../control/protocol.ts'
import { isUnreachable } from '../control/protocol.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { type Io, paragraph, say, sayJson, tint } from './io.ts'

/** Milliseconds until a service that is not there yet is looked for again. */
const AGAIN = 500

export async function health({ io, json, client }: Context, options: { wait?: boolean }): Promise<number> {
  const service = await client()
  const health = options.wait ? await verdict(service, io) : (await service.status()).health
  if (json) sayJson(io, { health })
  else if (health) for (const line of lines(io, health)) say(io, line)
  else say(io, 'No health check has run yet.')
  return health?.verdict === 'bad' ? EXIT.unhealthy : EXIT.ok
}

/** That of this start, however long it takes to come and however often the service goes away. */
async function verdict(service: Client, io: Io): Promise<HealthInfo> {
  let isTold = false
  for (;;) {
    try {
      for await (const { health } of service.events(new AbortController().signal))
        if (health?.current && health.verdict !== 'checking') return health
    } catch (error) {
      if (!isUnreachable(error)) throw error
      if (!isTold)
        io.stderr.write(
          'superblock: waiting for the service, which does not answer; see `systemctl status superblockd`\n',
        )
      isTold = true
    }
    await sleep(AGAIN)
  }
}

function lines(io: Io, health: HealthInfo): string[] {
  const word = { good: 'good', bad: 'bad', checking: 'being checked' }[health.verdict] ?? health.verdict
  const kind = health.verdict === 'good' ? 'good' : health.verdict === 'bad' ? 'bad' : 'warn'
  const out = [
    `Health of ${safe(health.version)}: ${tint(io, kind, safe(word))} (${when(health.at)}${health.current ? '' : ', at an earlier start'})`,
  ]
  for (const check of health.checks) {
    const word = check.ok ? 'ok  ' : check.required ? 'FAIL' : 'warn'
    out.push(`  ${word}  ${safe(check.name)}  ${check.seconds.toFixed(1)} s`)
    if (!check.ok && check.output) out.push(...paragraph(check.output, '        '))
  }
  return out
}
