/** This product: the real service on an emulated device as root, with a stick that is a loop device. */
import { copyFile, cp, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../../src/base/run.ts'
import { connect } from '../../src/control/client.ts'
import { parseManifest } from '../../src/package/manifest.ts'
import { openFile, readHead, readIndex } from '../../src/package/read.ts'
import type { Snapshot } from '../../src/update/snapshot.ts'
import { snapshots } from '../../test/kit/device.ts'
import { PROJECT } from '../../test/kit/project.ts'
import { builder } from '../../test/kit/sample.ts'
import { scratch } from '../cache.ts'
import type { Contender, Installation, Place } from '../contender.ts'
import { COMPATIBLE, OS, REF } from '../materials.ts'

export const superblock: Contender = {
  name: 'superblock',
  kind: 'superblock',
  programs: ['ostree'],
  sources: ['src', 'package-lock.json'],
  isSingle: false,
  perBase: false,
  async pack({ repo, keys, commits }, { to }, folder) {
    const secret = (await readdir(keys)).find(name => name.endsWith('.key')) ?? 'no key'
    await builder([
      ...['package', '--ostree-repo', repo, '--ref', REF, '--rev', commits[to], '--os', OS],
      ...['--compatible', COMPATIBLE, '--sign-key', join(keys, secret), '--out', join(folder, 'acme.superblock')],
    ])
  },
  async head(folder) {
    const source = await openFile(join(folder, 'acme.superblock'))
    const head = await readHead(source)
    const [first] = await readIndex(source, head, parseManifest(head.manifest))
    await source.close()
    return first?.header ?? 0
  },
  disk: ({ devices }, { from }) => devices[from],
  begin,
}

let copy: Promise<string> | undefined

/**
 * The programs as they were when the benchmark began, with a Node of their own: what is built meanwhile must not change
 * what is measured, and of a program that the benchmark itself runs as well, PSS would count a part only.
 */
const programs = () => (copy ??= copyPrograms())

async function copyPrograms(): Promise<string> {
  const folder = await scratch('programs')
  await cp(join(PROJECT, 'dist'), join(folder, 'dist'), { recursive: true })
  await copyFile(process.execPath, join(folder, 'node'))
  return folder
}

/** Seconds that anything may take. */
const PATIENCE = 1800

async function begin({ materials, way, group, disk, stick, folder, log }: Place): Promise<Installation> {
  const at = (name: string) => join(folder, name)
  for (const name of ['root', 'shared']) await mkdir(at(name))
  await disk.mount(at('sysroot'))
  await run(['mount', '-t', 'tmpfs', 'run', at('shared')])
  const deployment = join(at('sysroot'), `ostree/deploy/${OS}/deploy/${materials.commits[way.from]}.0`)
  const service = group.start(
    [
      ...['unshare', '--mount', '--pid', '--fork', '--kill-child', 'bash', join(PROJECT, 'bench/boot.sh')],
      ...[at('root'), at('sysroot'), deployment, stick, at('shared'), PROJECT, await programs()],
    ],
    log,
  )
  const ended = new Promise<void>(resolve => service.once('close', () => resolve()))
  const client = connect(join(at('shared'), 'control.sock'))
  const waitFor = async (is: (snapshot: Snapshot) => boolean): Promise<Snapshot> => {
    const until = AbortSignal.timeout(PATIENCE * 1000)
    for await (const snapshot of snapshots(client, until)) {
      if (is(snapshot)) return snapshot
      if (snapshot.job && ['failed', 'paused', 'cancelled'].includes(snapshot.job.state))
        throw new Error(snapshot.job.text)
    }
    throw new Error(`cannot see the installation end within ${PATIENCE} s`)
  }
  const end = async () => {
    await group.end()
    await ended
    await run(['umount', at('shared')])
  }
  const choose = async () => {
    const { offers } = await waitFor(({ offers, health }) => offers.length > 0 && health?.verdict !== 'checking')
    // Whoever chooses has read the list first; by then it has been found out who the stick is.
    await sleep(2000)
    const [offer] = offers
    if (!offer?.verdict.fits) throw new Error(`cannot install: ${JSON.stringify(offer?.verdict)}`)
    return offer
  }
  const offer = await choose().catch(async (error: unknown) => {
    await end()
    throw error
  })
  const steps: Record<string, number> = {}
  return {
    steps,
    async run() {
      let [step, since] = ['', performance.now()]
      const reboot = waitFor(({ job }) => {
        const now = job?.progress?.step ?? job?.state ?? ''
        if (now !== step) {
          if (step !== '') steps[step] = (steps[step] ?? 0) + (performance.now() - since) / 1000
          ;[step, since] = [now, performance.now()]
        }
        return job?.state === 'reboot'
      })
      await Promise.all([client.install({ id: offer.id }), reboot])
    },
    flush: async () => void (await run(['sync', '--file-system', at('sysroot')])),
    async check() {
      const { stdout } = await run(['ostree', 'admin', 'status', `--sysroot=${at('sysroot')}`])
      if (!stdout.trimStart().startsWith(`${OS} ${materials.commits[way.to]}`)) throw new Error(stdout)
    },
    end,
  }
}

/** Seconds that the commands a user waits for take while the service runs: the medians of five. */
export async function startUps(folder: string): Promise<Record<string, number>> {
  const superblock = [join(await programs(), 'node'), join(await programs(), 'dist/superblock.js')]
  const commands = {
    'superblock --version': [...superblock, '--version'],
    'superblock status': [...superblock, '--socket', join(folder, 'shared/control.sock'), 'status'],
  }
  const medians: Record<string, number> = {}
  for (const [name, argv] of Object.entries(commands)) {
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      const from = performance.now()
      await run(argv)
      times.push((performance.now() - from) / 1000)
    }
    medians[name] = times.sort((a, b) => a - b)[2] ?? 0
  }
  return medians
}
