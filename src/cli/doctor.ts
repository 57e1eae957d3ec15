/** `superblock doctor`: what is wrong with this device and what to do about it; says something useful without the service too. */
import { asFailure } from '../base/failure.ts'
import { safe } from '../base/text.ts'
import type { Examination, Problem } from '../control/protocol.ts'
import { isUnreachable } from '../control/protocol.ts'
import { openEngine } from '../ostree/engine.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { say, sayJson, tint } from './io.ts'

/** Only commands that change the device would use it. */
const RUNTIME = '/run/superblock'

export async function doctor(context: Context, { deep = false }: { deep?: boolean }): Promise<number> {
  const checks: Examination[] = []
  const problems: Problem[] = []
  let status: number = EXIT.ok
  try {
    await context.config()
    checks.push({ name: 'configuration', ok: true, text: 'the configuration can be read' })
  } catch (error) {
    const text = asFailure(error, 'read the configuration').message
    checks.push({
      name: 'configuration',
      ok: false,
      text,
      next: 'correct the file, then `systemctl restart superblockd`',
    })
  }
  try {
    const service = await context.client()
    const { checks: found } = await service.doctor(deep)
    checks.push({ name: 'service', ok: true, text: 'the service answers' }, ...found)
    problems.push(...(await service.status()).problems)
  } catch (error) {
    const failure = asFailure(error, 'ask the service')
    if (failure.code !== 'config') {
      checks.push({ name: 'service', ok: false, text: failure.message, next: 'systemctl status superblockd' })
      if (isUnreachable(failure)) {
        status = EXIT.noService
        // What keeps the service from starting is looked for here.
        const { examineDevice, examineLastStart, examineStore } = await import('../update/doctor.ts')
        const [config, engine] = [await context.config(), openEngine(RUNTIME)]
        checks.push(await examineLastStart(RUNTIME), ...(await examineDevice(config, engine)))
        if (deep) checks.push(await examineStore(config, engine))
      }
    }
  }
  if (context.json) sayJson(context.io, { checks, problems })
  else show(context, checks, problems)
  if (status !== EXIT.ok) return status
  return problems.length > 0 || checks.some(check => !check.ok) ? EXIT.unhealthy : EXIT.ok
}

function show({ io }: Context, checks: Examination[], problems: Problem[]): void {
  for (const check of checks) {
    say(
      io,
      `${check.ok ? tint(io, 'good', 'ok  ') : tint(io, 'bad', 'FAIL')}  ${safe(check.name)}: ${safe(check.text, 600)}`,
    )
    if (!check.ok && check.next) say(io, `      next: ${safe(check.next, 600)}`)
  }
  for (const problem of problems) {
    say(io, `${tint(io, 'bad', 'FAIL')}  ${safe(problem.text, 600)} (${safe(problem.code)})`)
    say(io, `      next: ${safe(problem.next, 600)}`)
  }
}
