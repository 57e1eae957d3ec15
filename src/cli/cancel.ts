/** `superblock cancel`: give up the running job where that can still be honoured, and wait until what it did is taken back. */
import { safe } from '../base/text.ts'
import { texts } from '../console/texts.ts'
import { jobWords } from '../console/words.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { follow } from './follow.ts'
import { say, sayJson } from './io.ts'

export async function cancel({ io, json, client }: Context): Promise<number> {
  const service = await client()
  const { job } = await service.status()
  await service.cancel()
  const ended = job ? await follow(io, service, job.id, true) : undefined
  if (!ended) return EXIT.detached
  const isCancelled = ended.state === 'cancelled'
  if (json) sayJson(io, { cancelled: isCancelled, job: ended })
  else say(io, safe(jobWords(ended, texts(io.env)), 400))
  return isCancelled ? EXIT.ok : EXIT.failed
}
