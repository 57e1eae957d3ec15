/** Throw-away OpenPGP keys made by the real gpg. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunResult, run } from '../../src/base/run.ts'

export interface KeyHome {
  folder: string
  gpg(argv: readonly string[], input?: string | Uint8Array): Promise<RunResult>
  /** make a key without a passphrase; @returns its fingerprint */
  generate(userId: string, algorithm?: string, expires?: string): Promise<string>
  /** the public key, armored */
  publicKey(fingerprint: string): Promise<string>
  /** the secret key, armored */
  secretKey(fingerprint: string): Promise<string>
  /** a detached binary-mode signature, armored */
  sign(data: Uint8Array, fingerprint: string): Promise<string>
  /** end gpg's agent and remove the folder */
  close(): Promise<void>
}

export async function makeKeyHome(): Promise<KeyHome> {
  // Directly below /tmp: the agent's socket lies in it, and a socket's path has room for 107 characters.
  const folder = await mkdtemp(join('/tmp', 'sb-gpg-'))
  const env = { GNUPGHOME: folder }
  const gpg = (argv: readonly string[], input?: string | Uint8Array) =>
    run(['gpg', '--batch', '--yes', '--pinentry-mode=loopback', '--passphrase=', ...argv], { env, input })
  const output = async (argv: readonly string[], input?: string | Uint8Array) => (await gpg(argv, input)).stdout
  return {
    folder,
    gpg,
    async generate(userId, algorithm = 'ed25519', expires = 'never') {
      const said = await output(['--status-fd=1', '--quick-generate-key', userId, algorithm, 'sign', expires])
      const fingerprint = /KEY_CREATED \w ([0-9A-F]{40})/.exec(said)?.[1]
      if (!fingerprint) throw new Error(`cannot make a key for ${userId}: ${said}`)
      return fingerprint
    },
    publicKey: fingerprint => output(['--armor', '--export', fingerprint]),
    secretKey: fingerprint => output(['--armor', '--export-secret-keys', fingerprint]),
    sign: (data, fingerprint) => output(['--armor', '--local-user', fingerprint, '--detach-sign', '-'], data),
    async close() {
      await run(['gpgconf', '--kill', 'all'], { env })
      await rm(folder, { recursive: true, force: true })
    },
  }
}
