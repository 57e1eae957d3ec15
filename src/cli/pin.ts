/** `superblock pin` and `unpin`: whether a release is kept however many follow. */
import { safe } from '../base/text.ts'
import { type Context, parseIndex } from './context.ts'
import { say, sayJson } from './io.ts'

export const pin = (context: Context, index: string) => set(context, index, true)
export const unpin = (context: Context, index: string) => set(context, index, false)

async function set({ io, json, client }: Context, text: string, pinned: boolean): Promise<number> {
  const index = parseIndex(text)
  const service = await client()
  await (pinned ? service.pin(index) : service.unpin(index))
  if (json) sayJson(io, { index, pinned })
  else {
    const version = safe((await service.status()).deployments[index]?.version || 'without a version')
    say(io, `Deployment ${index}, release ${version}, is ${pinned ? 'kept until it is unpinned' : 'no longer pinned'}.`)
  }
  return 0
}
