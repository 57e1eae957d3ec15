/** The command `superblock`: arguments in, exit status out; everything else is in cli/. */
import { onWarning } from './base/warnings.ts'
import { runProgram } from './cli/program.ts'

// A reader that went away (`superblock list | head -1`) is no failure of ours.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0)
})

onWarning(text => process.stderr.write(`superblock: ${text}\n`))

const status = await runProgram(process.argv.slice(2), __VERSION__, {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
})
// A pipe takes 64 kB at a time: what is still on its way would be lost.
for (const stream of [process.stdout, process.stderr])
  await new Promise<void>(resolve => stream.write('', () => resolve()))
process.exit(status)
