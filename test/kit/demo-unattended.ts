/** The demo without a terminal: every step of an update and a rollback, each compared with what ostree says on the device. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bytes } from '../../src/base/text.ts'
import type { JobInfo, Snapshot } from '../../src/update/snapshot.ts'
import { type Device, snapshots } from './device.ts'
import { SAMPLE, type Sample } from './sample.ts'
import { makeStick } from './stick.ts'

type Say = (line: string) => void

/** @throws Error with what did not hold */
export async function unattended(sample: Sample, folder: string, say: Say): Promise<void> {
  const { device } = sample
  await writeFile(join((await device.boot()).folder, 'etc/acme/gateway.conf'), 'site=harbour-7\ninterval=15\n')
  say('The device is on. The site has changed a setting in /etc/acme/gateway.conf.')
  await agree(device, say, { booted: '1.0' })

  const stick = await makeStick(folder, 'STICK', [sample.package])
  await device.insert(stick)
  say('A stick is inserted.')
  const found = await device.waitFor(
    ({ offers }) => offers.some(one => one.release || !one.verdict.fits),
    'the package',
  )
  const offer = found.offers[0]
  if (!offer?.verdict.fits) throw new Error(`cannot install ${offer?.file}: ${JSON.stringify(offer?.verdict)}`)
  hold(offer.signers.length === 1 && offer.signers[0]?.userId === SAMPLE.signer, 'the package names its signer')
  hold(offer.preselected && offer.release?.version === '2.0', 'release 2.0 is preselected')
  say(`Found ${offer.file}: release ${offer.release?.version}, signed by ${offer.signers[0]?.userId}.`)
  say(`  Key ${offer.signers[0]?.fingerprint}. It fits this device; ${bytes(offer.plan?.bytesToRead ?? 0)} to read.`)

  await device.client.install({ id: offer.id })
  say('Installing 2.0.')
  const tell = onChange(say)
  const staged = await follow(device, tell, job => job.stick === 'remove')
  say(staged.text)
  await device.remove(stick)
  say('The stick is removed.')
  const installed = await follow(device, tell, job => job.state === 'reboot')
  const { bytesRead, membersRead, membersSkipped } = installed.counters
  say(`Installed: ${bytes(bytesRead)} read, ${membersRead} members; ${membersSkipped} were on the device already.`)
  await agree(device, say, { pending: '2.0', booted: '1.0' })

  await restart(device, say)
  const tried = await device.waitFor(
    snapshot => settled(snapshot) || snapshot.health?.verdict === 'bad',
    'the end of the health checks',
  )
  for (const check of tried.health?.checks ?? [])
    say(`  ${check.name}: ${check.ok ? 'good' : 'bad'}: ${check.output.replaceAll('\n', '; ')}`)
  hold(tried.job?.state === 'done', `the job is done (it is ${tried.job?.state}: ${tried.job?.text})`)
  hold(tried.health?.verdict === 'good' && tried.health.version === '2.0', 'the health of 2.0 is good')
  hold((tried.health?.checks.length ?? 0) > 0, 'a health check ran')
  await agree(device, say, { booted: '2.0', rollback: '1.0' })
  const kept = (await device.exec(['acme-gateway'])).stdout.trim()
  say(`The program now says: ${kept}`)
  hold(
    kept.includes('acme-gateway 2.0') && kept.includes('every 15 s'),
    "the new program runs with the site's settings",
  )

  const reason = 'the new texts confuse the night shift'
  await device.client.rollback({ reason })
  say(`Rolling back, because ${reason}.`)
  await device.waitFor(({ job }) => job?.kind === 'rollback' && job.state === 'reboot', 'the end of the rollback')
  await agree(device, say, { pending: '1.0', booted: '2.0' })
  await restart(device, say)
  const back = await device.waitFor(settled, 'the end of the rollback')
  hold(back.job?.kind === 'rollback' && back.job.state === 'done', `the rollback is done (${back.job?.text})`)
  await agree(device, say, { booted: '1.0', rollback: '2.0' })
  const left = back.deployments.find(one => one.version === '2.0')
  hold(left?.leftBecause?.includes(reason), 'the reason is kept with the release')
  const { chain } = await device.client.history(true)
  hold(chain.ok, 'the history is unbroken')

  say('')
  say(`Installed:      ${offer.release?.version} (commit ${offer.release?.commit.slice(0, 12)})`)
  say(`Health:         ${tried.health?.verdict}`)
  say(`Rolled back to: ${booted(back)?.version} (because ${left?.leftBecause})`)
}

const booted = ({ deployments }: Snapshot) => deployments.find(one => one.booted)
const settled = ({ job }: Snapshot) => job !== null && ['done', 'fell-back', 'failed', 'cancelled'].includes(job.state)

function hold(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`cannot go on: it does not hold that ${what}`)
}

async function restart(device: Device, say: Say): Promise<void> {
  await device.client.reboot()
  await device.rebooted()
  say('The device restarts.')
  await device.boot()
}

/** Says a line unless it is the one that was said last. */
function onChange(say: Say): Say {
  let last = ''
  return line => {
    if (line !== last) say(line)
    last = line
  }
}

/** Tell how the job moves until `until` holds; a job that failed ends it. */
async function follow(device: Device, tell: Say, until: (job: JobInfo) => boolean): Promise<JobInfo> {
  for await (const { job } of snapshots(device.client, AbortSignal.timeout(60_000))) {
    if (!job) continue
    const { progress } = job
    const percent = progress?.bytesTotal ? Math.floor((4 * progress.bytesDone) / progress.bytesTotal) * 25 : undefined
    const line = progress && `  ${progress.at} of ${progress.of}: ${progress.step}${percent ? `, ${percent} %` : ''}`
    if (line) tell(line)
    if (until(job)) return job
    if (settled({ job } as Snapshot)) throw new Error(`cannot go on: ${job.text} (${job.code})`)
  }
  throw new Error(`cannot see the install move on within a minute\n${await device.log()}`)
}

type Marks = { booted: string; pending?: string; rollback?: string }

/** What `ostree admin status` says in the device, and the service with it. */
async function agree(device: Device, say: Say, expected: Marks): Promise<void> {
  const { stdout } = await device.exec(['ostree', 'admin', 'status'])
  say(stdout.trimEnd().replace(/^/gm, '    | '))
  const seen: Record<string, string> = {}
  // Each deployment's line has its mark, the version is on a line below it.
  for (const block of stdout.split(/^(?=[* ] \w)/m)) {
    const mark = block.startsWith('*') ? 'booted' : /\((pending|rollback)\)/.exec(block)?.[1]
    if (mark) seen[mark] = /Version: (.*)/.exec(block)?.[1] ?? ''
  }
  const said: Record<string, string> = {}
  for (const one of (await device.client.status()).deployments)
    for (const mark of ['booted', 'pending', 'rollback'] as const) if (one[mark]) said[mark] = one.version
  for (const mark of ['booted', 'pending', 'rollback'] as const) {
    hold(seen[mark] === expected[mark], `ostree's ${mark} release is ${expected[mark]} (it is ${seen[mark]})`)
    hold(said[mark] === expected[mark], `the service's ${mark} release is ${expected[mark]} (it is ${said[mark]})`)
  }
}
