/** A command that must not be cut short outlives the process that started it, and its successor waits for it. */
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isThere } from '../../../src/base/files.ts'
import { run, runUninterrupted, settled, start } from '../../../src/base/run.ts'
import { PROJECT } from '../../kit/project.ts'

let lab: string
let where: { lock: string; folder: string }
beforeEach(async () => {
  lab = await mkdtemp(join(tmpdir(), 'sb-run-'))
  where = { lock: join(lab, 'private/lock'), folder: join(lab, 'private') }
  await mkdir(where.folder)
})
afterEach(() => rm(lab, { recursive: true, force: true }))

const shell = (script: string) => runUninterrupted(['sh', '-c', script, 'sh', lab], where)
const left = async () => (await readdir(where.folder)).filter(name => name !== 'lock')
async function until(is: () => Promise<boolean>) {
  while (!(await is())) await sleep(10)
}

test('it has its output, its status, and leaves nothing behind', async () => {
  expect(await shell('echo out; echo err >&2')).toEqual({ stdout: 'out\nerr\n', stderr: '', status: 0 })
  await expect(shell('echo "error: no space" ; exit 3')).rejects.toMatchObject({
    code: 'command-failed',
    message: 'cannot run sh -c echo "error: no space" ; exit 3: exit status 3: no space',
  })
  await expect(shell('kill -9 $$')).rejects.toThrow(/ended by SIGKILL/)
  await expect(runUninterrupted(['/no/such/command'], where)).rejects.toMatchObject({ code: 'command-missing' })
  expect(await left()).toEqual([])
  await settled(where.lock)
})

test('of much output the end is kept', async () => {
  const { stdout } = await shell('yes 0123456789 | head -c 3000000; echo; echo last')
  expect(stdout.length).toBe(1024 * 1024)
  expect(stdout.endsWith('\nlast\n')).toBe(true)
})

test('two of them never run at once', async () => {
  const step = 'test ! -e "$1/busy" && : >"$1/busy" && sleep 0.2 && rm "$1/busy"'
  await Promise.all([shell(step), shell(step), shell(step)])
})

test('SIGKILL of the parent: it goes on to its end, and only then is the lock settled', async () => {
  await writeFile(
    join(lab, 'parent.ts'),
    `import { runUninterrupted } from ${JSON.stringify(join(PROJECT, 'src/base/run.ts'))}
     const [lock, folder, lab] = process.argv.slice(2)
     const script = ': >"$1/started"; until test -e "$1/go"; do sleep 0.02; done; echo said; echo done >"$1/done"'
     await runUninterrupted(['sh', '-c', script, 'sh', lab], { lock, folder })`,
  )
  const program = join(lab, 'parent.mjs')
  const bundling = { bundle: true, platform: 'node', format: 'esm', logLevel: 'warning' } as const
  await build({ entryPoints: [join(lab, 'parent.ts')], outfile: program, ...bundling })
  const parent = start([process.execPath, program, where.lock, where.folder, lab], 'ignore')
  await until(() => isThere(join(lab, 'started')))
  parent.kill('SIGKILL')
  await once(parent, 'exit')

  let over = false
  const waiting = settled(where.lock).then(() => {
    over = true
  })
  // What comes next takes its turn as well.
  const next = shell('cat "$1/done"')
  await run(['sleep', '0.3'])
  expect(over).toBe(false)
  await writeFile(join(lab, 'go'), '')
  await waiting
  expect(await readFile(join(lab, 'done'), 'utf8')).toBe('done\n')
  expect((await next).stdout).toBe('done\n')
  expect(await left()).toEqual([])
})

test('a time limit ends the children of a command too', async () => {
  const slow = run(['sh', '-c', 'sleep 600 & wait'], { timeout: 200 })
  await expect(slow).rejects.toMatchObject({ code: 'command-timeout' })
})
