/** A stick made by somebody who means no good, or whose stick is simply full: what is looked at, and what that costs, is bounded. */
import { link, mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/base/run.ts'
import type { PackageResult } from '../../src/builder/package.ts'
import { BOUNDS } from '../../src/media/scan.ts'
import type { Device } from '../kit/device.ts'
import { type Fitting, makeFitting } from '../kit/fitting.ts'
import { lacking, makeImage, plug } from '../kit/mounts.ts'
import { cli } from '../kit/operate.ts'

const MB = 1e6
const why = await lacking()

let fitting: Fitting
let lab: string
let device: Device
let two: PackageResult

describe.skipIf(why)(`the bounds of a stick${why ? ` (skipped: ${why})` : ''}`, () => {
  beforeAll(async () => {
    fitting = await makeFitting('2.0', 'two')
    ;({ folder: lab, device, offered: two } = fitting)
  })
  afterAll(() => fitting?.end())

  const ODD = [
    'line\nend.superblock',
    'right\u202eto-left.superblock',
    'line\u2028separator.superblock',
    'bell\u0007 \u001b[31mred.superblock',
  ]

  /** 20,000 files, more packages than are looked at, links that lead out, and names that would move a terminal's cursor. */
  async function makeFolder(): Promise<string> {
    const folder = join(lab, 'stick')
    await mkdir(join(folder, 'a/b/c/d'), { recursive: true })
    await writeFile(join(folder, 'a/b/c/d/deep.superblock'), 'x')
    await run(['sh', '-c', 'cd "$0" && seq -f "IMG_%g.JPG" 1 15000 | xargs touch', folder])
    await run(['sh', '-c', 'cd "$0/a/b" && seq -f "IMG_%g.JPG" 1 5000 | xargs touch', folder])
    await symlink('/etc/acme', join(folder, 'etc'))
    await symlink('..', join(folder, 'up'))
    await symlink('.', join(folder, 'round'))
    await symlink('/etc/acme/outside.superblock', join(folder, 'outside.superblock'))
    await writeFile(join(folder, 'package'), await readFile(two.file))
    for (const name of ODD) await link(join(folder, 'package'), join(folder, name))
    for (let i = 0; i < 290; i++) await link(join(folder, 'package'), join(folder, `p${i}.superblock`))
    return folder
  }

  test('it is listed within the bounds, nothing outside it is touched, and no memory is spent on it', async () => {
    await device.exec(['sh', '-c', 'cat >/etc/acme/outside.superblock'], { input: await readFile(two.file) })
    const folder = await makeFolder()
    const image = await makeImage('ext4', join(lab, 'stick.img'), folder, 128)
    const pid = (await device.service.pid()) as number
    const from = performance.now()
    const stick = await plug(device, image, 'FULL')
    let slowest = 0
    const poll = async () => {
      const asked = performance.now()
      const { offers } = await device.client.status()
      slowest = Math.max(slowest, performance.now() - asked)
      return offers.length
    }
    await expect.poll(poll, { timeout: 60_000, interval: 20 }).toBe(294)
    const took = performance.now() - from
    const { offers, media } = await device.client.status()
    const all = JSON.stringify(offers.map(offer => offer.path))
    expect(all).not.toContain('outside')
    expect(all).not.toContain('/etc/')
    expect(all).not.toContain('deep')
    expect(offers.filter(offer => offer.verdict.fits)).toHaveLength(294)
    expect(media.find(medium => medium.name === 'FULL')).toMatchObject({ state: 'ready' })

    const reader = (await children(pid)).find(child => child.command.includes('/FULL'))
    const memory = await device.service.memory()
    const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${reader?.pid}/status`, 'utf8'))?.[1]) * 1024
    const { stdout: watches } = await run([
      'sh',
      '-c',
      'cat /proc/$0/fdinfo/* | grep -c "^inotify wd"; :',
      `${reader?.pid}`,
    ])
    console.log(
      `20,000 files, 294 packages that fit: all judged after ${Math.round(took)} ms, status at most ${Math.round(slowest)} ms; ` +
        `memory of the service: peak ${Math.round(memory.peak / MB)} MB, of the reader: peak ${Math.round(peak / MB)} MB, ${Number(watches)} watches`,
    )
    expect(memory.peak).toBeLessThan(130 * MB)
    expect(peak).toBeLessThan(90 * MB)
    expect(Number(watches)).toBeLessThan(400)

    const { stdout } = await cli(device, 'list')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/)
    for (const escaped of [
      'line\\u000aend',
      'right\\u202eto-left',
      'line\\u2028separator',
      'bell\\u0007 \\u001b[31mred',
    ])
      expect(stdout).toContain(escaped)
    const id = offers.find(offer => offer.path.includes('\u2028'))?.id ?? ''
    expect(id).toBe(two.id)
    await stick.remove()
    await device.waitFor(({ offers }) => offers.length === 0, 'nothing')
  })

  test('what is beyond the bounds is said, and the top folder comes first', async () => {
    const folder = await mkdtemp(join(lab, 'many-'))
    await mkdir(join(folder, 'below'))
    for (let i = 0; i < BOUNDS.files; i++) await writeFile(join(folder, 'below', `p${i}.superblock`), 'x')
    await writeFile(join(folder, 'top.superblock'), 'x')
    const image = await makeImage('ext4', join(lab, 'many.img'), folder, 16)
    const stick = await plug(device, image, 'MANY')
    const { offers, media } = await device.waitFor(
      snapshot =>
        snapshot.media.some(medium => medium.code === 'too-many-files') && snapshot.offers.length >= BOUNDS.files,
      'the bound',
    )
    expect(offers).toHaveLength(BOUNDS.files)
    expect(offers.map(offer => offer.file)).toContain('top.superblock')
    expect(media.find(medium => medium.name === 'MANY')).toMatchObject({
      state: 'ready',
      text: 'there is more on it than is looked at; put the package into the top folder',
    })
    expect((await cli(device, 'list')).stdout).toContain('MANY: there is more on it than is looked at')
    await stick.remove()
    await device.waitFor(({ offers }) => offers.length === 0, 'nothing')
  })
})

async function children(pid: number): Promise<{ pid: number; command: string }[]> {
  const list = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean).map(Number)
  return Promise.all(
    list.map(async one => ({ pid: one, command: await readFile(`/proc/${one}/cmdline`, 'utf8').catch(() => '') })),
  )
}
