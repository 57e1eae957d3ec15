/**
 * The numbers of the codes: what is read out over a telephone, in any language. They never change; docs/console.md lists
 * them for support. A code without one is read out as it is.
 */
import type { Code, MediumCode } from './texts/codes.ts'

/** 1xx the package, 2xx the stick, 3xx the device, 4xx a request that was refused, 5xx the service. */
export const NUMBERS: { readonly [code in Code | MediumCode]: number } = {
  ...{ 'not-a-package': 101, sidecar: 102, unreadable: 103, 'unsupported-format': 104, 'bare-superblock': 105 },
  ...{ 'bad-manifest': 106, truncated: 107, 'too-large': 108, 'too-many-signatures': 109 },
  ...{ tampered: 111, 'no-keys': 112, unsigned: 113, 'unknown-signer': 114, 'expired-key': 115, 'revoked-key': 116 },
  ...{ 'weak-signature': 117, 'early-signature': 118, 'not-enough-signatures': 119 },
  ...{ 'wrong-device': 121, 'wrong-os': 122, 'wrong-ref': 123, older: 124, 'below-floor': 125 },
  ...{ 'already-installed': 126, 'needs-base': 127, 'no-space': 128, changed: 129 },
  ...{ 'wrong-commit': 151, unbootable: 152, unholdable: 153, 'no-inodes': 154 },
  ...{ 'media-gone': 201, 'media-error': 202, 'not-answering': 203, 'too-many-files': 204 },
  ...{ 'unsupported-filesystem': 205, encrypted: 206, 'no-filesystem': 207, ambivalent: 208 },
  ...{ 'too-many-media': 209, 'package-gone': 210, 'no-package': 211, packed: 212, unfinished: 213, misnamed: 214 },
  ...{ unpacked: 215, 'too-deep': 216, hidden: 217, 'not-a-file': 218, 'partly-unreadable': 219, 'no-partition': 221 },
  ...{ unhealthy: 301, 'boot-failed': 302, overruled: 303, cancelled: 304, 'hook-failed': 305 },
  ...{ 'command-failed': 311, 'command-missing': 312, 'command-timeout': 313, 'flip-failed': 314, 'flip-missing': 315 },
  ...{ staged: 316, grubenv: 317, 'corrupt-object': 318, 'ref-mismatch': 319, 'no-such-deployment': 321 },
  ...{ 'reboot-failed': 322, 'uboot-env': 323, 'disk-full': 324, 'disk-error': 325 },
  ...{ 'etc-conflict': 331, 'store-damaged': 332, 'store-locked': 333, leftovers: 334, 'cannot-tidy': 335 },
  ...{ 'settings-lost': 336 },
  ...{ busy: 401, 'not-cancellable': 402, 'not-found': 403, 'already-booted': 404 },
  ...{ 'service-down': 501, 'service-denied': 502, 'service-silent': 503, 'service-lost': 504 },
  ...{ 'service-answer': 505, 'other-version': 506 },
  internal: 900,
}

/** `3 0 1 (unhealthy)` */
export function spoken(code: string): string {
  if (!Object.hasOwn(NUMBERS, code)) return code
  return `${[...String(NUMBERS[code as keyof typeof NUMBERS])].join(' ')} (${code})`
}
