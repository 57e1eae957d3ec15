/** The log as a terminal or journald gets it: one line of JSON an event, nothing unseen in it. */
import { writeSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { makeLog } from '../../../src/base/log.ts'

vi.mock('node:fs', async original => ({ ...(await original<typeof import('node:fs')>()), writeSync: vi.fn() }))

test('a name keeps its value and cannot steer a terminal', () => {
  const path = '/m/a\n\u009b31m\u202e\u{e0041}.superblock'
  makeLog('info').info({ path, err: new Error(`cannot open ${path}`) }, `looked at ${path}`)
  const [, line] = vi.mocked(writeSync).mock.calls.at(-1) ?? []
  expect(line).toMatch(/^[ -~]*\n$/)
  expect(JSON.parse(String(line))).toMatchObject({ path, msg: `looked at ${path}`, level: 30 })
})
