/** What every command gets: its surroundings, whether to answer in JSON, and the way to the service. */

import type { Config } from '../config.ts'
import type { Client } from '../control/client.ts'
import { usage } from './exit.ts'
import type { Io } from './io.ts'

export interface Context {
  io: Io
  json: boolean
  /** read when first needed: a broken configuration must not take `--help` or `--socket PATH` with it */
  config(): Promise<Config>
  socket(): Promise<string>
  client(): Promise<Client>
}

/** @param options the program's own options */
export function makeContext(io: Io, options: { json?: boolean; socket?: string }): Context {
  const config = async () => (await import('../config.ts')).loadConfig()
  const socket = async () => options.socket ?? (await config()).socket
  const client = async () => (await import('../control/client.ts')).connect(await socket())
  return { io, json: options.json === true, config, socket, client }
}

/** A deployment's number as typed. @throws Failure `usage` */
export function parseIndex(text: string): number {
  if (!/^\d{1,3}$/.test(text))
    throw usage(`cannot use '${text}' as an index: give a number of \`superblock deployments\``)
  return Number(text)
}
