/** What is known of files on media: how long a verdict stays, which copy is taken, what is waited for, and how much is kept. */
import { expect, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { makeLog } from '../../../src/base/log.ts'
import type { Manifest } from '../../../src/package/manifest.ts'
import { refuse } from '../../../src/trust.ts'
import type { Look } from '../../../src/update/examine.ts'
import { openOffers } from '../../../src/update/offers.ts'
import { smallManifest } from '../../kit/packages.ts'

const A = { path: '/m/A' }
const B = { path: '/m/B' }
const idOf = (version: string) => version.replaceAll('.', '').padEnd(64, '0')
const manifestOf = (version: string, metadata = {}): Manifest =>
  ({ ...smallManifest(), version, timestamp: `20${version.padStart(2, '0')}-01-01T00:00:00Z`, metadata }) as Manifest

/** Offers of files that hold what `content` says: a version, or what is thrown or waited for instead. */
function make() {
  const content = new Map<string, string | Failure | Promise<never>>()
  const asked: [string, string | undefined][] = []
  const trouble = new Set<string>()
  let metadata = {}
  const look: Look = async (path, examined, suspect) => {
    asked.push([path, suspect])
    const what = await content.get(path)
    if (what === undefined || typeof what !== 'string') throw what
    if (what === 'older') return refuse('older', 'it is older')
    Object.assign(examined, { id: idOf(what), manifest: manifestOf(what, metadata) })
    return { plan: {} } as never
  }
  const offers = openOffers(
    look,
    () => true,
    () => trouble,
    () => {},
    makeLog('silent'),
  )
  const put = async (medium: { path: string }, name: string, what: string | Failure | Promise<never>, sign = '1') => {
    const path = `${medium.path}/${name}`
    content.set(path, what)
    offers.found(medium, { path, size: 1, sign })
    if (!(what instanceof Promise)) await offers.idle()
    return path
  }
  const verdict = (path: string) => {
    const found = offers.at(path)?.verdict
    return found?.fits ? 'fits' : found?.code
  }
  const describe = (next: object) => {
    metadata = next
  }
  return { offers, put, verdict, content, asked, trouble, describe }
}

const wrong = (member?: string) => new Failure('tampered', 'cannot accept it', member ? { facts: { member } } : {})

test('a damaged member is looked at again with its file, as long as that may be the same one', async () => {
  const { offers, put, verdict, content, asked } = make()
  const path = await put(A, 'x', '2.0')
  offers.damaged(path, wrong('objects/1'))
  expect(verdict(path)).toBe('tampered')
  content.set(path, wrong('objects/1'))
  offers.again()
  await offers.idle()
  expect([asked.at(-1), verdict(path)]).toEqual([[path, 'objects/1'], 'tampered'])
  offers.left(A)
  await put(A, 'x', wrong('objects/1'))
  expect([asked.at(-1), verdict(path)]).toEqual([[path, 'objects/1'], 'tampered'])
  // Another stick with a file that looks the same: this one is whole.
  offers.left(A)
  await put(A, 'x', '2.0')
  expect([asked.at(-1), verdict(path)]).toEqual([[path, 'objects/1'], 'fits'])
  offers.again()
  await offers.idle()
  expect(asked.at(-1)).toEqual([path, undefined])
})

test('a file that is another one is not suspected', async () => {
  const { offers, put, verdict, asked } = make()
  const path = await put(A, 'x', '2.0')
  offers.damaged(path, wrong('objects/1'))
  await put(A, 'x', '2.0', '2')
  expect([asked.at(-1), verdict(path)]).toEqual([[path, undefined], 'fits'])
})

test('a verdict of another kind says nothing about the damage', async () => {
  const { offers, put, verdict, content } = make()
  const path = await put(A, 'x', '2.0')
  offers.damaged(path, wrong('objects/1'))
  content.set(path, 'older')
  offers.again()
  await offers.idle()
  content.set(path, wrong('objects/1'))
  offers.again()
  await offers.idle()
  expect(verdict(path)).toBe('tampered')
})

test('what lied is not believed until it was taken out', async () => {
  const { offers, put, verdict } = make()
  const path = await put(A, 'x', '2.0')
  offers.damaged(path, wrong())
  offers.again()
  await offers.idle()
  expect(verdict(path)).toBe('tampered')
  offers.left(A)
  await put(A, 'x', '2.0')
  expect(verdict(path)).toBe('fits')
})

test('of copies one that fits, then one that was not damaged, those on media that answer first', async () => {
  const { offers, put, trouble } = make()
  const [one, two] = [await put(A, 'x', '2.0'), await put(B, 'x', '2.0')]
  const chosen = () => [offers.find(idOf('2.0')).path, offers.best()?.path, offers.list().find(o => o.preferred)?.path]
  expect(chosen()).toEqual([one, one, one])
  trouble.add(A.path)
  expect(chosen()).toEqual([two, two, two])
  trouble.clear()
  offers.damaged(one, wrong())
  expect(chosen()).toEqual([two, two, two])
  offers.damaged(two, wrong())
  expect(offers.best()).toBeUndefined()
  expect(offers.find(idOf('2.0')).path).toBe(one)
})

test('a medium in trouble is not waited for, any other is', async () => {
  const { offers, put, trouble } = make()
  await put(A, 'x', '2.0')
  expect(offers.isIdle()).toBe(true)
  await put(B, 'y', new Promise<never>(() => {}))
  expect(offers.isIdle()).toBe(false)
  trouble.add(B.path)
  expect(offers.isIdle()).toBe(true)
})

test('a file that is named has to be what it was shown as', async () => {
  const { offers, put, content } = make()
  const path = await put(A, 'x', '2.0')
  expect((await offers.atNow(path, A.path, idOf('2.0').slice(0, 8))).path).toBe(path)
  await put(A, 'x', '3.0', '2')
  await expect(offers.atNow(path, A.path, idOf('2.0'))).rejects.toMatchObject({ code: 'changed' })
  content.set('/elsewhere', '3.0')
  expect((await offers.atNow('/elsewhere', '', idOf('3.0'))).id).toBe(idOf('3.0'))
  expect(offers.at('/elsewhere')).toBeUndefined()
})

test('copies share one release, and of many the texts of the newest are kept', async () => {
  const { offers, put, describe } = make()
  describe({ text: 'x'.repeat(250_000) })
  for (let i = 10; i < 30; i++) await put(A, `${i}`, `${i}`)
  await put(B, 'copy', '29')
  expect(offers.at('/m/B/copy')?.manifest).toBe(offers.at('/m/A/29')?.manifest)
  const releases = offers.releases()
  expect(Object.keys(releases)).toHaveLength(20)
  const kept = Object.values(releases).filter(({ cut }) => !cut)
  expect(kept.map(({ version }) => version).sort()).toEqual(['22', '23', '24', '25', '26', '27', '28', '29'])
  expect(releases[idOf('10')]).toMatchObject({ version: '10', notes: '', metadata: {}, cut: true })
  expect(JSON.stringify(releases).length).toBeLessThan(2.1 * 1024 * 1024)
  offers.left(A)
  expect(Object.keys(offers.releases())).toEqual([idOf('29')])
  offers.left(B)
  expect(offers.releases()).toEqual({})
})
