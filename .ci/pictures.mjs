// Bundles test/kit/pictures.ts and runs it: Node 20 does not run TypeScript itself.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

// Beside the sources, so that modules are found; never committed.
const outfile = 'dist/pictures.js'
await mkdir('dist', { recursive: true })
await build({
  entryPoints: ['test/kit/pictures.ts'],
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
