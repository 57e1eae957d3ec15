/** What a service says by code and values, in the chosen language, and as it said it where the code is not known. */
import { beforeAll, expect, test, vi } from 'vitest'
import { type Facts, Failure } from '../../../src/base/failure.ts'
import { english, german } from '../../../src/console/texts.ts'
import {
  entryReason,
  eventWords,
  failureWords,
  jobWords,
  leftWords,
  mediumWords,
  missShort,
  offerShort,
  problemWords,
  verdictWords,
  when,
} from '../../../src/console/words.ts'
import type { JobInfo, Phase } from '../../../src/control/protocol.ts'
import { refuse } from '../../../src/trust.ts'
import { deployment, job, medium, offer, progress } from '../../kit/snapshots.ts'

beforeAll(() => vi.stubEnv('TZ', 'UTC'))

test('a verdict with its values: sizes and times as the language writes them', () => {
  const space = refuse('no-space', 'service', { where: '/boot', need: 1_234_567, free: 999 })
  expect(verdictWords(space, english)).toBe('It needs 1.2 MB on /boot; 999 B are free.')
  expect(verdictWords(space, german)).toBe('Es braucht 1,2 MB auf /boot; frei sind 999 B.')
  const older = refuse('older', 'service', { made: '2026-01-02T03:04:05Z', newest: '2026-02-03T04:05:06Z' })
  expect(verdictWords(older, german)).toMatch(/erstellt am 02\.01\.2026, 03:04;.*vom 03\.02\.2026, 04:05/)
  expect(offerShort(offer({ verdict: older }), german)).toBe('ältere Version')
  expect(offerShort(offer(), english)).toBe('fits, newest')
  expect(offerShort(offer({ preselected: false }), english)).toBe('fits')
  expect(offerShort(offer({ preselected: false, preferred: false }), english)).toBe('fits, another copy')
})

test("a code that is not known, or a value that an older service does not send, leaves the service's sentence", () => {
  expect(verdictWords(refuse('cursed' as 'older', 'it is cursed'), german)).toBe('it is cursed')
  expect(offerShort(offer({ verdict: refuse('cursed' as 'older', 'it is cursed') }), german)).toBe('cursed')
  expect(missShort({ path: '', file: '', code: 'cursed' as 'packed', text: '' }, german)).toBe('cursed')
  expect(verdictWords(refuse('no-space', 'it needs room'), german)).toBe('it needs room')
  expect(failureWords(new Failure('toString', 'cannot'), german)).toBe('cannot')
})

test('a device without a product name is told apart from one of another product', () => {
  const no = refuse('wrong-device', 'service', { wants: 'press-7', is: '' })
  expect(verdictWords(no, english)).toContain('no product name')
  expect(verdictWords(refuse('wrong-device', '', { wants: 'press-7', is: 'x' }), english)).toContain('press-7')
})

test('a stick: by code, else the sentence, else the state', () => {
  expect(mediumWords(medium({ state: 'trouble', code: 'encrypted', text: 'x' }), german)).toMatch(/verschlüsselt/)
  const apfs = (facts: Facts) => medium({ filesystem: 'apfs', code: 'unsupported-filesystem', text: 'x', facts })
  expect(mediumWords(apfs({ formats: 'FAT32 exFAT ext4' }), english)).toBe(
    'its filesystem is apfs; use FAT32, exFAT or ext4',
  )
  expect(mediumWords(apfs({ formats: 'FAT32 exFAT ext4' }), german)).toBe(
    'sein Dateisystem ist apfs; FAT32, exFAT oder ext4 benutzen',
  )
  expect(mediumWords(apfs({ formats: 'ext4' }), english)).toBe('its filesystem is apfs; use ext4')
  expect(mediumWords(apfs({ formats: '' }), english)).toBe('its filesystem is apfs; use another one')
  expect(mediumWords(medium({ code: 'ambivalent', text: 'x' }), german)).toBe('x')
  expect(mediumWords(medium({ code: 'haunted', text: 'it is haunted' }), german)).toBe('it is haunted')
  expect(mediumWords(medium(), german)).toBe('bereit')
  expect(mediumWords(medium({ state: 'asleep' as 'ready' }), german)).toBe('asleep')
})

test.each<[Phase, Partial<JobInfo>, RegExp]>([
  ['installing', { progress: progress({ step: 'admit' }) }, /Paket wird geprüft/],
  ['installing', {}, /2\.0 wird vom Stick kopiert/],
  ['installing', { stick: 'none' }, /2\.0 wird auf das Gerät kopiert/],
  ['installing', { state: 'paused', code: 'package-gone' }, /aus dem Eingang genommen.*wieder in den Eingang/],
  ['installing', { progress: progress({ step: 'deploy' }) }, /wird installiert.*Nicht ausschalten/],
  ['installing', { state: 'paused', code: 'media-gone' }, /abgezogen.*wieder einstecken.*von selbst weiter/],
  ['installing', { code: 'not-answering' }, /Der Stick antwortet nicht.*Warten/],
  ['rolling-back', { kind: 'rollback' }, /auf Version 2\.0 umgeschaltet/],
  ['undoing', { code: 'cancelled' }, /abgebrochen.*zurückgenommen/],
  ['reboot', { state: 'reboot' }, /ist installiert und startet/],
  ['reboot', { state: 'reboot', kind: 'rollback' }, /^Version 2\.0 startet/],
  ['trying', { state: 'trying' }, /wird geprüft. Nicht ausschalten/],
  ['falling-back', { code: 'boot-failed', facts: { version: '2.0' } }, /nicht gestartet.*kehrt zu Version 1\.0/],
  ['returning', { state: 'reboot', code: 'boot-failed', facts: { version: '2.0' } }, /Beim nächsten Neustart/],
  ['done', { state: 'done' }, /arbeitet richtig/],
  ['done', { state: 'done', kind: 'rollback' }, /läuft wieder mit Version 2\.0/],
  ['fell-back', { state: 'fell-back', code: 'boot-failed', facts: { version: '2.0' } }, /wieder mit Version 1\.0/],
  [
    'failed',
    { state: 'failed', code: 'tampered', facts: { other: '/m/NEW/a.superblock' } },
    /nicht als beschädigt befunden: \/m\/NEW\/a\.superblock\. Es wurde nichts verändert/,
  ],
  ['failed', { state: 'failed', code: 'tampered' }, /nichts verändert: Das Gerät läuft mit Version 1\.0/],
  [
    'failed',
    { state: 'failed', code: 'boot-failed', stuck: true, facts: { version: '2.0' } },
    /Rückkehr ist nicht gelungen/,
  ],
  ['failed', { state: 'failed', kind: 'rollback', code: 'flip-failed' }, /^Die Startreihenfolge[^.]*\.$/],
  ['cancelled', { state: 'cancelled', code: 'cancelled' }, /nichts verändert/],
])('a job that is %s %j', (phase, over, words) => {
  const now = job({ phase, text: 'the sentence of the service', ...over })
  expect(jobWords(now, german)).toMatch(words)
  expect(jobWords(now, english)).not.toContain('the sentence of the service')
})

test('a phase or a cause that is not known leaves the sentence of the service', () => {
  expect(jobWords(job({ phase: 'dancing' as Phase, text: 'it dances' }), german)).toBe('it dances')
  expect(jobWords(job({ phase: 'failed', state: 'failed', code: 'flux', text: 'Low flux.' }), german)).toBe('Low flux.')
})

test('a problem by its code, with what to do', () => {
  const own = problemWords({ code: 'reboot-failed', text: 'cannot run', next: 'Switch it' }, german)
  expect(own).toEqual({
    text: 'Das Gerät konnte nicht neu gestartet werden.',
    next: 'Das Gerät aus- und wieder einschalten.',
  })
  const unknown = { code: 'flux', text: 'low flux', next: 'charge it' }
  expect(problemWords(unknown, german)).toEqual({ text: 'low flux', next: 'charge it' })
})

test('why a release was left: what the device found in the language, what a person wrote as it is', () => {
  const facts = { leftCode: 'unhealthy', leftFacts: { version: '2.0', check: 'printer', said: '' } }
  expect(leftWords(deployment({ leftBecause: 'version 2.0 failed', ...facts }), german)).toMatch(/Prüfung printer/)
  expect(leftWords(deployment({ leftBecause: 'it smoked' }), german)).toBe('it smoked')
  expect(leftWords(deployment(), german)).toBeUndefined()
})

test('the history: events and reasons', () => {
  const entry = { at: '', prev: '', event: 'fell-back', version: '2.0', code: 'unhealthy', text: 'service' }
  expect(eventWords(entry, german)).toBe('2.0 vom Gerät selbst wieder verlassen')
  expect(entryReason({ ...entry, facts: { version: '2.0', check: 'x', said: '' } }, english)).toMatch(/health check x/)
  expect(entryReason(entry, english)).toBe('service')
  expect(entryReason({ ...entry, reason: 'night shift' }, english)).toBe('night shift')
  expect(eventWords({ at: '', prev: '', event: 'exorcised' }, german)).toBe('exorcised')
})

test('what is no date is shown as it is, safely', () => {
  expect(when('soon\u001b[2J')).toBe('soon\\u001b[2J')
  expect(when(undefined)).toBe('-')
  expect(when('2026-03-01T08:00:00Z')).toBe('2026-03-01 08:00')
  expect(when('2026-03-01T08:00:00Z', german)).toBe('01.03.2026, 08:00')
  expect(when('2026-03-01T08:00:00Z', english)).toBe('1 Mar 2026, 08:00')
})
