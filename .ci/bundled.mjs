// Runs a program of test/ with its arguments, bundled, since Node 20 does not run TypeScript itself:
//   node .ci/bundled.mjs test/kit/pictures.ts
import { mkdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { build } from 'esbuild'

const [, , source = ''] = process.argv
// Beside the programs, so that modules are found; never committed.
const outfile = join('dist', `${basename(source, '.ts')}.${process.pid}.js`)
await mkdir('dist', { recursive: true })
await build({
  entryPoints: [source],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  external: ['@lydell/node-pty', 'openpgp', 'koffi'],
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  logLevel: 'warning',
})
try {
  await import(join(process.cwd(), outfile))
} finally {
  await rm(outfile)
}
