/** The commands that turn sysroots into trees and images, as the command line has them. */
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { epochOfBuild, port, seconds, several, size, whole } from './arguments.ts'
import { type InitramfsOptions, initramfs, initramfsText } from './dracut.ts'
import { type ImageOptions, image, imageText } from './image.ts'
import { type ReleaseOptions, release, releaseText } from './release.ts'
import { type ServeOptions, serve } from './serve.ts'
import { type SysrootOptions, sysroot, sysrootText } from './sysroot.ts'
import type { Work } from './work.ts'

type Show = <T extends object>(
  result: Promise<T>,
  json: boolean | undefined,
  text: (result: T) => string,
) => Promise<void>
type Json = { json?: boolean }

const LOCAL = '127.0.0.1'
const INPUT = 'ordinary sysroot: folder, .tar (also .gz, .zst, .xz), or .img of a disk or file system'

/** How the image of a release is made. */
const withDisk = (command: Command) =>
  command
    .addOption(new Option('--boot-loader <name>', "the device's").choices(['grub', 'uboot']).default('grub'))
    .option('--size <bytes>', 'of the whole image, as 4G (default: room for this release and an update)', size)
    .option('--data-size <bytes>', 'a partition of its own for /var, at least this large', size)

const KEYLESS = ['--allow-keyless', 'also without a usable key: devices get theirs in another way'] as const

/** What a tree is given on the way. */
const withFurnishings = (command: Command) =>
  command
    .option('--initramfs <file>', "an initramfs that starts OSTree (default: the sysroot's, or its dracut makes one)")
    .option('--kernel-args <arguments>', 'kernel arguments; with init= among them there is no initramfs')
    .option(
      '--trusted-key <file>',
      'public key whose packages devices accept, or a revocation of one; may be repeated',
      several,
    )
    .option('--grub2-cfg-generator <file>', "program that writes GRUB's menu, instead of ours")
    .option(
      '--uboot-env-file <file>',
      "settings that are appended to OSTree's uEnv.txt, or a boot script for the image",
    )
    .option('--remote-url <address>', 'OSTree repository for updates over a network')
    .option('--gpg-trusted-keyring <file>', 'keyring that its commits must be signed with')
    .option('--tls-ca-path <file>', 'certificate of the authority that vouches for its server')
    .option('--tls-client-cert-path <file>', "devices' certificate for that server")
    .option('--tls-client-key-path <file>', 'and its key')
    .option(...KEYLESS)

export function addImageCommands(program: Command, work: Work, show: Show): void {
  withFurnishings(program.command('sysroot'))
    .description('Convert an ordinary sysroot into an OTA-enabled tree, and check that it would boot.')
    .requiredOption('--sysroot-image-path <path>', INPUT)
    .requiredOption('--out <folder>', 'the new tree')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  sudo superblock-builder sysroot --sysroot-image-path rootfs.tar.gz --out tree --trusted-key keys/FINGERPRINT.asc
  sudo superblock-builder sysroot --sysroot-image-path rootfs/ --out tree --kernel-args "console=ttyS0"

Owners, capabilities and all other attributes are kept, which only root can do. The input is only read.`,
    )
    .action((options: SysrootOptions & Json) => show(sysroot(options, work), options.json, sysrootText))

  program
    .command('initramfs')
    .description("Make an initramfs that starts OSTree, with the sysroot's own dracut.")
    .requiredOption('--sysroot-image-path <path>', INPUT)
    .requiredOption('--out <file>', 'the new initramfs')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Example:
  sudo superblock-builder initramfs --sysroot-image-path rootfs.tar.gz --out initramfs.img`,
    )
    .action((options: InitramfsOptions & Json) => show(initramfs(options, work), options.json, initramfsText))

  withDisk(program.command('image'))
    .description('Make a disk image of a release, for the first start of a device.')
    .option('--ostree-repo <folder>', 'archive repository', 'ostree-repo')
    .requiredOption('--ref <ref>', 'whose newest commit it starts with, and which it follows')
    .requiredOption('--os <name>', "the device's stateroot")
    .requiredOption('--out <file>', 'the new image')
    .option('--uboot-env-file <file>', 'boot script in place of ours')
    .option(...KEYLESS)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  sudo superblock-builder image --ref acme/gateway --os acme --out acme.img
  sudo superblock-builder image --ref acme/gateway --os acme --out acme.img --boot-loader uboot --data-size 1G

At its first start a device grows the last partition to the size of its disk.`,
    )
    .action((options: ImageOptions & Json) => show(image(options, work), options.json, imageText))

  const one = program
    .command('release')
    .description('From an ordinary sysroot to a commit, a signed package and an image, in one command.')
    .requiredOption('--sysroot-image-path <path>', INPUT)
    .requiredOption('--ref <ref>', 'the ref that devices follow')
    .requiredOption('--version <version>', 'of the release; refused if the ref has had it')
    .requiredOption('--os <name>', "the devices' stateroot")
    .option('--ostree-repo <folder>', 'archive repository, made if it is not there', 'ostree-repo')
    .option('--out <folder>', 'where OS-VERSION.superblock and OS-VERSION.img go', '.')
    .option('--create-self-contained-package', 'make a package for sticks')
    .option('--create-ota-sysroot', 'make a disk image')
    .option('--start-trivial-httpd', 'serve the repository afterwards; the address is in httpd/httpd-address')
    .option('--ota-json <file>', 'JSON object about the release')
    .option('--subject <text>', 'one line about the commit')
    .option('--timestamp <time>', 'of the commit (default: $SOURCE_DATE_EPOCH, or now)', seconds)
    .option('--compatible <name>', 'product that the package is for; may be repeated', several)
    .option('--epoch <number>', 'security epoch of the package', whole, 0)
    .option('--notes <text>', 'what the operator is told')
    .option('--notes-file <file>', 'the same, from a file')
    .option('--from <rev>', 'add a delta from this commit to the package; may be repeated', several)
    .option('--sign-key <file>', 'secret key for the package; may be repeated', several)
    .option('--passphrase-file <file>', 'its passphrase: one for each --sign-key in order, or one for all', several)
    .option('--gpg-sign <key-id>', 'sign package and commit with gpg; may be repeated', several)
    .option('--gpg-homedir <folder>', "gpg's home, where it is not the usual one")
    .option('--json', 'print the result as JSON')
  withDisk(withFurnishings(one))
    .addHelpText(
      'after',
      `
Example:
  sudo superblock-builder release --sysroot-image-path rootfs.tar.gz --ref acme/gateway --version 2.0 --os acme \\
    --compatible acme-gateway --trusted-key keys/FINGERPRINT.asc --sign-key keys/FINGERPRINT.key \\
    --create-self-contained-package --create-ota-sysroot`,
    )
    .action(async (options: ReleaseOptions & Json & { startTrivialHttpd?: boolean }) => {
      const buildTime = options.timestamp === undefined ? epochOfBuild() : undefined
      await show(release({ ...options, buildTime }, work), options.json, releaseText)
      if (options.startTrivialHttpd)
        await serve({ ...options, host: LOCAL, port: 0, addressFile: join(options.out, 'httpd/httpd-address') }, work)
    })

  program
    .command('serve')
    .description('Serve a repository over HTTP, for trying things.')
    .option('--ostree-repo <folder>', 'archive repository', 'ostree-repo')
    .option('--host <address>', 'where it listens; others reach it only when this is changed', LOCAL)
    .option('--port <number>', 'where it listens; 0: any that is free', port, 8080)
    .option('--address-file <file>', 'write its address there, for scripts')
    .addHelpText(
      'after',
      `
Example:
  superblock-builder serve --ostree-repo ostree-repo --port 8080

It has no TLS, no authentication and no limits: use a web server for production, any can serve the folder as it is.`,
    )
    .action(async (options: ServeOptions) => {
      await serve(options, work)
    })
}
