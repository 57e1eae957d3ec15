/**
 * A trial in U-Boot's own environment, on boards whose U-Boot counts by itself (CONFIG_BOOTCOUNT_ENV): while upgrade_available
 * is 1 it adds one to bootcount at each start, and beyond bootlimit runs altbootcmd instead of bootcmd.
 */
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { runUnconfined } from '../base/unconfined.ts'
import type { BootLoader } from './bootloader.ts'

/** Seconds for a command that reads or writes a few kilobytes of flash. */
const PATIENCE = 30

/**
 * The environment as a boot loader that counts, where its place is configured and the board's maker has prepared it by
 * setting upgrade_available and altbootcmd; otherwise undefined.
 * @param config path of fw_env.config
 */
export async function findEnvironment(config: string): Promise<BootLoader | undefined> {
  if (!(await isThere(config))) return undefined
  const variables = await printed(config).catch(() => undefined)
  return variables?.has('upgrade_available') && variables.has('altbootcmd') ? environment(config) : undefined
}

const environment = (config: string): BootLoader => ({
  name: "U-Boot's bootcount",
  // bootlimit=0 would mean that there is no limit: no starts left is a count that has reached a limit of one.
  arm: ({ release }, tries) =>
    release === ''
      ? clear(config)
      : set(config, {
          trial_id: release,
          upgrade_available: '1',
          bootlimit: String(Math.max(1, tries)),
          bootcount: tries === 0 ? '1' : '0',
        }),
  clear: () => clear(config),
  async read() {
    const variables = await printed(config)
    const id = variables.get('trial_id')
    if (!id || variables.get('upgrade_available') !== '1') return undefined
    const used = Number(variables.get('bootcount') ?? 0)
    return { id, tries: Math.max(0, Number(variables.get('bootlimit') ?? 0) - used) }
  },
})

async function clear(config: string): Promise<void> {
  const variables = await printed(config)
  if (variables.get('trial_id') || variables.get('upgrade_available') !== '0')
    await set(config, { trial_id: '', upgrade_available: '0', bootcount: '0' })
}

async function printed(config: string): Promise<Map<string, string>> {
  const { stdout } = await command(['fw_printenv', '--config', config])
  const lines = stdout.split('\n').filter(line => line.includes('='))
  return new Map(lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

/** All at once: the environment is written as a whole. */
async function set(config: string, variables: { [name: string]: string }): Promise<void> {
  const input = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`)
  await command(['fw_setenv', '--config', config, '--script', '-'], input.join(''))
}

/** The flash is a device, which the service itself may not open. */
async function command(argv: readonly string[], input?: string) {
  const [name = ''] = argv
  const result = await runUnconfined(argv, { name, seconds: PATIENCE, input })
  if (result.status === 0) return result
  throw new Failure('uboot-env', `cannot run ${name}: ${result.stderr.trim() || `exit status ${result.status}`}`)
}
