/** `superblock reboot`: reboot through the service, which refuses while that would harm a job. */
import type { Context } from './context.ts'
import { say, sayJson } from './io.ts'

export async function reboot({ io, json, client }: Context): Promise<number> {
  await (await client()).reboot()
  if (json) sayJson(io, { rebooting: true })
  else say(io, 'Rebooting.')
  return 0
}
