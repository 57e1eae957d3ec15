/** What an installation writes, file system by file system: staging, the import, the checkout, the device's /etc, what goes to /boot. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../base/run.ts'
import { type BootFile, bootFiles } from '../ostree/boot-files.ts'
import { readCommitObject } from '../ostree/commit-facts.ts'
import type { Engine } from '../ostree/engine.ts'
import { type EtcChange, etcSize } from '../ostree/etc.ts'
import { contentSize, readHere } from '../ostree/objects.ts'
import { reservedBytes } from '../ostree/space.ts'
import type { Deployment } from '../ostree/status.ts'
import type { StagedMode } from '../ostree/storage.ts'
import { inBlocks, type Measure, type Walk, walkTree } from '../ostree/walk.ts'
import type { Member, Members } from '../package/index.ts'
import { type Needs, NOTHING, type PlaceOnDisk, type Room, together } from './room.ts'
import { stagedSize } from './staging.ts'

const BLOCK = 4096
/** Folders that objects are spread over by the first two digits of their names. */
const FAN_OUT = 256
/** Journal, history and what else the service writes of a job. */
const RECORDS: Room = { bytes: 256 * 1024, inodes: 16 }
/** An entry of the boot loader, its folders, and the menu that is made of all. */
const BOOT_ENTRY: Room = { bytes: 2 * BLOCK, inodes: 2 }
const BOOT_LOADER: Room = { bytes: 10 * BLOCK, inodes: 8 }

/** @param folder of the service's state */
export async function placesOf(engine: Engine, folder: string): Promise<PlaceOnDisk[]> {
  const reserved = await reservedBytes(engine.repo)
  return [
    { place: 'sysroot', name: '/sysroot', path: engine.repo, reserved },
    { place: 'state', name: '/var', path: folder, reserved: 0 },
    { place: 'boot', name: '/boot', path: engine.boot, reserved: 0 },
  ]
}

/** Of each of many small files its blocks and its inode, and the folders that they are spread over. */
function roomOf(members: Iterable<Member>, sizeOf: (member: Member) => number): Room {
  const room = { bytes: 0, inodes: 0 }
  for (const member of members) {
    room.bytes += inBlocks(sizeOf(member))
    room.inodes++
  }
  const folders = Math.min(FAN_OUT, room.inodes)
  return together(room, { bytes: folders * BLOCK, inodes: folders })
}

/** The checkout of a tree, with the /etc of its own. */
function checkoutOf(all: Measure, etc: Measure | undefined, changes: Room): Room {
  const own = {
    bytes: all.folderBytes + (etc ? etc.fileBytes + etc.folderBytes : 0),
    inodes: all.folders + all.empty + (etc ? etc.files + etc.folders : 0),
    links: all.files,
  }
  return together(own, changes)
}

export interface Contents {
  /** members that are staged */
  wanted: Members
  mode: StagedMode
  /** of the delta that is staged instead of objects: bytes of what it makes */
  delta?: number
  /** what is known of the tree; of a delta's that is not here yet, what runs is the best guess */
  walk: Walk
  boot: readonly (readonly BootFile[])[]
}

/**
 * @param deployments that are here
 * @param etc the site's changes in /etc
 */
export async function needsOf(
  engine: Engine,
  contents: Contents,
  deployments: readonly Deployment[],
  etc: readonly EtcChange[],
): Promise<Needs> {
  const { wanted, mode, delta, walk } = contents
  const staged = roomOf(wanted, member => stagedSize(member, mode))
  // Beside the unpacked objects the one that is being unpacked.
  let packed = 0
  if (mode !== 'archive-z2') for (const { size } of wanted) packed = Math.max(packed, size)
  const linked = delta === undefined && mode !== 'archive-z2'
  const imported = linked
    ? { ...NOTHING, links: wanted.length }
    : delta === undefined
      ? roomOf(wanted, ({ unpacked }) => unpacked)
      : ofDelta(delta, walk)
  const changes = await etcSize(join(engine.sysroot, 'etc'), etc)
  const checkout = checkoutOf(walk.all, await walk.at('usr/etc'), changes)
  const entries = deployments.length + 1
  const links = { bytes: (entries + 2) * BLOCK, inodes: 3 * entries }
  const spread = folders(wanted.length > 0 ? FAN_OUT : 0)
  const sysroot = together(imported, spread, checkout, links, { bytes: BLOCK, inodes: 1 })
  const state = together(staged, { bytes: inBlocks(packed), inodes: 1 }, RECORDS)
  return {
    sysroot,
    state,
    boot: together(await bootRoom(engine, contents.boot, deployments), times(BOOT_ENTRY, entries), BOOT_LOADER),
  }
}

const folders = (count: number): Room => ({ bytes: count * BLOCK, inodes: count })
const times = ({ bytes, inodes }: Room, count: number): Room => ({ bytes: bytes * count, inodes: inodes * count })

/** A delta says only how much it makes: at the most as many files as the tree has, each with part of a block. */
const ofDelta = (bytes: number, { all }: Walk): Room => ({
  bytes: bytes + Math.min(bytes, all.files * BLOCK),
  inodes: all.files,
})

/**
 * Kernels and what goes with them: copied where /boot is a file system of its own, else given a second name; folders of device
 * trees are copied each time. What a deployment that is here has brought already is there.
 */
async function bootRoom(
  engine: Engine,
  kernels: readonly (readonly BootFile[])[],
  deployments: readonly Deployment[],
): Promise<Room> {
  const read = readHere(engine.repo)
  const known = new Set<string>()
  for (const { commit } of deployments) {
    const root = await readCommitObject(engine.repo, commit).catch(() => undefined)
    for (const kernel of root ? await bootFiles(root.root.tree, read).catch(() => []) : []) known.add(signOf(kernel))
  }
  const apart = (await stat(engine.boot)).dev !== (await stat(engine.repo)).dev
  let most = NOTHING
  for (const kernel of kernels) {
    if (known.has(signOf(kernel))) continue
    const copied = kernel.filter(({ path }) => apart || /\/dtb\//.test(path))
    const room = {
      bytes: copied.reduce((sum, { size }) => sum + inBlocks(size), 4 * BLOCK),
      inodes: copied.length + 4,
      links: kernel.length,
    }
    if (room.bytes > most.bytes) most = room
  }
  return most
}

const signOf = (kernel: readonly BootFile[]) =>
  kernel
    .map(({ object }) => object)
    .sort()
    .join()

/** The tree of a commit that is on the device. @throws Failure when something of it is not */
export async function treeOnDevice(engine: Engine, commit: string): Promise<{ walk: Walk; boot: BootFile[][] }> {
  const { root } = await readCommitObject(engine.repo, commit)
  const read = readHere(engine.repo)
  const sizeOf = (path: string) => contentSize(engine.repo, path)
  return { walk: await walkTree(root, read, sizeOf), boot: await bootFiles(root.tree, read, sizeOf) }
}

/** What the staging of a package has taken of the disk already. @param own its folder */
export async function roomTaken(own: string): Promise<Room> {
  const { stdout } = await run(['sh', '-euc', 'du -sk -- "$1"; find "$1" | wc -l', 'sh', own])
  const [kibibytes = 0, inodes = 0] = stdout.split('\n').map(line => Number.parseInt(line, 10))
  return { bytes: kibibytes * 1024, inodes }
}
