/** What names on a medium tell: which files are packages, which were meant to be one, and where deleted ones lie. */

/** Why a file or folder that looks like a package is not offered. */
export type MissCode = 'packed' | 'unfinished' | 'misnamed' | 'unpacked' | 'too-deep' | 'hidden' | 'not-a-file'

/** Packages in any case of letters, since FAT may keep names in capitals; and what macOS leaves beside them (told apart later). */
export const isPackage = (name: string): boolean => /^(?:.*\.)?superblock$/is.test(name)

/** Begins with a dot: Unix hides it, Android names deleted and unfinished files so. `._` is macOS's own mark. */
export const isHidden = (name: string): boolean => name.startsWith('.') && !name.startsWith('._')

/**
 * Folders with what was deleted, found again by a repair, or kept by a system for itself; so are hidden ones and those
 * that Windows begins with a dollar sign.
 */
const LEFT_OUT =
  /^(?:[.$].*|recycle[rd]|[#@]recycle|system volume information|lost\+found|lost\.dir|found\.\d{3}|__macosx|@eadir)$/is
export const isLeftOut = (folder: string): boolean => LEFT_OUT.test(folder)

const ARCHIVE = /\.(?:zipx?|7z|rar|tar|t?gz|t?bz2?|t?xz|tzst|zst|lzma|lz4|br|z|cab|iso|dmg)(?:\.\d{3})?$/is
export const isArchive = (name: string): boolean => ARCHIVE.test(name)

/** Endings of what browsers, copiers and file managers have not finished yet. */
const UNFINISHED =
  /\.(?:part\d*|partial|crdownload|download|opdownload|filepart|tmp|temp|aria2|incomplete|!ut|!qb|swp)$/is
/** rsync's name for a file that it is writing. */
const RSYNC = /^\..+\.superblock\.[a-z\d]{6}$/is
const SHORTCUT = /\.(?:lnk|url|webloc|desktop)$/is
/** What rightly lies beside a package: sums, signatures, ways to download it. */
const BESIDE =
  /\.(?:sha\d*(?:sums?)?|md5(?:sums?)?|b2(?:sums?)?|asc|sig|sign|gpg|minisig|torrent|zsync|meta4|metalink|par2|pdf)$/is

/** What is wrong with a name that is nearly that of a package, or undefined where it is no such name. */
export function nearMiss(name: string): MissCode | undefined {
  if (isPackage(name)) return isHidden(name) ? 'hidden' : undefined
  const [, behind] = /\.superblock(.*)$/is.exec(name) ?? []
  if (behind === undefined) return isMisspelt(name) ? 'misnamed' : undefined
  if (BESIDE.test(behind)) return undefined
  if (UNFINISHED.test(behind) || RSYNC.test(name)) return 'unfinished'
  if (SHORTCUT.test(behind)) return 'not-a-file'
  return isArchive(behind) ? 'packed' : 'misnamed'
}

const ENDING = 'superblock'
/** Fewer letters than these of the ending could be another one. */
const TELLING = 7

/** `acme.superbloc`, `acme.superblcok`, `acme-superblock`, and `ACME~1.SUP`, which is what is left where long names are lost. */
function isMisspelt(name: string): boolean {
  const text = name.toLowerCase()
  if (/[-_ ]superblock$|~\d\.sup$/.test(text)) return true
  const ending = /\.([^.]+)$/.exec(text)?.[1] ?? ''
  if (ending.length < TELLING || ending.length > ENDING.length + 1) return false
  return isWithin(ending, ENDING) || isWithin(ENDING, ending) || sorted(ending) === sorted(ENDING)
}

/** Are all letters of `part` in `whole`, in their order? */
const isWithin = (part: string, whole: string) => {
  let at = 0
  for (const letter of whole) if (letter === part[at]) at++
  return at === part.length
}
const sorted = (text: string) => [...text].sort().join('')
