/** `superblock-builder`, the tool of the build host: argv in, one result out, exit status 0 (done), 1 (failed) or 2 (usage). */
import { Command, CommanderError, Option } from 'commander'
import { asFailure, Failure } from './base/failure.ts'
import { onWarning } from './base/warnings.ts'
import { epochOfBuild, seconds, several, whole } from './builder/arguments.ts'
import { addImageCommands } from './builder/commands.ts'
import { type CommitOptions, commit, commitText } from './builder/commit.ts'
import { type KeygenOptions, keygen, keygenText } from './builder/keygen.ts'
import { makePackage, type PackageOptions, packageText } from './builder/package.ts'
import { showProgress } from './builder/progress.ts'
import { type SignOptions, sign, signText } from './builder/sign.ts'
import { type StickOptions, stick, stickText } from './builder/stick.ts'
import type { Work } from './builder/work.ts'

const program = new Command('superblock-builder')
const interruption = new AbortController()
const work: Work = {
  signal: interruption.signal,
  progress: (label, task) => showProgress(process.stderr, label, task),
  note: text => process.stderr.write(`${text}\n`),
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    if (interruption.signal.aborted) process.exit(130) // asked twice: at once
    interruption.abort()
  })

onWarning(text => work.note(text))

/** Print a command's result, for people or for programs. */
async function show<T extends object>(result: Promise<T>, json: boolean | undefined, text: (result: T) => string) {
  const value = await result
  process.stdout.write(`${json ? JSON.stringify(value) : text(value)}\n`)
}

const usage = (why: string) => new Failure('usage', `cannot tell what to do: ${why}`)

/** The options that name keys: the same for `package` and `sign`. */
const withKeys = (command: Command) =>
  command
    .option('--sign-key <file>', 'secret key made by keygen; may be repeated', several)
    .option('--passphrase-file <file>', 'its passphrase: one for each --sign-key in order, or one for all', several)
    .option('--gpg-sign <key-id>', 'sign with gpg, smartcards included; may be repeated', several)
    .option('--gpg-homedir <folder>', "gpg's home, where it is not the usual one")

program
  .description('Make signing keys, releases and signed update packages for devices that run superblock.')
  .version(__VERSION__)
  .exitOverride()
  .enablePositionalOptions() // so that --version after `commit` is that of the release
  .addHelpText(
    'after',
    `
Examples:
  superblock-builder keygen --user-id "Acme Updates <updates@acme.example>" --out keys
  superblock-builder commit sysroot --ref acme/gateway --version 2.0
  superblock-builder package --ref acme/gateway --os acme --compatible acme-gateway --sign-key keys/FINGERPRINT.key

Exit status: 0 done, 1 failed (the reason is on standard error), 2 the command line is wrong.`,
  )

program
  .command('keygen')
  .description('Make a signing key: FINGERPRINT.asc for devices, FINGERPRINT.key to sign with.')
  .requiredOption('--user-id <name>', 'whose key it is, as "Name <address>"')
  .requiredOption('--out <folder>', 'where the two files go')
  .option('--passphrase-file <file>', 'protect the secret key with the first line of this file')
  .option('--json', 'print the result as JSON')
  .addHelpText(
    'after',
    `
Example:
  superblock-builder keygen --user-id "Acme Updates <updates@acme.example>" --out keys --passphrase-file pass.txt`,
  )
  .action((options: KeygenOptions & { json?: boolean }) => show(keygen(options), options.json, keygenText))

program
  .command('commit')
  .argument('<input>', 'folder, .tar or .tar.gz of the tree; with --from-repo a ref or commit of that repository')
  .description('Make a release: a commit with a version of its own, in an archive repository.')
  .requiredOption('--ref <ref>', 'the ref that devices follow')
  .requiredOption('--version <version>', 'of the release; refused if the ref has had it')
  .option('--ostree-repo <folder>', 'archive repository, made if it is not there', 'ostree-repo')
  .option('--from-repo <folder>', 'take the tree from this OSTree repository')
  .option('--ota-json <file>', 'JSON object about the release, kept in the commit and in packages of it')
  .option('--subject <text>', 'one line about the commit (default: "Release VERSION")')
  .option('--timestamp <time>', 'of the commit (default: $SOURCE_DATE_EPOCH, or now)', seconds)
  .option('--keep-owners', 'owners, modes and attributes as they are (default for root)')
  .option('--canonical-permissions', 'owner root, no setuid bits, no extended attributes (default for other users)')
  .option('--allow-unbootable', 'also a system that no device could start from, as for tests of it')
  .option('--allow-keyless', 'also without a usable key: devices get theirs in another way')
  .option('--gpg-sign <key-id>', 'sign the commit with gpg as well')
  .option('--gpg-homedir <folder>', "gpg's home, where it is not the usual one")
  .option('--json', 'print the result as JSON')
  .addHelpText(
    'after',
    `
Examples:
  superblock-builder commit sysroot.tar.gz --ref acme/gateway --version 2.0 --ota-json ota.json
  superblock-builder commit --from-repo /srv/builds/repo acme/testing --ref acme/gateway --version 2.0

The same tree, version, parent and --timestamp (or SOURCE_DATE_EPOCH) give the same commit.
A date that is not later than the parent's becomes that and one second: devices refuse what is older.
Root commits owners and modes as they are. Other users' files have owners that no device knows: they become root's.`,
  )
  .action((input: string, options: Omit<CommitOptions, 'input'> & { json?: boolean }) => {
    const buildTime = options.timestamp === undefined ? epochOfBuild() : undefined
    return show(commit({ ...options, input, buildTime }, work), options.json, commitText)
  })

withKeys(program.command('package'))
  .description('Make a package: one file with a whole release, for any device that runs an older one.')
  .option('--ostree-repo <folder>', 'archive repository', 'ostree-repo')
  .option('--ref <ref>', 'whose newest commit is packed')
  .option('--rev <commit>', 'an older commit of the ref instead')
  .requiredOption('--os <name>', "the devices' stateroot")
  .requiredOption('--compatible <name>', 'product that it is for; may be repeated', several)
  .option('--epoch <number>', 'security epoch: devices that had a higher one refuse it', whole, 0)
  .option('--notes <text>', 'what the operator is told')
  .option('--notes-file <file>', 'the same, from a file')
  .option('--from <rev>', 'add a delta from this commit, if it saves reading; may be repeated', several)
  .option('--from-superblock <file>', 'wrap a file of "ostree static-delta generate --inline" instead')
  .option('--out <file>', 'the package (default: OS-VERSION.superblock)')
  .option('--allow-keyless', 'also without a usable key: devices get theirs in another way')
  .option('--json', 'print the result as JSON')
  .addHelpText(
    'after',
    `
Examples:
  superblock-builder package --ref acme/gateway --os acme --compatible acme-gateway --sign-key keys/FINGERPRINT.key
  superblock-builder package --ref acme/gateway --os acme --compatible acme-gateway --from acme/gateway^ --gpg-sign 0xKEYID
  superblock-builder package --from-superblock superblock --os acme --compatible acme-gateway

The same commit, options and keys give the same bytes; only gpg puts the time of day into its signatures.`,
  )
  .action(async (options: PackageOptions & { json?: boolean }) => {
    if (options.fromSuperblock !== undefined && (options.from || options.rev !== undefined))
      throw usage('--from-superblock has its commit and base in the file; leave --from and --rev away')
    if (options.fromSuperblock === undefined && options.ref === undefined) throw usage('name the release with --ref')
    if (options.notes !== undefined && options.notesFile !== undefined)
      throw usage('give either --notes or --notes-file')
    const made = makePackage(options, work)
    await show(made, options.json, packageText)
    const { file, signatures } = await made
    if (signatures.length === 0)
      work.note(`
WARNING: ${file} is NOT SIGNED. Every device refuses it until you run
  superblock-builder sign ${file} --sign-key FILE`)
  })

withKeys(program.command('sign'))
  .argument('<file>', 'the package')
  .description('Add a signature to a finished package, also one that was made on another computer.')
  .option('--export-manifest <file>', 'write the exact bytes to sign, for a key that is elsewhere')
  .option('--import <file>', 'add this detached OpenPGP signature over those bytes; may be repeated', several)
  .option('--key <file>', 'public key that the imported signature is checked with')
  .option('--json', 'print the result as JSON')
  .addHelpText(
    'after',
    `
Examples:
  superblock-builder sign acme-2.0.superblock --sign-key keys/FINGERPRINT.key
  superblock-builder sign acme-2.0.superblock --gpg-sign 0xKEYID
  superblock-builder sign acme-2.0.superblock --export-manifest manifest.json
  superblock-builder sign acme-2.0.superblock --import manifest.json.asc --key safe.asc`,
  )
  .action((file: string, options: SignOptions & { json?: boolean }) => {
    const own = options.signKey !== undefined || options.gpgSign !== undefined
    const ways = [own, options.import !== undefined, options.exportManifest !== undefined].filter(Boolean).length
    if (ways !== 1) throw usage('give --sign-key or --gpg-sign, or --import with --key, or --export-manifest')
    if (options.import && options.key === undefined) throw usage('--import needs --key, the public key that signed')
    return show(sign(file, options, work), options.json, signText)
  })

program
  .command('stick')
  .argument('<target>', 'mounted folder of a stick, or its device, e.g. /dev/sdb1')
  .argument('<packages...>', 'packages to put there')
  .description('Put packages on a stick, read them back from it, verify them, and say what devices will do with it.')
  .option('--key <file>', 'public key or folder of keys that must have signed; may be repeated', several)
  .addOption(new Option('--format <filesystem>', 'format the device first').choices(['vfat', 'exfat', 'ext4']))
  .option('--erase <device>', "the device's name once more, without which nothing is formatted")
  .option('--json', 'print the result as JSON')
  .addHelpText(
    'after',
    `
Examples:
  superblock-builder stick /media/me/STICK acme-2.0.superblock --key keys/FINGERPRINT.asc
  superblock-builder stick /dev/sdb1 acme-2.0.superblock --format exfat --erase /dev/sdb1`,
  )
  .action((target: string, packages: string[], options: Omit<StickOptions, 'target'> & { json?: boolean }) =>
    show(stick({ ...options, target, packages }, work), options.json, stickText),
  )

addImageCommands(program, work, show)

function report(error: unknown): number {
  const json = process.argv.includes('--json')
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0 // help or version
    if (json) printError('usage', error.message)
    return 2 // commander has said what is wrong
  }
  const failure = interruption.signal.aborted
    ? new Failure('interrupted', 'cannot finish: interrupted; nothing was left behind')
    : asFailure(error, 'finish')
  process.stderr.write(`superblock-builder: ${failure.message}\n`)
  if (json) printError(failure.code, failure.message)
  if (failure.code === 'interrupted') return 130
  return failure.code === 'usage' ? 2 : 1
}

const printError = (code: string, message: string) =>
  process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)

process.exitCode = await program.parseAsync().then(
  () => 0,
  error => report(error),
)
