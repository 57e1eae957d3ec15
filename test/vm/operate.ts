/** What several scenarios do with a machine, without its console. */
import type { JobInfo, OfferInfo, Snapshot } from '../../src/control/protocol.ts'
import { Lost } from './guest.ts'
import type { Machine } from './machine.ts'

/** The offer of a release that fits. */
export async function offered(machine: Machine, version: string): Promise<OfferInfo> {
  const is = (one: OfferInfo) => one.verdict.fits && one.release?.version === version
  const { offers } = await machine.waitFor(({ offers }) => offers.some(is), `an offer of ${version}`)
  return offers.find(is) as OfferInfo
}

/** Ask for a release that is on a stick in the machine. */
export async function install(machine: Machine, version: string): Promise<void> {
  const { id } = await offered(machine, version)
  await machine.request('/v1/install', { id })
}

const ENDED: readonly JobInfo['state'][] = ['reboot', 'done', 'fell-back', 'failed', 'cancelled']

/** The job waits for the reboot, as it should. @throws Error when it ended in another way */
export async function installed(machine: Machine): Promise<Snapshot> {
  const snapshot = await machine.waitFor(({ job }) => job !== null && ENDED.includes(job.state), 'the end of the job')
  if (snapshot.job?.state !== 'reboot') throw new Error(`the job is not what it should be: ${snapshot.job?.text}`)
  return snapshot
}

/** Ask the service for the reboot; the machine may be down before it has answered. */
export async function askReboot(machine: Machine): Promise<void> {
  await machine.request('/v1/reboot').catch(error => {
    if (!(error instanceof Lost)) throw error
  })
}

/** Reboot as the service is asked to, and wait until the job is over. */
export async function reboot(machine: Machine): Promise<Snapshot> {
  const before = machine.bootId()
  await askReboot(machine)
  await machine.rebooted(before)
  return machine.waitFor(
    ({ job }) => job !== null && job.state !== 'reboot' && ENDED.includes(job.state),
    'the end of the job after the reboot',
  )
}

/** `2.0 pending, 1.0 booted`: the boot order as ostree itself says it. */
export async function order(machine: Machine): Promise<string> {
  const said = await machine.run('ostree admin status')
  return said
    .split(/^(?=[* ] \w)/m)
    .map(block => {
      const version = /Version: (.*)/.exec(block)?.[1] ?? '?'
      const flag = block.startsWith('*') ? 'booted' : /\((pending|rollback)\)/.exec(block)?.[1]
      return [version, ...(flag ? [flag] : [])].join(' ')
    })
    .join(', ')
}
