/** From the layout of an ordinary system to that of an OSTree deployment: /usr is the release, /etc its default, /var is empty. */
import { lstat, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../../base/failure.ts'
import { isThere, listIfThere } from '../../base/files.ts'
import { safe } from '../../base/text.ts'
import { settleFstab } from './fstab.ts'
import { find, inside, makeFolder, newPath, walk } from './inside.ts'
import { writeUsers } from './users.ts'
import { emptyVar, type Lost } from './var.ts'

/** Name at the top → where it leads on a device. */
const LINKS: Record<string, string> = {
  ostree: 'sysroot/ostree',
  home: 'var/home',
  opt: 'var/opt',
  srv: 'var/srv',
  mnt: 'var/mnt',
  media: 'run/media',
  root: 'var/roothome',
}
/** Made by the kernel, by systemd or by OSTree at each start; what a sysroot has there was for building it. */
const MOUNTPOINTS = ['boot', 'dev', 'efi', 'proc', 'run', 'sys', 'sysroot', 'tmp', 'var']
/** At the top, of no use on a device. */
const LEFTOVERS = /^(initrd\.img|vmlinuz|zImage|Image)(\.old)?$|^\.dockerenv$|^lost\+found$/

/** @throws Failure `bad-sysroot`, where it is no ordinary sysroot */
export async function checkOrdinary(tree: string): Promise<void> {
  const bad = (why: string) => new Failure('bad-sysroot', `cannot use the sysroot: ${why}`)
  const links: string[] = []
  for (const name of ['usr', 'etc', 'var'])
    if ((await lstat(join(tree, name)).catch(() => undefined))?.isSymbolicLink()) links.push(`/${name}`)
  if (links.length > 0) throw bad(`${links.join(', ')} must be a folder and no link`)
  if (!(await find(tree, 'usr'))?.stats.isDirectory()) throw bad('there is no usr in it')
  const own = await isThere(join(tree, 'etc'))
  const converted = (await listIfThere(join(tree, 'usr/etc'))).length > 0
  if (converted && !own) throw bad('it is OTA-enabled already (/usr/etc instead of /etc); commit it as it is')
  if (converted) throw bad('it has both /etc and /usr/etc; the latter belongs to OSTree, so move what is there to /etc')
  if (!own) throw bad('there is no etc in it')
  const split: string[] = []
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    const there = await lstat(join(tree, name)).catch(() => undefined)
    if (there?.isDirectory()) split.push(`/${name}`)
  }
  if (split.length > 0)
    throw bad(
      `${split.join(', ')} must be links into /usr, which alone is updated as a whole; merge them (Debian: the package usrmerge, Yocto: DISTRO_FEATURES:append = " usrmerge")`,
    )
  const odd: string[] = []
  for (const name of await readdir(tree)) {
    if (MOUNTPOINTS.includes(name) || !(await lstat(join(tree, name))).isDirectory()) continue
    for await (const { path, stats } of walk(join(tree, name)))
      if (!stats.isFile() && !stats.isDirectory() && !stats.isSymbolicLink()) odd.push(`/${name}/${path}`)
  }
  if (odd.length > 0)
    throw bad(
      `OSTree holds no devices, pipes or sockets: ${odd
        .slice(0, 10)
        .map(path => safe(path))
        .join(', ')}; remove them`,
    )
}

/** What of the sysroot does not come to its devices. */
export interface LeftOut extends Lost {
  /** mounts of another disk in /etc/fstab */
  mounts: string[]
  /** whether users of later releases do not come to devices where /etc/passwd was changed */
  users: boolean
}

/**
 * Bring a private copy of an ordinary sysroot into the new layout, its kernel aside.
 * @throws Failure `files-in-home`
 */
export async function changeLayout(tree: string): Promise<LeftOut> {
  for (const name of await readdir(tree)) if (LEFTOVERS.test(name)) await rm(join(tree, name), { recursive: true })
  const mounts = await settleEtc(tree)
  const users = await writeUsers(tree)
  const lost = await emptyVar(tree)
  const ownTmp = await mountsTmp(tree)
  for (const name of MOUNTPOINTS) {
    await rm(join(tree, name), { recursive: true, force: true })
    if (name !== 'tmp' || ownTmp) await makeFolder(tree, name)
  }
  if (!ownTmp) await symlink('sysroot/tmp', join(tree, 'tmp'))
  for (const [name, target] of Object.entries(LINKS)) {
    await rm(join(tree, name), { recursive: true, force: true })
    await symlink(target, join(tree, name))
  }
  if (!(await isThere(join(tree, 'usr/local')))) await symlink('../var/usrlocal', join(tree, 'usr/local'))
  await rename(join(tree, 'etc'), join(tree, 'usr/etc'))
  return { ...lost, mounts, users }
}

/** Whether /tmp is a file system of its own, so that it stays a folder: systemd mounts nothing on a link. */
async function mountsTmp(tree: string): Promise<boolean> {
  if (/^\S+\s+\/tmp\s/m.test(await readText(tree, 'etc/fstab'))) return true
  for (const folder of ['usr/lib/systemd/system', 'etc/systemd/system'])
    if (await isThere(await inside(tree, join(folder, 'local-fs.target.wants/tmp.mount')))) return true
  return false
}

async function readText(tree: string, path: string): Promise<string> {
  const file = await find(tree, path)
  return file?.stats.isFile() ? readFile(file.path, 'utf8') : ''
}

/**
 * What must differ from device to device is made there; the root file system grows to its disk at the first start.
 * @returns mounts of another disk that were left out
 */
async function settleEtc(tree: string): Promise<string[]> {
  const write = async (path: string, text: string) => {
    await writeFile(await newPath(tree, path), text)
  }
  await write('etc/machine-id', '')
  for (const name of ['.pwd.lock', '.updated']) await rm(await inside(tree, join('etc', name)), { force: true })
  const { text, leftOut } = settleFstab(await readText(tree, 'etc/fstab'))
  // Written anew in any case: a link would take it elsewhere.
  await write('etc/fstab', text)
  return leftOut
}
