/** `superblock remove`: make room by taking away a release that is not needed. */
import { safe } from '../base/text.ts'
import { type Context, parseIndex } from './context.ts'
import { EXIT, usage } from './exit.ts'
import { ask, canAsk, say, sayJson } from './io.ts'

export async function remove({ io, json, client }: Context, text: string, options: { yes?: boolean }): Promise<number> {
  const index = parseIndex(text)
  const asking = canAsk(io) && !json
  if (!asking && !options.yes) throw usage('cannot ask without a terminal: give --yes to remove a release')
  const service = await client()
  const version = safe((await service.status()).deployments[index]?.version || 'without a version')
  if (
    !options.yes &&
    !/^y(es)?$/i.test(await ask(io, `Remove version ${version}? It can be installed again. [y/N] `))
  ) {
    say(io, 'Nothing was changed.')
    return EXIT.failed
  }
  await service.remove(index)
  if (json) sayJson(io, { index, removed: true })
  else say(io, `Version ${version} was removed.`)
  return EXIT.ok
}
