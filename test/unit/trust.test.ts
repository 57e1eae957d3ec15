import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/package/manifest.ts'
import type { Rejected } from '../../src/package/signature.ts'
import { type Device, judge, judgeSignatures } from '../../src/trust.ts'

const made = new Date('2026-05-02T00:00:00Z')
const signer = (name: string, at = made) => ({ fingerprint: name.repeat(40), userId: name, made: at })
const manifest: Manifest = {
  format: 1,
  compatible: ['gateway', 'gateway-2'],
  version: '2.0',
  os: 'acme',
  ref: 'acme/gateway',
  commit: 'b'.repeat(64),
  timestamp: '2026-05-01T00:00:00Z',
  epoch: 3,
  index: { sha256: 'c'.repeat(64), size: 10 },
  payload: { members: 1, size: 1, unpacked: 1 },
  deltas: [],
  metadata: {},
  notes: '',
}
const device: Device = {
  compatible: 'gateway',
  os: 'acme',
  ref: 'acme/gateway',
  bootedCommit: 'a'.repeat(64),
  pendingCommit: '',
  newest: '2026-04-01T00:00:00Z',
  epochFloor: 3,
}
const verdictOf = (change: Partial<Device>, release: Partial<Manifest> = {}, downgrade = false) => {
  const verdict = judge({ ...manifest, ...release }, [signer('A')], 1, { ...device, ...change }, { downgrade })
  return verdict.fits ? 'fits' : verdict.code
}

describe('a verified release fits this device', () => {
  it('when everything agrees', () => expect(verdictOf({})).toBe('fits'))
  it.each([
    ['wrong-device', { compatible: 'printer' }, {}],
    ['wrong-device', { compatible: '' }, {}],
    ['wrong-device', {}, { compatible: ['Gateway'] }],
    ['wrong-os', { os: 'other' }, {}],
    ['wrong-ref', { ref: 'acme/beta' }, {}],
    ['wrong-ref', { ref: '' }, {}],
    ['already-installed', { bootedCommit: manifest.commit }, {}],
    ['already-installed', { pendingCommit: manifest.commit }, {}],
    ['below-floor', { epochFloor: 4 }, {}],
    ['older', { newest: '2026-05-01T00:00:01Z' }, {}],
  ] as [string, Partial<Device>, Partial<Manifest>][])('refused as %s', (code, change, release) =>
    expect(verdictOf(change, release)).toBe(code),
  )

  it('of the same time as the newest one installed is not older', () =>
    expect(verdictOf({ newest: manifest.timestamp })).toBe('fits'))
  it('an operator may allow a downgrade', () =>
    expect(verdictOf({ newest: '2027-01-01T00:00:00Z' }, {}, true)).toBe('fits'))
  it('but never below the floor', () =>
    expect(verdictOf({ newest: '2027-01-01T00:00:00Z', epochFloor: 4 }, {}, true)).toBe('below-floor'))
  it('whatever the clock says: the times in it are only compared with each other', () =>
    expect(verdictOf({ newest: '1970-01-02T00:00:00Z' }, { timestamp: '1970-01-03T00:00:00Z' })).toBe('fits'))

  it('a signature made before the commit does not count', () => {
    const early = signer('A', new Date('2026-04-30T23:59:59Z'))
    expect(judge(manifest, [early], 1, device)).toMatchObject({ fits: false, code: 'early-signature' })
    expect(judge(manifest, [early, signer('B')], 2, device)).toMatchObject({ code: 'early-signature' })
    expect(judge(manifest, [early, signer('B')], 1, device)).toEqual({ fits: true })
  })
  it('its sentence shows foreign names safely', () => {
    const verdict = judge({ ...manifest, os: 'a\u001b[2Jb' }, [signer('A')], 1, device)
    expect(verdict.fits ? '' : verdict.why).toContain('a\\u001b[2Jb')
  })
})

describe('signatures suffice', () => {
  const good = (...names: string[]) => ({ signers: names.map(name => signer(name)), rejected: [] })
  const bad = (...codes: string[]) => ({
    signers: [],
    rejected: codes.map(code => ({ file: 'f', code: code as Rejected['code'], why: code })),
  })
  const codeOf = (verdict: ReturnType<typeof judgeSignatures>) => (verdict.fits ? 'fits' : verdict.code)

  it('one of one, two of two', () => {
    expect(codeOf(judgeSignatures(good('A'), 1, 1, 1))).toBe('fits')
    expect(codeOf(judgeSignatures(good('A', 'B'), 2, 2, 2))).toBe('fits')
  })
  it('fails closed without keys, also when signatures are there (Mender hub#6495: missing key installs anyway)', () =>
    expect(codeOf(judgeSignatures(good('A'), 0, 1, 1))).toBe('no-keys'))
  it('a threshold of 0 still wants one (TUF libraries: threshold 0)', () => {
    expect(codeOf(judgeSignatures(good(), 1, 0, 0))).toBe('unsigned')
    expect(codeOf(judgeSignatures(bad('unknown-signer'), 1, 1, 0))).toBe('unknown-signer')
  })
  it('names the most telling of several reasons', () => {
    expect(codeOf(judgeSignatures(bad('unknown-signer', 'tampered'), 1, 2, 1))).toBe('tampered')
    expect(codeOf(judgeSignatures(bad('unknown-signer', 'revoked-key'), 1, 2, 1))).toBe('revoked-key')
  })
  it('too few good ones', () =>
    expect(codeOf(judgeSignatures({ ...good('A'), rejected: bad('expired-key').rejected }, 2, 2, 2))).toBe(
      'not-enough-signatures',
    ))
})
