/** Main file of the child process that reads one stick: see media/reader.ts. */
import { serve } from './media/reader.ts'

const [root, mode] = process.argv.slice(2)
if (root === undefined) {
  process.stderr.write('cannot start: this program is started by superblockd, with the mount folder of a stick\n')
  process.exit(2)
}
serve(root, mode === 'watch')
