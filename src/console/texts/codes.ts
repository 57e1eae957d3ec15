/** What a language says about codes: the same keys in each, so that none can be forgotten. */
import type { MissCode, RefusalCode } from '../../control/protocol.ts'

/** Gives a value that the sentence names, as this language writes it. */
export type Fact = (name: string) => string

/** Codes beside the refusals that a job, a request or the connection may end with. */
export type OtherCode =
  | 'media-gone'
  | 'package-gone'
  | 'media-error'
  | 'not-answering'
  | 'cancelled'
  | 'unhealthy'
  | 'boot-failed'
  | 'overruled'
  | 'hook-failed'
  | 'command-failed'
  | 'command-missing'
  | 'command-timeout'
  | 'flip-failed'
  | 'flip-missing'
  | 'staged'
  | 'grubenv'
  | 'uboot-env'
  | 'corrupt-object'
  | 'ref-mismatch'
  | 'no-such-deployment'
  | 'reboot-failed'
  | 'disk-full'
  | 'disk-error'
  | 'store-locked'
  | 'leftovers'
  | 'cannot-tidy'
  | 'settings-lost'
  | 'internal'
  | 'busy'
  | 'not-cancellable'
  | 'not-found'
  | 'already-booted'
  | 'service-down'
  | 'service-denied'
  | 'service-silent'
  | 'service-lost'
  | 'service-answer'
  | 'other-version'

export type Code = RefusalCode | MissCode | OtherCode

export type MediumCode =
  | 'unsupported-filesystem'
  | 'encrypted'
  | 'unreadable'
  | 'no-filesystem'
  | 'ambivalent'
  | 'no-partition'
  | 'no-package'
  | 'partly-unreadable'
  | 'too-many-files'
  | 'too-many-media'
  | 'not-answering'

export interface Codes {
  /** a verdict in two or three words, for a list */
  short: { [code in RefusalCode]: string }
  /** likewise, of what is nearly a package */
  miss: { [code in MissCode]: string }
  /** what happened: a sentence */
  what: { [code in Code]: (fact: Fact) => string }
  /** what to do about it: a sentence */
  next: { [code in Code]: string }
  /** what is wrong with a stick: goes on after its name and a colon */
  medium: { [code in MediumCode]: (fact: Fact) => string }
}
