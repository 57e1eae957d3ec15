/** /etc/fstab on a device: lines that name the disk which the sysroot came from would keep it from starting. */

/** The label of the root file system that `image` makes. */
export const ROOT_LABEL = 'superblock-root'
/** Names that one disk has and no other. */
const ONE_DISK = /^(PART)?UUID=|^\/dev\/disk\/by-(uuid|partuuid|id|path|diskseq)\//
/** The partitions behind these are the image's own, and /boot is OSTree's. */
const OURS = ['/boot', '/boot/efi', '/boot/firmware', '/efi']
/** What a root file system is called that is right on every device. */
const ANY_ROOT = [`LABEL=${ROOT_LABEL}`, `PARTLABEL=${ROOT_LABEL}`, '/dev/root', 'rootfs', 'overlay']

/** @returns the text without such lines and with one for the root file system, and what was left out */
export function settleFstab(text: string): { text: string; leftOut: string[] } {
  const kept: string[] = []
  const leftOut: string[] = []
  let root = false
  for (const line of text.replace(/^# UNCONFIGURED FSTAB.*\n?/m, '').split('\n')) {
    const [source = '', target = ''] = line.trim().split(/\s+/)
    const isEntry = source !== '' && !source.startsWith('#')
    const isRoot = isEntry && target === '/'
    const stays = isRoot ? ANY_ROOT.includes(source) : !(ONE_DISK.test(source) || OURS.includes(target))
    if (isEntry && !stays) leftOut.push(`${source} ${target}`)
    else kept.push(line)
    root ||= isRoot && stays
  }
  const lines = kept.join('\n').trimEnd()
  const own = root ? [] : [`LABEL=${ROOT_LABEL} / ext4 defaults,x-systemd.growfs 0 1`]
  return { text: [...(lines === '' ? [] : [lines]), ...own, ''].join('\n'), leftOut }
}
