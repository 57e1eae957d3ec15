/** The verbs that show something: what a technician reads and what a script reads. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Control, makeControl } from '../../kit/control.ts'
import { superblock } from '../../kit/io.ts'
import { deployment, job, medium, offer, refusedOffer, snapshot } from '../../kit/snapshots.ts'

let control: Control
beforeEach(async () => {
  control = await makeControl()
})
afterEach(() => control.close())
const run = (...argv: string[]) => superblock(['--socket', control.socket, ...argv])

test('status is one screen that says what runs, what a rollback returns to and what goes on', async () => {
  control.set(
    snapshot({
      media: [medium()],
      offers: [offer(), refusedOffer()],
      job: job(),
      problems: [{ code: 'no-keys', text: 'no usable key', next: 'put one there' }],
    }),
  )
  const { status, out } = await run('status')
  expect(status).toBe(0)
  expect(out).toMatch(/Device: +Press line 4/)
  expect(out).toMatch(/Running: +1\.0/)
  expect(out).toMatch(/Rollback to: +0\.9/)
  expect(out).toMatch(/Health: +good/)
  expect(out).toMatch(/Packages: +2 found, 1 of them fit; newest: 2\.0 {2}3fa9c2d17b60/)
  expect(out).toMatch(/Job: +Installing 2\.0: step 2 of 6, copying from the stick {2}25 % {2}1\.0 MB of 4\.0 MB/)
  expect(out).toMatch(/Problem: no usable key \(no-keys\)\n {2}put one there/)
  expect(out.split('\n').length).toBeLessThan(24)
})

test('status --json is the whole snapshot', async () => {
  control.set(snapshot({ offers: [offer()] }))
  expect(JSON.parse((await run('status', '--json')).out)).toEqual(snapshot({ offers: [offer()] }))
})

test('list: verdict and reason of each, the preselected one marked, media in trouble named', async () => {
  control.set(
    snapshot({
      media: [medium({ name: 'APPLE', state: 'trouble', text: 'its filesystem is APFS' })],
      offers: [refusedOffer(), offer()],
    }),
  )
  const { out } = await run('list')
  expect(out).toMatch(/^APPLE: its filesystem is APFS$/m)
  expect(out).toMatch(/^\* 3fa9c2d17b60 {2}2\.0 +fits +81\.0 MB {2}\/run.*gadget-2\.0\.superblock$/m)
  expect(out).toMatch(
    /^ {2}d{12} {2}- +unknown-signer .*other\.superblock\n {4}it was signed with a key that is not trusted/m,
  )
  expect(JSON.parse((await run('list', '--json')).out).offers).toHaveLength(2)
})

test('list: of several copies the one that the id means, and what is nearly a package', async () => {
  const misses = [
    {
      path: '/run/superblock/media/STICK/a/x.superblock.zip',
      file: 'x.superblock.zip',
      code: 'packed' as const,
      text: 'unpack it',
    },
  ]
  const copy = offer({ path: '/run/superblock/media/OLD/a.superblock', preselected: false, preferred: false })
  control.set(snapshot({ media: [medium({ misses })], offers: [copy, offer()] }))
  const { out } = await run('list')
  expect(out).toMatch(/^STICK: a\/x\.superblock\.zip: unpack it$/m)
  expect(out).toMatch(/OLD\/a\.superblock\n {4}another copy; to install this one, name the file\n\* /)
  control.set(snapshot({ media: [medium({ code: 'no-package', text: 'there is no package on it', misses })] }))
  expect((await run('list')).out).toBe(
    'STICK: there is no package on it\nSTICK: a/x.superblock.zip: unpack it\nNo packages found.\n',
  )
  expect((await run('status')).out).toMatch(/Media: +STICK \(vfat, ready, no-package\)/)
})

test('list says what to do when there is nothing', async () => {
  expect((await run('list')).out).toMatch(/No packages found. Insert a stick/)
})

test('names from a stick can neither move the cursor nor pass for others', async () => {
  const evil = 'a\u001b[2Jb\nfits\u202e.superblock'
  control.set(
    snapshot({
      media: [medium({ name: evil, state: 'trouble', text: evil })],
      offers: [refusedOffer({ path: `/m/${evil}`, file: evil, verdict: { fits: false, code: 'unsigned', why: evil } })],
      job: job({ to: { version: evil, commit: 'b2' }, state: 'failed', text: evil }),
    }),
  )
  for (const verb of ['status', 'list', 'deployments']) {
    const { out } = await run(verb)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    expect(out).not.toMatch(/[\u001b\u202e]|^fits/m)
  }
  expect((await run('list')).out).toContain('\\u001b[2Jb\\u000afits\\u202e')
})

test('deployments is a table', async () => {
  control.set(
    snapshot({ deployments: [deployment({ booted: true, pinned: true, version: '1.0', leftBecause: 'it smoked' })] }),
  )
  const { out } = await run('deployments')
  expect(out).toMatch(/^INDEX {2}VERSION {2}STATE +COMMIT/)
  expect(out).toMatch(/^0 +1\.0 +running, pinned +a1a1a1a1a1a1 .*it smoked$/m)
})

test.each([
  ['good', 0],
  ['bad', 6],
  ['checking', 0],
] as const)('health %s: exit status %i', async (verdict, expected) => {
  const checks = [{ name: 'printer', ok: verdict !== 'bad', required: true, seconds: 1.25, output: 'out of paper' }]
  control.set(snapshot({ health: { verdict, at: '2026-02-01T09:00:00Z', version: '1.0', current: true, checks } }))
  const { status, out } = await run('health')
  expect(status).toBe(expected)
  expect(out.includes('out of paper')).toBe(verdict === 'bad')
})

test('health of a device that was never checked', async () => {
  control.set(snapshot({ health: null }))
  expect(await run('health')).toMatchObject({ status: 0, out: 'No health check has run yet.\n' })
})

test('history: a line an entry, whatever it holds', async () => {
  control.entries = [
    { at: '2026-01-01T00:00:00Z', event: 'installed', prev: 'ab', version: '1.0', size: 3, empty: '' },
    { at: 'long ago', event: 'good', prev: 'cd' },
  ]
  const { status, out } = await run('history')
  expect(status).toBe(0)
  expect(out).toMatch(/installed {2}version=1\.0 {2}size=3$/m)
  expect(out).toMatch(/^long ago {2}good$/m)
})

test('history --verify: exit status 1 and the place when a line was changed', async () => {
  control.chain = { ok: true, lines: 7 }
  expect(await run('history', '--verify')).toMatchObject({ status: 0, out: expect.stringContaining('whole: 7 lines') })
  control.chain = { ok: false, lines: 7, brokenAt: 3 }
  const { status, err } = await run('history', '--verify')
  expect(status).toBe(1)
  expect(err).toMatch(/cannot trust the history: line 3 of 7/)
})

test('doctor: exit status 6 and the next action when something is wrong', async () => {
  control.examinations = [{ name: 'ostree', ok: true, text: 'ostree 2025.2' }]
  expect((await run('doctor')).status).toBe(0)
  control.examinations.push({ name: 'keys', ok: false, text: 'no usable key', next: 'put one into /etc' })
  const { status, out } = await run('doctor')
  expect(status).toBe(6)
  expect(out).toMatch(/ok +ostree: ostree 2025\.2/)
  expect(out).toMatch(/FAIL +keys: no usable key\n +next: put one into \/etc/)
})

test('doctor finds a problem of the device though every check was good', async () => {
  control.set(snapshot({ problems: [{ code: 'reboot-failed', text: 'cannot reboot', next: 'switch it off' }] }))
  const { status, out } = await run('doctor')
  expect(status).toBe(6)
  expect(out).toContain('cannot reboot (reboot-failed)')
})

test.each([
  ['pin', ['pin', '1'], ['pin', 1]],
  ['unpin', ['unpin', '0'], ['unpin', 0]],
  ['reboot', ['reboot'], ['reboot', undefined]],
])('%s asks the service for just that', async (_, argv, asked) => {
  const { status, out } = await run(...argv)
  expect(status).toBe(0)
  expect(out).not.toBe('')
  expect(control.asked).toEqual([asked])
})

test('cancel waits until what was done is taken back; where it comes too late it says how the job ended', async () => {
  control.job(job())
  control.on('cancel', () => {
    control.job(job({ phase: 'undoing' }))
    void control.told().then(() => control.job(job({ state: 'cancelled', phase: 'cancelled', code: 'cancelled' })))
  })
  const { status, out } = await run('cancel')
  expect([status, out]).toEqual([0, 'Cancelled. Nothing was changed.\n'])
  expect(control.asked).toEqual([['cancel', undefined]])
  control.on('cancel', () => control.job(job({ state: 'done', phase: 'done' })))
  control.job(job())
  expect(await run('cancel')).toMatchObject({ status: 1, out: 'Version 2.0 is installed and works.\n' })
})

test('a rollback that a hook refuses names both ways on', async () => {
  control.set(
    snapshot({ deployments: [deployment({ index: 0, booted: true }), deployment({ index: 1, rollback: true })] }),
  )
  const refused = { state: 'failed', phase: 'failed', code: 'hook-failed', text: 'no' } as const
  control.on('rollback', () => control.job(job({ ...refused, kind: 'rollback', facts: { hook: '10', said: 'no' } })))
  const { status, err } = await run('rollback', '--reason', 'x', '--yes')
  expect(status).toBe(5)
  expect(err).toContain('superblock rollback --force')
})
