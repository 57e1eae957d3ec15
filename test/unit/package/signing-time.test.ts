import { expect, it } from 'vitest'
import { makeKey, signBytes, signingTime } from '../../../src/package/signature.ts'

const manifest = Buffer.from('{}\n')
const at = (text: string) => new Date(text)

it('the same release and key give the same signature, whenever it is made', async () => {
  const key = await makeKey({ userId: 'A <a@example.com>', made: at('2026-01-01T00:00:00Z') })
  const sign = async () => {
    const made = await signingTime(key.secretKey, undefined, at('2026-02-01T00:00:00Z'))
    return signBytes(manifest, key.secretKey, undefined, made)
  }
  const first = await sign()
  await new Promise(resolve => setTimeout(resolve, 1100))
  expect(await sign()).toEqual(first)
  expect(first.made).toEqual(at('2026-02-01T00:00:00Z'))
})
it('states no time before the key was there', async () => {
  const key = await makeKey({ userId: 'A <a@example.com>', made: at('2026-03-01T00:00:00Z') })
  expect(await signingTime(key.secretKey, undefined, at('2026-02-01T00:00:00Z'))).toEqual(at('2026-03-01T00:00:00Z'))
})
it('a key that has expired signs nothing, not even with an early time', async () => {
  const key = await makeKey({ userId: 'A <a@example.com>', made: at('2026-01-01T00:00:00Z'), life: 3600 })
  await expect(signingTime(key.secretKey, undefined, at('2026-01-01T00:10:00Z'))).rejects.toMatchObject({
    code: 'bad-key',
  })
})
