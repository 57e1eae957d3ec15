/** Whether a package may be installed on this device: a pure judgement over what was verified and what the device is. */
import type { Facts } from './base/failure.ts'
import { safe } from './base/text.ts'
import type { Manifest } from './package/manifest.ts'
import type { Rejected, Signer } from './package/signature.ts'

/** Why a package is not offered. Stable: scripts and people on a telephone use these words. */
export const REFUSALS = [
  'not-a-package',
  'sidecar',
  'unreadable',
  'unsupported-format',
  'bare-superblock',
  'bad-manifest',
  'truncated',
  'too-large',
  'too-many-signatures',
  'tampered',
  'no-keys',
  'unsigned',
  'unknown-signer',
  'expired-key',
  'revoked-key',
  'weak-signature',
  'early-signature',
  'not-enough-signatures',
  'wrong-device',
  'wrong-os',
  'wrong-ref',
  'older',
  'below-floor',
  'already-installed',
  'needs-base',
  'no-space',
  'no-inodes',
  'wrong-commit',
  'unbootable',
  'unholdable',
  'etc-conflict',
  'store-damaged',
  'changed',
] as const
export type RefusalCode = (typeof REFUSALS)[number]
export const isRefusalCode = (code: string): code is RefusalCode => (REFUSALS as readonly string[]).includes(code)

/** `facts` are the values that `why` names: docs/api.md lists them by code */
export type Refused = { fits: false; code: RefusalCode; why: string; facts?: Facts }
export type Verdict = { fits: true } | Refused

/** What the device is and has seen, as far as trust goes. */
export interface Device {
  /** the product, as packages name it in `compatible`; empty means nothing fits */
  compatible: string
  /** stateroot of the booted deployment */
  os: string
  /** ref that packages must be for; empty means nothing fits */
  ref: string
  bootedCommit: string
  /** deployed and waiting for the reboot */
  pendingCommit: string
  /** RFC 3339: commit timestamp of the newest release that was ever installed */
  newest: string
  /** lowest security epoch that may be installed */
  epochFloor: number
}

export const refuse = (code: RefusalCode, why: string, facts?: Facts): Refused => ({
  ...{ fits: false, code, why },
  ...(facts && { facts }),
})

/** When several signatures were rejected, the one that tells most is named. */
const tellingFirst: readonly string[] = ['tampered', 'revoked-key', 'expired-key', 'weak-signature', 'unknown-signer']

/**
 * Are there good signatures of `required` distinct keys? This comes before the manifest is parsed.
 * @param usableKeys how many public keys the device has; none means that nothing installs
 * @param attached how many signature files the package carries
 */
export function judgeSignatures(
  checked: { signers: readonly Signer[]; rejected: readonly Rejected[] },
  usableKeys: number,
  attached: number,
  required: number,
): Verdict {
  if (usableKeys === 0)
    return refuse('no-keys', 'this device has no usable signing key, so it installs nothing. Run: superblock doctor')
  if (attached === 0) return refuse('unsigned', 'the package carries no signature. Ask its maker for a signed one')
  if (checked.signers.length >= Math.max(1, required)) return { fits: true }
  const worst = [...checked.rejected].sort((a, b) => tellingFirst.indexOf(a.code) - tellingFirst.indexOf(b.code))[0]
  if (checked.signers.length === 0 && worst) return refuse(worst.code as RefusalCode, worst.why)
  const also = worst ? `; one does not count: ${worst.why}` : ''
  return refuse(
    'not-enough-signatures',
    `this device wants ${required} signers, the package has ${checked.signers.length} good${also}`,
    { required, good: checked.signers.length },
  )
}

/** The release as people name it. */
export const named = (manifest: Pick<Manifest, 'version'>) => `version ${safe(manifest.version)}`

/**
 * Does this verified release fit this device now?
 * No clock takes part: signature times and commit times are compared with each other and with what was installed before.
 */
export function judge(
  manifest: Manifest,
  signers: readonly Signer[],
  required: number,
  device: Device,
  allow: { downgrade: boolean } = { downgrade: false },
): Verdict {
  // A stolen key that has expired can still make signatures dated before its end, but not for anything newer than that.
  const committed = Date.parse(manifest.timestamp)
  const inTime = signers.filter(signer => signer.made.getTime() >= committed)
  if (inTime.length < Math.max(1, required))
    return refuse(
      'early-signature',
      `it was signed before it was made (${manifest.timestamp}), which cannot be right`,
      {
        made: manifest.timestamp,
      },
    )

  if (device.compatible === '')
    return refuse('wrong-device', 'this device has no product name (device.compatible) set. Run: superblock doctor', {
      wants: listed(manifest.compatible),
      is: '',
    })
  if (!manifest.compatible.includes(device.compatible))
    return refuse(
      'wrong-device',
      `it is for ${listed(manifest.compatible)}, this device is ${safe(device.compatible)}`,
      {
        wants: listed(manifest.compatible),
        is: device.compatible,
      },
    )
  if (manifest.os !== device.os)
    return refuse('wrong-os', `it is for the system "${safe(manifest.os)}", this device runs "${safe(device.os)}"`, {
      wants: manifest.os,
      is: device.os,
    })
  if (device.ref === '')
    return refuse('wrong-ref', 'the booted deployment follows no ref; set device.ref. Run: superblock doctor', {
      wants: manifest.ref,
      is: '',
    })
  if (manifest.ref !== device.ref)
    return refuse(
      'wrong-ref',
      `it is for the line "${safe(manifest.ref)}", this device follows "${safe(device.ref)}"`,
      {
        wants: manifest.ref,
        is: device.ref,
      },
    )

  if (manifest.commit === device.bootedCommit)
    return refuse('already-installed', `${named(manifest)} is what this device runs`, {
      version: manifest.version,
      starts: 'now',
    })
  if (manifest.commit === device.pendingCommit)
    return refuse('already-installed', `${named(manifest)} is installed and starts with the next reboot`, {
      version: manifest.version,
      starts: 'next',
    })
  if (manifest.epoch < device.epochFloor)
    return refuse(
      'below-floor',
      `its security epoch ${manifest.epoch} is below ${device.epochFloor}, the lowest this device still accepts`,
      { epoch: manifest.epoch, floor: device.epochFloor },
    )
  if (!allow.downgrade && Date.parse(manifest.timestamp) < Date.parse(device.newest))
    return refuse(
      'older',
      `it was made on ${manifest.timestamp}, this device has had one from ${device.newest}. An operator may allow it: --allow-downgrade`,
      { made: manifest.timestamp, newest: device.newest },
    )
  return { fits: true }
}

const listed = (names: readonly string[]) => {
  const shown = names.slice(0, 3).map(name => safe(name, 40))
  return names.length > 3 ? `${shown.join(', ')} and ${names.length - 3} more` : shown.join(', ')
}
