/** `superblock cancel`: give up the running job where that can still be honoured. */
import type { Context } from './context.ts'
import { say, sayJson } from './io.ts'

export async function cancel({ io, json, client }: Context): Promise<number> {
  await (await client()).cancel()
  if (json) sayJson(io, { cancelled: true })
  else say(io, 'Cancelled. The device stays as it was.')
  return 0
}
