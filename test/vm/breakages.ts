/**
 * A scenario that cannot fail shows nothing. For each there is a way to break what it looks for, inside of the machine that
 * it begins with, and `npm run test:vm -- broken` sees that it fails then.
 */
export interface Breakage {
  /** what does not work any more */
  what: string
  /** shell commands, run as root */
  how: string
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** Another piece of text in the service's program, which is bundled but readable, instead of one that has to be there. */
const change = (text: string, other: string) => `set -eu
mount -o remount,bind,rw /usr
export FROM=${quoted(text)} TO=${quoted(other)}
files=$(grep -rlF --include='*.js' -e "$FROM" /usr/lib/superblock)
perl -pi -e 's/\\Q$ENV{FROM}\\E/$ENV{TO}/g' $files
systemctl restart superblockd`

/** A drop-in for a unit. */
const dropIn = (unit: string, text: string) => `set -eu
mkdir -p /etc/systemd/system/${unit}.d
printf '${text}' >/etc/systemd/system/${unit}.d/99-broken.conf
systemctl daemon-reload`

const WITHOUT_ACCOUNT = dropIn('superblock-trial.service', '[Unit]\\nConditionPathExists=/nowhere\\n')

export const BREAKAGES: Readonly<Record<string, Breakage>> = {
  install: {
    what: 'nobody is told that the stick may go',
    how: change('state.step === "stage" ? "keep" : "remove"', 'state.step === "stage" ? "keep" : "keep"'),
  },
  rollback: { what: 'the reason is not kept', how: change('reason: request.reason.slice(0, 500)', 'reason: "none"') },
  refusals: {
    what: 'what macOS leaves beside a file is not told from the file',
    how: change('refuse("sidecar", "macOS', 'refuse("truncated", "macOS'),
  },
  unplug: { what: 'what was paused stays so', how: change('if (!copy) {', 'if (true) {') },
  auto: {
    what: 'the policy is not followed',
    how: change('config.install.policy === "auto" && isOver', 'config.install.policy === "never" && isOver'),
  },
  'two-sticks': {
    what: 'the oldest release is suggested',
    how: change('fitting.sort((a, b) => time(b) - time(a)', 'fitting.sort((a, b) => time(a) - time(b)'),
  },
  filesystems: {
    what: 'only FAT may be mounted',
    how: dropIn('superblock-media@.service', '[Service]\\nEnvironment="SUPERBLOCK_FILESYSTEMS=vfat"\\n'),
  },
  inbox: { what: 'nobody looks into the inbox', how: change('watchMedium(inbox.path,', 'watchMedium("/nowhere",') },
  clock: {
    what: 'signatures are judged by the clock',
    how: change('var NO_CLOCK = null', 'var NO_CLOCK = /* @__PURE__ */ new Date()'),
  },
  'no-space': {
    what: 'nobody asks how much room there is',
    how: change('const short = await lackOfSpace(', 'const short = await (() => void 0)('),
  },
  'service-killed': {
    what: 'nobody starts the service again',
    how: dropIn('superblockd.service', '[Service]\\nRestart=no\\n'),
  },
  firmware: { what: 'the partition that EFI starts from is empty', how: 'rm -r /efi/EFI && sync' },
  // What breaks a release on trial lies in /etc, which it takes over.
  'trial-check': {
    what: 'the checks are not found',
    how: 'mkdir -p /etc/superblock/superblock.d; echo "health.checks = [\'/nowhere\']" >/etc/superblock/superblock.d/99-broken.toml',
  },
  'trial-panic': {
    what: 'the release before does not become the default again',
    how: change('await setDefault(engine, job.from);', 'void 0;'),
  },
  'trial-hang': { what: 'nobody keeps an account of the starts', how: WITHOUT_ACCOUNT },
  'trial-cuts': { what: 'nobody keeps an account of the starts', how: WITHOUT_ACCOUNT },
  'trial-uboot': {
    what: 'the partition with the count is not mounted',
    how: 'systemctl mask --runtime --now efi.automount; umount /efi; systemctl restart superblockd',
  },
  'power-cut': {
    what: 'what was under way is forgotten',
    how: change('const now = reconcile(', 'const now = (() => ({ at: "idle" }))('),
  },
}
