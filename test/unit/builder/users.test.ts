/** System users and groups of a release, and what the real systemd-sysusers makes of them on devices. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../../src/base/run.ts'
import { sysusers, writeUsers } from '../../../src/builder/tree/users.ts'

const PASSWD = `root:x:0:0:root:/root:/bin/bash
www-data:x:33:33:web, "100 %" \\ x:/var/www:/usr/sbin/nologin
acmed:x:999:998::/var/lib/acme:
games:x:5:100::/usr/games:/usr/sbin/nologin
tech:x:1000:1000:A person:/home/tech:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
+nis::::::
bad name:x:7:7:::
`
const GROUP = `root:x:0:
www-data:x:33:acmed
acme:x:998:
dialout:x:20:acmed,tech,root
users:x:100:
big:x:1005:acmed
tech:x:1000:
nogroup:x:65534:
`

test('users and groups of the system are there with their ids, people are not', () => {
  expect(sysusers(PASSWD, GROUP, '')).toEqual([
    'g www-data 33',
    'g acme 998',
    'g dialout 20',
    'g users 100',
    'u www-data 33:33 "web, \\"100 %%\\" \\\\ x" "/var/www" "/usr/sbin/nologin"',
    'u acmed 999:998 - "/var/lib/acme" -',
    'u games 5:100 - "/usr/games" "/usr/sbin/nologin"',
    'm acmed www-data',
    'm acmed dialout',
  ])
  expect(sysusers(PASSWD, GROUP, 'UID_MIN\t\t500\nGID_MIN 500\n')).not.toContain('u acmed 999:998 - "/var/lib/acme" -')
  expect(sysusers('root:x:0:0:root:/root:/bin/sh\n', 'root:x:0:\n', '')).toEqual([])
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'users-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A device whose own /etc/passwd and /etc/group these are, after the first start of the release. */
async function started(name: string, passwd: string, group: string) {
  const device = join(folder, name)
  await mkdir(join(device, 'etc'), { recursive: true })
  await writeFile(join(device, 'etc/passwd'), PASSWD)
  await writeFile(join(device, 'etc/group'), GROUP)
  await writeUsers(device)
  // What packages bring lets the device choose.
  await writeFile(join(device, 'usr/lib/sysusers.d/acme.conf'), 'u acmed - "Acme" /var/lib/acme\nm acmed www-data\n')
  await writeFile(join(device, 'etc/passwd'), passwd)
  await writeFile(join(device, 'etc/group'), group)
  await run(['systemd-sysusers', `--root=${device}`])
  const read = async (file: string) => (await readFile(join(device, 'etc', file), 'utf8')).trim().split('\n')
  return { passwd: await read('passwd'), group: await read('group') }
}

test('they come to a device whose files were changed, with the ids of the tree', async context => {
  const { status } = await run(['sh', '-c', 'command -v systemd-sysusers'], { accept: [1, 127] })
  if (status !== 0) context.skip('systemd-sysusers is not installed')
  const own = ['root:x:0:0:root:/root:/bin/bash', 'site:x:1001:1001::/home/site:/bin/sh']
  const before = await started('changed', `${own.join('\n')}\n`, 'root:x:0:\nsite:x:1001:\n')
  expect(before.passwd).toEqual(expect.arrayContaining(own))
  expect(before.passwd).toContain('acmed:x:999:998::/var/lib/acme:/usr/sbin/nologin')
  expect(before.passwd).toContain('www-data:x:33:33:web, "100 %" \\ x:/var/www:/usr/sbin/nologin')
  expect(before.passwd).toContain('games:x:5:100::/usr/games:/usr/sbin/nologin')
  expect(before.passwd.join()).not.toContain('tech')
  expect(before.group).toEqual(expect.arrayContaining(['acme:x:998:', 'users:x:100:', 'dialout:x:20:acmed']))
  // Where the files are the release's own, nothing is added to them.
  const same = await started('same', PASSWD, GROUP)
  expect(same).toEqual({ passwd: PASSWD.trim().split('\n'), group: GROUP.trim().split('\n') })
})
