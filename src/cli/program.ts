/** The command line of `superblock`: its verbs, their help, and what becomes of a failure. Each verb is loaded when it is used. */
import { Command, CommanderError } from 'commander'
import { asFailure, type Failure } from '../base/failure.ts'
import { type Context, makeContext } from './context.ts'
import { EXIT, EXIT_HELP, statusOf } from './exit.ts'
import { complain, type Io, sayJson } from './io.ts'

/** A verb's work; the number is the exit status. */
type Verb<A extends unknown[]> = (context: Context, ...args: A) => Promise<number>

/** Runs one command line. @returns the exit status; never throws */
export async function runProgram(argv: readonly string[], version: string, io: Io): Promise<number> {
  let status: number = EXIT.ok
  const program = build(version, io, code => {
    status = code
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    return report(
      io,
      asFailure(error, `do ${argv.find(word => program.commands.some(command => command.name() === word)) ?? 'that'}`),
      argv.includes('--json'),
    )
  }
}

/** The sentence on standard error; with `--json` the code too, on standard output. */
function report(io: Io, failure: Failure, json: boolean): number {
  if (json) sayJson(io, { error: { code: failure.code, message: failure.message } })
  const told = failure.code === 'internal' || failure.code === 'usage' ? '' : ` (${failure.code})`
  complain(io, `${failure.message}${told}`)
  return statusOf(failure)
}

function build(version: string, io: Io, ended: (status: number) => void): Command {
  const program = new Command('superblock')
    .description('Updates this device from superblock packages on sticks, and takes it back again.')
    .version(version)
    .option('--socket <path>', "the service's control socket (default: the configuration's)")
    .option('--json', 'answer in JSON')
    .configureOutput({
      writeOut: text => io.stdout.write(text),
      writeErr: text => io.stderr.write(text),
      // It repeats what was typed. A suggestion of what was meant comes in a line of its own.
      outputError: text =>
        complain(
          io,
          text
            .trim()
            .replace(/^error: /, 'cannot do that: ')
            .replace(/\n(?=\(Did you mean )/, ' '),
        ),
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(superblock --help lists the commands)')
    .addHelpText(
      'after',
      `\n${EXIT_HELP}\n\nExamples:\n  superblock list\n  superblock install /media/stick/product-2.0.superblock`,
    )
    .exitOverride()

  const context = () => makeContext(io, program.opts<{ json?: boolean; socket?: string }>())
  /** Adds a verb whose file is loaded when it runs. */
  const verb = <A extends unknown[]>(
    usageText: string,
    does: string,
    more: string,
    load: () => Promise<Verb<A>>,
  ): Command =>
    program
      .command(usageText)
      .description(does)
      .addHelpText('after', `\n${more}`)
      .action(async (...args: unknown[]) => {
        const run = await load()
        ended(await run(context(), ...(args.slice(0, -1) as A)))
      })
  const example = (line: string, statuses: string) =>
    `Example:\n  ${line}\n\nExit status: ${statuses} (all: superblock --help)`

  verb(
    'status',
    'show the device, what runs on it and what is going on',
    example('superblock status', '0; 3 no service'),
    async () => (await import('./status.ts')).status,
  )
  verb(
    'list',
    'list every package found, with the reason for or against it',
    example('superblock list', '0; 3 no service'),
    async () => (await import('./list.ts')).list,
  )
  verb(
    'inspect <file>',
    'show what a package says about itself and who signed it; needs no service',
    example('superblock inspect product-2.0.superblock', '0 shown, trusted or not; 4 not a package'),
    async () => (await import('./inspect.ts')).inspect,
  ).option(...KEY)
  verb(
    'verify <file>',
    'read all of a package and check it against its signatures; needs no service',
    example('superblock verify --key release.asc product-2.0.superblock', '0 everything holds; 4 it does not'),
    async () => (await import('./verify.ts')).verify,
  ).option(...KEY)
  verb(
    'install <file-or-id>',
    'install a package: a file on this device, or the id of one that `list` shows',
    example(
      'superblock install 3fa9c2d17b60',
      '0 installed or waiting for the reboot; 4 refused; 5 failed; 7 busy; 130 Ctrl-C',
    ),
    async () => (await import('./install.ts')).install,
  )
    .option(
      '--allow-downgrade',
      'also a release older than the newest one installed; never one below the security floor',
    )
    .option(
      '--disown-newer',
      'likewise, and later releases are compared with this one: for a newer one that is dated wrong',
    )
    .option('--reason <text>', 'why, for the history')
    .option('--no-wait', 'return once the job has started')
  verb(
    'cancel',
    'cancel the running job where that is still possible',
    example('superblock cancel', '0; 7 too late or nothing to cancel'),
    async () => (await import('./cancel.ts')).cancel,
  )
  verb(
    'deployments',
    'list the releases on this device',
    example('superblock deployments', '0; 3 no service'),
    async () => (await import('./deployments.ts')).deployments,
  )
  verb(
    'rollback [index]',
    'return to an earlier release: the one a rollback returns to, or the given one of `deployments`',
    example('superblock rollback --reason "printer stopped working" --reboot', '0; 5 failed; 7 busy'),
    async () => (await import('./rollback.ts')).rollback,
  )
    .option('--reason <text>', 'why, for the history; asked for on a terminal')
    .option('--force', 'also when a hook of the running release refuses')
    .option('--reboot', 'reboot into it at once')
    .option('--yes', 'do not ask; needed where there is no terminal')
  verb(
    'pin <index>',
    'keep a release however many follow',
    example('superblock pin 1', '0; 1 no such release'),
    async () => (await import('./pin.ts')).pin,
  )
  verb(
    'unpin <index>',
    'let a kept release go when its time comes',
    example('superblock unpin 1', '0; 1 no such release'),
    async () => (await import('./pin.ts')).unpin,
  )
  verb(
    'remove <index>',
    'remove a release that is not needed, to make room',
    example('superblock remove 2', '0; 1 no such release; 7 busy, or it is needed'),
    async () => (await import('./remove.ts')).remove,
  ).option('--yes', 'do not ask; needed where there is no terminal')
  verb(
    'repair [file-or-id]',
    'read everything that is stored, and bring back what is damaged from a package, or all that are found',
    example('superblock repair', '0 all is sound; 6 something is still damaged; 7 busy'),
    async () => (await import('./repair.ts')).repair,
  )
  verb(
    'health',
    'show the last health check',
    example('superblock health', '0 good, checking or none yet; 6 bad'),
    async () => (await import('./health.ts')).health,
  ).option('--wait', 'wait for the verdict on this start: 0 only when it is good')
  verb(
    'history',
    'show what was done to this device',
    example('superblock history --verify', '0; 1 the chain is broken'),
    async () => (await import('./history.ts')).history,
  ).option('--verify', 'check that no line was changed or taken out')
  verb(
    'console',
    'open the full-screen console',
    example('superblock console', '0 left with q or Ctrl-C; 128 + n ended by signal n'),
    async () => (await import('./console.ts')).console,
  ).option('--kiosk', "the device's own console, on a terminal of its own: no key leaves it")
  verb(
    'doctor',
    'say what is wrong with this device and what to do about it',
    example('superblock doctor', '0 nothing; 3 no service; 6 something'),
    async () => (await import('./doctor.ts')).doctor,
  ).option('--deep', 'also read everything that is stored, which takes minutes')
  verb(
    'reboot',
    'reboot the device, into a newly installed release where there is one',
    example('superblock reboot', '0; 7 busy'),
    async () => (await import('./reboot.ts')).reboot,
  )
  return program
}

const KEY = [
  '--key <path>',
  "a key file, or a folder of them, in place of the device's keys (repeatable)",
  (path: string, before: string[] | undefined) => [...(before ?? []), path],
] as const
