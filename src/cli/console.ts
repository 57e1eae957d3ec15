/** `superblock console`: the only way to the console's code, which is too large to load for anything else. */
import type { Context } from './context.ts'
import { canAsk } from './io.ts'

export async function console({ io, socket }: Context, options: { kiosk?: boolean }): Promise<number> {
  const path = await socket()
  if (!canAsk(io)) return (await import('../console/plain.ts')).plain(path, io)
  return (await import('../console/main.tsx')).main(path, { kiosk: options.kiosk === true })
}
