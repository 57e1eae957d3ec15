/** The program of superblock-trial.service, which systemd starts early where a release is on trial: `trial.js STATE_FOLDER`. */
import { asFailure } from './base/failure.ts'
import { watchTrial } from './boot/watch.ts'
import { openEngine } from './ostree/engine.ts'
import { bootedOf, deploymentId, deployments } from './ostree/status.ts'

const [folder = '/var/lib/superblock'] = process.argv.slice(2)
try {
  const booted = bootedOf(await deployments(openEngine(folder)))
  await watchTrial(folder, booted ? deploymentId(booted) : '', text => process.stdout.write(`${text}\n`))
  process.exit(0)
} catch (error) {
  process.stderr.write(`<3>${asFailure(error, 'watch over the trial').message}\n`)
  process.exit(1)
}
