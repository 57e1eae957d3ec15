/** `superblock history`: what was done to this device, and whether the record still holds together. */
import { safe } from '../base/text.ts'
import { when } from '../console/words.ts'
import type { HistoryEntry } from '../control/protocol.ts'
import type { Chain } from '../update/history.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { complain, say, sayJson } from './io.ts'

export async function history({ io, json, client }: Context, options: { verify?: boolean }): Promise<number> {
  const service = await client()
  if (!options.verify) {
    const { entries } = await service.history()
    if (json) sayJson(io, { entries })
    else if (entries.length === 0) say(io, 'Nothing has been done to this device yet.')
    else for (const entry of entries) say(io, line(entry))
    return EXIT.ok
  }
  const { entries, chain } = await service.history(true)
  if (json) sayJson(io, { entries, chain })
  else {
    for (const entry of entries) say(io, line(entry))
    if (chain.ok) say(io, `The history is whole: ${chain.lines} lines, each following from the one before.`)
  }
  if (!chain.ok) complain(io, broken(chain))
  return chain.ok ? EXIT.ok : EXIT.failed
}

const broken = (chain: Chain) =>
  `cannot trust the history: line ${chain.brokenAt ?? '?'} of ${chain.lines} does not follow from the one before; keep the file and report it (history-broken)`

function line({ at, event, prev: _, ...rest }: HistoryEntry): string {
  const details = Object.entries(rest)
    // What is inside of others is for programs: --json.
    .filter(([, value]) => value !== null && value !== '' && ['string', 'number', 'boolean'].includes(typeof value))
    .map(([key, value]) => `${safe(key)}=${safe(String(value))}`)
  return [when(at), safe(event), ...details].join('  ')
}
