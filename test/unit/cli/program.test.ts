/** The command line as such: help, versions, wrong usage, and what becomes of failures. */
import { expect, test } from 'vitest'
import { superblock } from '../../kit/io.ts'

const VERBS =
  'status list inspect verify install cancel deployments rollback pin unpin health history console doctor reboot'.split(
    ' ',
  )

test('--version and --help need neither service nor configuration', async () => {
  expect(await superblock(['--version'])).toEqual({ status: 0, out: '1.2.3\n', err: '' })
  const { status, out } = await superblock(['--help'])
  expect(status).toBe(0)
  for (const verb of VERBS) expect(out).toMatch(new RegExp(`^  ${verb}\\b`, 'm'))
  for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 130]) expect(out).toMatch(new RegExp(`^  ${code}  `, 'm'))
})

test.each(VERBS)('%s --help says what it does, with an example and its exit statuses', async verb => {
  const { status, out } = await superblock([verb, '--help'])
  expect(status).toBe(0)
  expect(out).toMatch(new RegExp(`Usage: superblock ${verb}`))
  expect(out).toMatch(new RegExp(`Example:\n  superblock ${verb}`))
  expect(out).toMatch(/Exit status: 0/)
  expect(out).toContain('--json')
  expect(out).toContain('--socket')
})

test.each([
  ['an unknown verb', ['improve']],
  ['an unknown option', ['status', '--fast']],
  ['a missing argument', ['install']],
  ['no verb', []],
  ['an index that is none', ['pin', 'one', '--socket', '/nonexistent']],
])('%s: exit status 2, nothing on standard output', async (_, argv) => {
  const { status, out, err } = await superblock(argv)
  expect(status).toBe(2)
  expect(out).toBe('')
  expect(err).not.toBe('')
})

test.each(VERBS.filter(verb => !['inspect', 'verify', 'console'].includes(verb)))(
  '%s without the service: exit status 3 and what to do next',
  async verb => {
    const more: Record<string, string[]> = {
      install: ['12345678'],
      pin: ['1'],
      unpin: ['1'],
      rollback: ['--yes', '--reason=x'],
    }
    const { status, out, err } = await superblock([verb, ...(more[verb] ?? []), '--socket', '/nonexistent/s'])
    expect(status).toBe(3)
    expect(out + err).toMatch(
      /cannot reach the service at \/nonexistent\/s: it is not running.*systemctl status superblockd/,
    )
  },
)

test('with --json a failure has its code on standard output too', async () => {
  const { status, out, err } = await superblock(['--json', 'status', '--socket', '/nonexistent/s'])
  expect(status).toBe(3)
  expect(JSON.parse(out)).toEqual({ error: { code: 'service-down', message: expect.stringMatching(/^cannot /) } })
  expect(err).toMatch(/^superblock: cannot /)
})

const EVIL = '/x/\u001b[31m\u202e\u009b\u{e0041}\u2800\nsuperblock: done'

test.each([
  ['install', ['install', EVIL]],
  ['verify', ['verify', EVIL]],
  ['inspect', ['inspect', EVIL]],
  ['a key', ['verify', '--key', EVIL, '/etc/hostname']],
  ['an unknown verb', [EVIL]],
  ['an unknown option', ['status', `--${EVIL}`]],
  ['an index', ['pin', EVIL]],
  ['the socket', ['status', '--socket', EVIL]],
  ['the socket, in JSON', ['status', '--json', '--socket', EVIL]],
])('what was typed is repeated so that it cannot steer the terminal: %s', async (_, argv) => {
  const { status, out, err } = await superblock(argv)
  expect(status).not.toBe(0)
  expect(err).not.toMatch(/[^\P{C}\n]|[\u2800\u{e0041}]|^superblock: done/mu)
  expect(out).not.toMatch(/[^\P{C}\n]|[\u2800\u{e0041}]/u)
  expect(err).toContain('\\u001b[31m\\u202e\\u009b\\u{e0041}\\u2800\\u000asuperblock: done')
})
