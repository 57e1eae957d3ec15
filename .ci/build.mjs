// Bundles the programs into dist/: one file each, so that they start fast and install without node_modules for most things.
import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { build } from 'esbuild'

const { version, dependencies, optionalDependencies } = JSON.parse(await readFile('package.json', 'utf8'))
// openpgp is LGPL and stays a module of its own; the others are native.
const external = ['openpgp', 'koffi', 'usb-detection']
for (const name of external)
  if (!dependencies[name] && !optionalDependencies[name]) throw new Error(`cannot build: ${name} is not a dependency`)

await rm('dist', { recursive: true, force: true })
const { metafile } = await build({
  entryPoints: {
    superblockd: 'src/superblockd.ts',
    superblock: 'src/superblock.ts',
    'superblock-builder': 'src/builder.ts',
    flip: 'src/ostree/flip.ts',
    reader: 'src/reader.ts',
    prober: 'src/prober.ts',
    trial: 'src/trial.ts',
    demo: 'test/kit/demo.ts',
    bench: 'bench/main.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  external,
  alias: { 'react-devtools-core': './.ci/empty.mjs' },
  banner: {
    js: [
      '#!/usr/bin/env node',
      "import { createRequire as __createRequire } from 'node:module';",
      'const require = __createRequire(import.meta.url);',
    ].join('\n'),
  },
  define: { __VERSION__: JSON.stringify(version), 'process.env.NODE_ENV': '"production"' },
  logLevel: 'warning',
  metafile: true,
})
// What is in each file, for the licences in the Debian package.
await writeFile('dist/meta.json', JSON.stringify(metafile))
for (const name of ['superblockd', 'superblock', 'superblock-builder']) await chmod(`dist/${name}.js`, 0o755)
