/** Health checks and hooks of a release: whether its devices can execute them, which no other step looks at. */
import { join } from 'node:path'
import { safe } from '../../base/text.ts'
import type { Config } from '../../config.ts'
import type { Work } from '../work.ts'
import { elfInterpreter } from './check.ts'
import type { Found, View } from './view.ts'

/** Folder → whether a release cannot do without what is in it: docs/integration.md, "Health checks" and "Migration hooks". */
const CHECKS: Record<string, boolean> = { 'required.d': true, 'wanted.d': false }
const HOOKS: Record<string, boolean> = { 'pre-deploy.d': true, 'post-boot.d': true, 'pre-rollback.d': true }

/** Of a program's start: the kernel reads 256 bytes of a script (BINPRM_BUF_SIZE), and an ELF header is within the first page. */
const START = 4096
/** Where env(1) looks under systemd. */
const PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Say which of them cannot be executed, or are never run. */
export async function sayPrograms(
  view: View,
  { health, hooks }: Pick<Config, 'health' | 'hooks'>,
  work: Work,
): Promise<void> {
  const deciding: string[] = []
  const others: string[] = []
  // A tree for tests has no interpreters at all; a whole system that lacks one has it nowhere.
  const whole = (await view.find('/usr/lib/systemd/systemd')) !== undefined
  const noShell = (await view.find(SHELL)) === undefined
  for (const [folder, kinds, what] of [
    ...health.checks.map(one => [one, CHECKS, 'health checks'] as const),
    [hooks.folder, HOOKS, 'hooks'] as const,
  ])
    for (const name of await view.list(folder)) {
      const path = join(folder, name)
      const needed = kinds[name]
      if (needed === undefined)
        others.push(`${safe(path)} is run by nobody: ${what} are in ${Object.keys(kinds).join(', ')}`)
      else
        for (const program of await view.list(path)) {
          const at = join(path, program)
          const { never, lacks, perhaps } = await trouble(view, at)
          if (never !== undefined) (needed ? deciding : others).push(`${safe(at)} ${never}`)
          if (lacks !== undefined && !(noShell && /\/bin\/sh\b/.test(lacks)))
            (needed && whole ? deciding : others).push(`${safe(at)} ${lacks}`)
          if (perhaps !== undefined) others.push(`${safe(at)} ${perhaps}`)
        }
    }
  for (const one of deciding) work.note(`WARNING: no device will keep this release: ${one}`)
  for (const one of others) work.note(`WARNING: ${one}`)
}

const SHELL = '/bin/sh'

/** What is wrong with a program: it can run nowhere, it can where the release has more, or not as it was meant. */
interface Trouble {
  never?: string
  lacks?: string
  perhaps?: string
}

async function trouble(view: View, path: string): Promise<Trouble> {
  const found = await view.find(path)
  if (found === 'elsewhere') return {}
  if (found?.kind !== 'file' || (found.mode & 0o111) === 0) return { perhaps: 'is not executable, so it is not run' }
  const start = await found.read(START)
  const loader = elfInterpreter(start)
  if (loader) return missing(await view.find(loader), `needs ${safe(loader)}`)
  if (start.toString('latin1', 0, 4) === '\x7fELF') return {}
  const text = start.toString('latin1')
  if (/^(\xef\xbb\xbf|\xff\xfe|\xfe\xff)/.test(text))
    return { perhaps: 'begins with a byte order mark, so that its first line is not read; save it without' }
  if (!text.startsWith('#!')) return { perhaps: 'has no #! line, so that it is left to chance what runs it' }
  const line = text.slice(2, text.includes('\n') ? text.indexOf('\n') : undefined)
  if (line.endsWith('\r'))
    return { never: 'has lines that end as on Windows (CRLF), so that its interpreter is not found' }
  const [interpreter = '', ...given] = line.trim().split(/[ \t]+/)
  const direct = missing(await view.find(interpreter), `is run by ${safe(interpreter)}`)
  if (direct.lacks !== undefined || !/\/env$/.test(interpreter)) return direct
  // env -S NAME=VALUE program
  const program = given.find(word => !word.startsWith('-') && !word.includes('='))
  if (program === undefined || program.includes('/')) return {}
  for (const folder of PATH) {
    const one = await view.find(join(folder, program))
    if (one !== 'elsewhere' && one?.kind === 'file') return {}
  }
  return { lacks: `is run by ${safe(program)}, which is not in this release` }
}

function missing(found: Found | 'elsewhere' | undefined, what: string): Trouble {
  if (found === 'elsewhere') return {}
  if (found?.kind !== 'file') return { lacks: `${what}, which is not in this release` }
  return (found.mode & 0o111) === 0 ? { lacks: `${what}, which is not executable` } : {}
}
