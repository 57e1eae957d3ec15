// Makes the Debian package: dist-deb/superblock_VERSION_ARCHITECTURE.deb. The same sources give the same bytes.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { changelog } from './changelog.mjs'
import { bashCompletion, zshCompletion } from './completion.mjs'
import { configurationFile } from './configuration.mjs'
import { copyright } from './copyright.mjs'
import { manPage } from './man.mjs'

const LIB = 'usr/lib/superblock'
const PROGRAMS = ['superblockd', 'superblock', 'superblock-builder']
const HELPERS = ['flip', 'reader', 'prober', 'trial']
const MAINTAINER = 'The superblock authors <superblock@superblock.invalid>'

const stop = why => {
  process.stderr.write(`cannot make the Debian package: ${why}\n`)
  process.exit(1)
}
/** What a command says; its complaints are shown only when it fails. */
const out = (command, args, options) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options }).trim()

// usb-detection is compiled for one module ABI: that of Debian's own Node.
if (process.versions.modules !== '115') stop(`this is Node ${process.version}, and Debian 13 has Node 20: use that one`)
if (!existsSync('node_modules/usb-detection/build/Release/detection.node')) {
  // An optional dependency: npm passed over it when its compiler was missing.
  rmSync('node_modules/.superblock-lock', { force: true })
  execFileSync('sh', ['.ci/setup'], { stdio: 'inherit' })
  if (!existsSync('node_modules/usb-detection/build/Release/detection.node'))
    stop('usb-detection could not be compiled; see: npm rebuild usb-detection')
}

const { version: released } = JSON.parse(readFileSync('package.json', 'utf8'))
// What comes before a release sorts before it.
const version = released.replace('-', '~')
const architecture = out('dpkg', ['--print-architecture'])
const epoch = timeOfSources()
const root = mkdtempSync(join(tmpdir(), 'superblock-deb-'))
process.once('exit', () => rmSync(root, { recursive: true, force: true }))

/** Seconds since 1970: the same for the same sources (https://reproducible-builds.org/specs/source-date-epoch/). */
function timeOfSources() {
  if (process.env.SOURCE_DATE_EPOCH) return Number(process.env.SOURCE_DATE_EPOCH)
  try {
    return Number(out('git', ['log', '-1', '--format=%ct']))
  } catch {
    return stop('this is no git clone; set SOURCE_DATE_EPOCH to the time of the sources')
  }
}

const at = path => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  return join(root, path)
}
const write = (path, data, mode = 0o644) => {
  writeFileSync(at(path), data)
  chmodSync(join(root, path), mode)
}
const copy = (from, path, mode) => write(path, readFileSync(from), mode)
const compressed = text => gzipSync(text, { level: 9 })

/** The built files that the programs need, and the modules that are in those. */
function closure() {
  const { outputs } = JSON.parse(readFileSync('dist/meta.json', 'utf8'))
  const files = new Set([...PROGRAMS, ...HELPERS].map(name => `dist/${name}.js`))
  const modules = new Set()
  for (const file of files) {
    for (const { path, external } of outputs[file].imports) if (!external) files.add(path)
    for (const input of Object.keys(outputs[file].inputs)) {
      const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []
      if (folder) modules.add(folder)
    }
  }
  return { files: [...files], modules: [...modules] }
}

const { files, modules } = closure()
for (const file of files) {
  const name = file.replace('dist/', '')
  const isProgram = PROGRAMS.includes(name.replace('.js', ''))
  const text = readFileSync(file, 'utf8').replace(/^#!.*\n/, isProgram ? '#!/usr/bin/node\n' : '')
  write(join(LIB, name), text, isProgram ? 0o755 : 0o644)
}
for (const name of PROGRAMS) symlinkSync(`../lib/superblock/${name}.js`, at(`usr/bin/${name}`))
write(`${LIB}/package.json`, `${JSON.stringify({ name: 'superblock', version: released, type: 'module' })}\n`)

// Modules that stay modules: openpgp, which is LGPL, and those with native code, for this architecture alone.
const koffi = readdirSync('node_modules/@koromix').find(name => name.startsWith('koffi-linux-'))
const native = readdirSync(`node_modules/@koromix/${koffi}`).find(name => name.startsWith('linux_'))
const kept = {
  openpgp: ['package.json', 'dist/node/openpgp.mjs'],
  koffi: ['package.json', 'index.js', 'src/koffi/index.js', 'src/koffi/src/static.js'],
  [`@koromix/${koffi}`]: ['package.json', 'index.js', `${native}/koffi.node`],
  'usb-detection': ['package.json', 'index.js', 'build/Release/detection.node'],
  bindings: ['package.json', 'bindings.js'],
  eventemitter2: ['package.json', 'index.js', 'lib/eventemitter2.js'],
  'file-uri-to-path': ['package.json', 'index.js'],
}
for (const [module, parts] of Object.entries(kept))
  for (const part of parts) copy(join('node_modules', module, part), join(LIB, 'node_modules', module, part))
const binaries = [
  join(root, LIB, 'node_modules/usb-detection/build/Release/detection.node'),
  join(root, LIB, 'node_modules/@koromix', koffi, native, 'koffi.node'),
]
for (const binary of binaries) out('strip', ['--strip-unneeded', '--remove-section=.comment', binary])

copy('systemd/superblock-media', `${LIB}/superblock-media`, 0o755)
for (const name of readdirSync('systemd').filter(name => name.endsWith('.service')))
  copy(`systemd/${name}`, `usr/lib/systemd/system/${name}`)
// What superblock-builder puts into trees and images.
for (const name of readdirSync('boot', { recursive: true })) {
  const stat = lstatSync(`boot/${name}`)
  if (stat.isFile()) copy(`boot/${name}`, `${LIB}/boot/${name}`, stat.mode & 0o111 ? 0o755 : 0o644)
}
copy('systemd/superblock.sysusers', 'usr/lib/sysusers.d/superblock.conf')
copy('systemd/superblock.tmpfiles', 'usr/lib/tmpfiles.d/superblock.conf')
copy('udev/90-superblock.rules', 'usr/lib/udev/rules.d/90-superblock.rules')
// What the builder puts into trees and images.
for (const entry of readdirSync('boot', { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  if (entry.isFile()) copy(path, join(LIB, path), lstatSync(path).mode & 0o111 ? 0o755 : 0o644)
}
for (const folder of [`${LIB}/keys`, `${LIB}/health.d/required.d`, `${LIB}/health.d/wanted.d`, `${LIB}/superblock.d`])
  mkdirSync(at(`${folder}/.`), { recursive: true })

write(`${LIB}/superblock.toml`, configurationFile())
write('usr/share/doc/superblock/examples/superblock.toml', configurationFile())
write(
  'usr/share/doc/superblock/copyright',
  copyright([...modules, ...Object.keys(kept).map(name => `node_modules/${name}`)]),
)
const history = changelog({ version, epoch, maintainer: MAINTAINER })
write('usr/share/doc/superblock/changelog.gz', compressed(history))
for (const page of readdirSync('docs').filter(name => name.endsWith('.md')))
  copy(`docs/${page}`, `usr/share/doc/superblock/${page}`)
const date = new Date(epoch * 1000).toISOString().slice(0, 10)
for (const page of readdirSync('docs/man'))
  write(`usr/share/man/man${page.at(-1)}/${page}.gz`, compressed(manPage(page, { version: released, date })))
for (const name of ['superblock', 'superblock-builder']) {
  write(`usr/share/bash-completion/completions/${name}`, bashCompletion(name))
  write(`usr/share/zsh/vendor-completions/_${name}`, zshCompletion(name))
}
copy('.ci/deb/lintian-overrides', 'usr/share/lintian/overrides/superblock')

/** What the compiled parts link with, as Debian's packages: dpkg-shlibdeps wants to stand beside a debian/control. */
function libraries() {
  const work = mkdtempSync(join(tmpdir(), 'superblock-shlibs-'))
  try {
    mkdirSync(join(work, 'debian'))
    writeFileSync(join(work, 'debian/control'), 'Source: superblock\n\nPackage: superblock\nArchitecture: any\n')
    const found = out('dpkg-shlibdeps', ['-O', ...binaries.map(binary => `-e${binary}`)], { cwd: work })
    return found.replace(/^shlibs:Depends=/, '')
  } finally {
    rmSync(work, { recursive: true })
  }
}

const isFile = entry => entry.isFile() || entry.isSymbolicLink()
const entries = () =>
  readdirSync(root, { recursive: true, withFileTypes: true }).map(e => ({ e, path: join(e.parentPath, e.name) }))
const installed = entries().reduce(
  (sum, { e, path }) => sum + (isFile(e) ? Math.ceil(lstatSync(path).size / 1024) : 1),
  0,
)
write(
  'DEBIAN/control',
  `Package: superblock
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${installed}
Depends: ${libraries()}, mount, nodejs (>= 20.19), ostree (>= 2022.7), systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: default-dbus-system-bus | dbus-system-bus, systemd, udev
Suggests: gnupg, libubootenv-tool
Section: admin
Priority: optional
Description: offline updates from USB sticks for OSTree devices
 A service on the device finds signed packages on USB sticks and SD cards, says
 for each whether it fits and why, verifies and installs the chosen one
 atomically, checks after the reboot that the new release works, and goes back
 by itself if it does not. An operator can go back too, at any time.
 .
 This package holds the service superblockd, the command superblock with its
 full-screen console, and superblock-builder, which makes releases and signed
 packages on a build host.
`,
)
for (const name of ['postinst', 'prerm', 'postrm']) copy(`.ci/deb/${name}`, `DEBIAN/${name}`, 0o755)
const sums = entries()
  .filter(({ e, path }) => e.isFile() && !path.startsWith(join(root, 'DEBIAN')))
  .map(({ path }) => path.slice(root.length + 1))
  .sort()
write('DEBIAN/md5sums', `${out('md5sum', sums, { cwd: root })}\n`)

for (const { path, e } of entries()) {
  if (e.isDirectory()) chmodSync(path, 0o755)
  lutimesSync(path, epoch, epoch)
}
chmodSync(root, 0o755)
lutimesSync(root, epoch, epoch)
mkdirSync('dist-deb', { recursive: true })
const file = `dist-deb/superblock_${version}_${architecture}.deb`
out('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', root, file], {
  env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
})
process.stdout.write(`${file}\n`)
