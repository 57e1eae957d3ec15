/** Signatures by the gpg program, so that keys in its keyring, on a smartcard or behind an agent elsewhere can be used. */
import { readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Failure } from '../base/failure.ts'
import { isThere } from '../base/files.ts'
import { run } from '../base/run.ts'
import { loadKeys, signerOf } from '../package/signature.ts'
import { withScratch } from './work.ts'

/** A signature in the form that a package wants. */
export interface Made {
  /** of the primary key */
  fingerprint: string
  armor: string
  made: Date
  userId: string
}

const gpg = (homedir: string | undefined, terminal: string | undefined, rest: readonly string[]): string[] => [
  'gpg',
  ...(homedir === undefined ? [] : [`--homedir=${homedir}`]),
  ...(terminal === undefined ? ['--batch'] : []),
  ...rest,
]

/** Bytes of the path of a socket (unix(7)), and the longest name of those that gpg's agent makes in its home folder. */
const SOCKET_PATH = 107
const SOCKET = '/S.gpg-agent.browser'

/**
 * Do something with gpg's home folder under a name that is short enough for sockets: where its path is too long, as in a build
 * tree, a link to it. An agent that this starts ends with it.
 * @param homedir the usual one, when none is given
 */
export async function withGpgHome<T>(
  homedir: string | undefined,
  task: (homedir: string | undefined) => Promise<T>,
): Promise<T> {
  const home = resolve(homedir ?? process.env.GNUPGHOME ?? join(process.env.HOME ?? '/', '.gnupg'))
  if (Buffer.byteLength(home + SOCKET) <= SOCKET_PATH) return task(homedir)
  const running = await isThere(join(home, 'S.gpg-agent'))
  return withScratch('/tmp', async folder => {
    const link = join(folder, 'gnupg')
    await symlink(home, link)
    try {
      return await task(link)
    } finally {
      if (!running) await run(['gpgconf', `--homedir=${link}`, '--kill', 'gpg-agent']).catch(() => {}) // none was started
    }
  })
}

/** @throws Failure `no-secret-key` unless gpg has the secret key, or knows the smartcard that has it */
export const checkGpgKey = (key: string, homedir?: string): Promise<void> =>
  withGpgHome(homedir, async home => {
    const found = await run(gpg(home, undefined, ['--with-colons', '--list-secret-keys', '--', key]), { accept: [2] })
    if (found.status === 0 && /^sec/m.test(found.stdout)) return
    const said = found.stderr.trim().split('\n').at(-1) ?? ''
    const why = /No secret key/.test(said) ? 'gpg has no secret key of that name' : said
    throw new Failure('no-secret-key', `cannot sign with ${key}: ${why}; see gpg --list-secret-keys`)
  })

/**
 * A detached signature by gpg's key `key`, checked as a device would check it. gpg asks for passphrases and cards on the
 * terminal, if there is one.
 * @throws Failure `command-failed` with what gpg says, and those of `signerOf`
 */
export const gpgSign = (bytes: Uint8Array, key: string, homedir?: string, signal?: AbortSignal): Promise<Made> =>
  withGpgHome(homedir, home => signIn(home, bytes, key, signal))

function signIn(
  homedir: string | undefined,
  bytes: Uint8Array,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Made> {
  return withScratch(tmpdir(), async folder => {
    const [data, signature, publicKey] = ['data', 'signature', 'public.asc'].map(name => join(folder, name)) as [
      string,
      string,
      string,
    ]
    await writeFile(data, bytes)
    const terminal = await terminalName()
    // SHA-512 suits every kind of key; some refuse shorter ones.
    const how = ['--digest-algo=SHA512', '--no-textmode', '--armor', '--status-fd=1', `--output=${signature}`]
    const { stdout } = await run(gpg(homedir, terminal, [...how, `--local-user=${key}`, '--detach-sign', '--', data]), {
      signal,
      env: terminal === undefined ? {} : { GPG_TTY: terminal },
    })
    const fingerprint = /SIG_CREATED .* ([0-9A-F]{40,64})$/m.exec(stdout)?.[1]
    if (!fingerprint) throw new Failure('command-failed', `cannot sign with ${key}: gpg made no signature`)
    const exported = await run(gpg(homedir, undefined, ['--armor', '--export', '--', fingerprint]))
    await writeFile(publicKey, exported.stdout)
    return signerOf(bytes, await readFile(signature), await loadKeys([publicKey]))
  })
}

/** The terminal that gpg's questions go to: its programs cannot find it by themselves when their output is a pipe. */
async function terminalName(): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined
  return process.env.GPG_TTY ?? (await readlink('/proc/self/fd/0').catch(() => undefined))
}
