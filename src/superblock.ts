/** The command `superblock`: arguments in, exit status out; everything else is in cli/. */
import { argumentsAsGiven } from './base/names.ts'
import { safe } from './base/text.ts'
import { onWarning } from './base/warnings.ts'

// A reader that went away (`superblock list | head -1`) is no failure of ours.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0)
})

onWarning(text => process.stderr.write(`superblock: ${safe(text, 2000)}\n`))

const status = await answer(argumentsAsGiven())
// A pipe takes 64 kB at a time: what is still on its way would be lost.
for (const stream of [process.stdout, process.stderr])
  await new Promise<void>(resolve => stream.write('', () => resolve()))
process.exit(status)

async function answer(argv: readonly string[]): Promise<number> {
  // Scripts ask for it, and nothing else has to be loaded for it.
  if (argv.length === 1 && argv[0] === '--version') {
    process.stdout.write(`${__VERSION__}\n`)
    return 0
  }
  const { runProgram } = await import('./cli/program.ts')
  const { stdin, stdout, stderr, env } = process
  return runProgram(argv, __VERSION__, { stdin, stdout, stderr, env })
}
