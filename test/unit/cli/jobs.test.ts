/** The verbs that start a job and watch it: how they end, what they leave alone, and what they survive. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import type { JobInfo } from '../../../src/control/protocol.ts'
import { type Control, makeControl } from '../../kit/control.ts'
import { superblock } from '../../kit/io.ts'
import { deployment, job, offer, progress, snapshot } from '../../kit/snapshots.ts'

const ID = '3fa9c2d17b60'
let control: Control
beforeEach(async () => {
  control = await makeControl()
})
afterEach(() => control.close())
const run = (...argv: string[]) => superblock(['--socket', control.socket, ...argv])
const type = (lines: string[], ...argv: string[]) => superblock(['--socket', control.socket, ...argv], lines)

/** The job's life: whoever watches is told of each of its snapshots. */
function play(verb: 'install' | 'rollback', ...life: Partial<JobInfo>[]): void {
  const live = async () => {
    const [first, ...rest] = life
    control.job(job(first))
    await control.told() // in the answer
    await control.told()
    for (const over of rest) {
      control.job(job(over))
      await control.told()
    }
  }
  control.on(verb, () => void live())
}

const INSTALL: Partial<JobInfo>[] = [
  { progress: progress({ step: 'stage', at: 2, bytesDone: 0 }) },
  { progress: progress({ step: 'stage', at: 2, bytesDone: 4_000_000 }) },
  { progress: progress({ step: 'deploy', at: 5, bytesDone: 0, bytesTotal: 0 }), stick: 'remove' },
  { state: 'reboot', stick: 'remove', text: 'Version 2.0 is installed and starts with the next reboot.' },
]

test('install waits for the end and tells each thing once', async () => {
  play('install', ...INSTALL)
  const { status, out, err } = await run('install', ID.toUpperCase())
  expect([status, err]).toEqual([0, ''])
  expect(control.asked).toEqual([['install', { id: ID }]])
  expect(out.split('\n')).toEqual([
    expect.stringMatching(/^Installing 2\.0: step 2 of 6, copying from the stick {2}0 %/),
    'Leave the stick in.',
    expect.stringMatching(/copying from the stick {2}100 %/),
    'Installing 2.0: step 5 of 6, making the release bootable',
    'The stick may be removed now.',
    'Installing 2.0: ready: reboot to finish',
    'Version 2.0 is installed and starts with the next reboot.',
    '',
  ])
})

test('on a terminal install draws one line over and prints the sentence about the stick when it changes', async () => {
  play('install', ...INSTALL)
  const { status, out: raw } = await type([], 'install', ID)
  const out = raw.replaceAll('\r\u001b[K', '<line>')
  expect(status).toBe(0)
  expect(out).toMatch(/<line>Installing 2\.0 2\/6 \[-{20}\]/)
  expect(out).toMatch(/<line>Installing 2\.0 2\/6 \[#{20}\]/)
  expect(out.match(/<line>Leave the stick in\.\n/g)).toHaveLength(1)
  expect(out.match(/<line>The stick may be removed now\.\n/g)).toHaveLength(1)
})

// Known codes are said in the console's words; what this version does not know, in the service's own.
test.each([
  [
    'failed',
    { state: 'failed', phase: 'failed', code: 'media-error', text: '' },
    5,
    'The stick cannot be read any further. Nothing was changed: the device runs version 1.0.',
  ],
  [
    'refused after all',
    { state: 'failed', phase: 'failed', code: 'changed', text: '' },
    4,
    'The file is no longer the package that was shown. Nothing was changed: the device runs version 1.0.',
  ],
  [
    'cancelled',
    { state: 'cancelled', phase: 'cancelled', code: 'cancelled', text: '' },
    5,
    'Cancelled. Nothing was changed.',
  ],
  ['fell back', { state: 'fell-back', code: 'health-bad', text: 'It was not healthy' }, 5, 'It was not healthy'],
  ['going back', { state: 'reboot', code: 'health-bad', text: 'It was not healthy' }, 5, 'It was not healthy'],
  ['done', { state: 'done', phase: 'done', text: '' }, 0, ''],
] as [string, Partial<JobInfo>, number, string][])('an install that ends %s', async (_, end, expected, said) => {
  play('install', {}, end)
  const { status, err } = await run('install', ID)
  expect(status).toBe(expected)
  expect(err).toBe(expected === 0 ? '' : `superblock: ${said} (${end.code})\n`)
})

test('an id means the file that list shows for it; where it means none, the service says so', async () => {
  const copy = offer({ path: '/m/OLD/a.superblock', preselected: false, preferred: false })
  const other = offer({ id: `${ID.slice(0, 10)}${'0'.repeat(54)}`, path: '/m/other.superblock' })
  control.set(snapshot({ offers: [copy, offer({ id: copy.id })] }))
  control.refuse('install', new Failure('busy', 'cannot begin'))
  await run('install', ID)
  await run('install', ID.slice(0, 9), '--allow-downgrade')
  await run('install', 'ffffffff')
  control.set(snapshot({ offers: [offer(), other] }))
  await run('install', ID.slice(0, 9))
  expect(control.asked.map(([, what]) => what)).toEqual([
    { id: offer().id, path: offer().path },
    { id: offer().id, path: offer().path, allowDowngrade: true },
    { id: 'ffffffff' },
    { id: ID.slice(0, 9) },
  ])
})

test('a stick that was pulled is waited for', async () => {
  play('install', {}, { state: 'paused', code: 'media-gone', text: 'Put the stick back' }, {}, { state: 'done' })
  const { status, out } = await run('install', ID)
  expect(status).toBe(0)
  expect(out).toContain('Put the stick back, or another with the same package. It continues by itself. (media-gone)')
})

test('a refusal: exit status 4 with its code; a busy service: 7', async () => {
  control.refuse('install', new Failure('older', 'cannot install it: it is older than what was installed'))
  expect(await run('install', ID)).toMatchObject({ status: 4, err: expect.stringContaining('(older)') })
  control.refuse('install', new Failure('busy', 'cannot begin: another job is not over yet'))
  expect((await run('install', ID)).status).toBe(7)
})

test('a path that exists is sent whole, and options with it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sb-install-'))
  try {
    const path = join(folder, 'a.superblock')
    await writeFile(path, '')
    control.set(snapshot({ job: job() }))
    const { status, out } = await run(
      'install',
      `${folder}/../${folder.split('/').pop()}/a.superblock`,
      '--allow-downgrade',
      '--no-wait',
    )
    expect(status).toBe(0)
    expect(out).toContain('job-1')
    expect(control.asked).toEqual([['install', { path, allowDowngrade: true }]])
    expect((await run('install', folder)).status).toBe(2)
  } finally {
    await rm(folder, { recursive: true })
  }
  expect(await run('install', join(folder, 'a.superblock'))).toMatchObject({
    status: 1,
    err: expect.stringContaining('no such file'),
  })
  expect((await run('install', '3fa9c2d')).status).toBe(2)
  expect(control.asked).toHaveLength(1)
})

test('Ctrl-C stops the watching, not the job', async () => {
  control.on('install', () => {
    control.job(job())
    setTimeout(() => process.emit('SIGINT'), 300)
  })
  const { status, err } = await run('install', ID)
  expect(status).toBe(130)
  expect(err).toContain('The job goes on')
  expect(control.asked).toEqual([['install', { id: ID }]])
})

test('a restart of the service in the middle is waited out', async () => {
  control.on('install', () => {
    control.job(job())
    setTimeout(async () => {
      await control.stop()
      control.job(job({ state: 'done', text: '' }))
      setTimeout(() => void control.listen(), 700)
    }, 200)
  })
  expect(await run('install', ID)).toMatchObject({
    status: 0,
    out: expect.stringContaining('Version 2.0 is installed and works.'),
  })
})

test('a job that another one replaced is not taken for it', async () => {
  play('install', {}, { id: 'job-2', state: 'done' })
  expect(await run('install', ID)).toMatchObject({ status: 1, err: expect.stringContaining('superblock history') })
})

test('install --json answers once, with the job as it ended', async () => {
  play('install', {}, { state: 'done' })
  const { status, out } = await run('install', ID, '--json')
  expect(status).toBe(0)
  expect(JSON.parse(out).job).toMatchObject({ id: 'job-1', state: 'done' })
})

const GONE_BACK: Partial<JobInfo> = {
  kind: 'rollback',
  state: 'reboot',
  to: { version: '0.9', commit: '09' },
  stick: 'none',
  text: 'Version 0.9 starts next',
}

test('rollback on a terminal shows the consequences, asks why and asks again', async () => {
  play('rollback', GONE_BACK)
  const { status, out } = await type(['it smoked', 'y'], 'rollback')
  expect(status).toBe(0)
  expect(out).toContain('From 1.0 to 0.9')
  expect(out).toContain('It was left because: update to 1.0')
  expect(control.asked).toEqual([['rollback', { index: 1, reason: 'it smoked' }]])
})

test.each([
  ['no answer to the reason', ['']],
  ['anything but yes', ['it smoked', '']],
  ['a no', ['it smoked', 'n']],
])('rollback with %s changes nothing', async (_, lines) => {
  expect((await type(lines, 'rollback')).status).not.toBe(0)
  expect(control.asked).toEqual([])
})

test('rollback without a terminal needs --yes and --reason, and can reboot at once', async () => {
  play('rollback', GONE_BACK)
  expect((await run('rollback', '--reason', 'x')).status).toBe(2)
  expect((await run('rollback', '--yes')).status).toBe(2)
  expect(control.asked).toEqual([])
  expect((await run('rollback', '1', '--yes', '--reason', 'x', '--reboot')).status).toBe(0)
  expect(control.asked).toEqual([
    ['rollback', { index: 1, reason: 'x' }],
    ['reboot', undefined],
  ])
})

test('rollback that fails does not reboot', async () => {
  play('rollback', { ...GONE_BACK, state: 'failed', code: 'command-failed', text: 'It did not work' })
  expect((await run('rollback', '--yes', '--reason', 'x', '--reboot')).status).toBe(5)
  expect(control.asked.map(([verb]) => verb)).toEqual(['rollback'])
})

test('rollback to nothing, to an unknown index, and to what runs', async () => {
  const argv = ['rollback', '--yes', '--reason', 'x']
  expect(await run(...argv, '7')).toMatchObject({ status: 1, err: expect.stringContaining('not-found') })
  expect(await run(...argv, '0')).toMatchObject({ status: 1, err: expect.stringContaining('already-booted') })
  control.set(snapshot({ deployments: [deployment({ booted: true })] }))
  expect(await run(...argv)).toMatchObject({ status: 1, err: expect.stringContaining('no earlier release') })
  control.set(snapshot({ deployments: [deployment({ booted: true }), deployment({ index: 1 })] }))
  expect(await run(...argv)).toMatchObject({ status: 1, err: expect.stringContaining('was found good') })
  expect(control.asked).toEqual([])
})
