/** Keys by their names, out of what Ink makes of the bytes of a terminal. */
import type { Key as Pressed } from 'ink'
import type { Key } from './press.ts'

/** Has the terminal put marks around what is pasted (bracketed paste), and stop doing so. */
export const MARK_PASTE = '\u001b[?2004h'
export const UNMARK_PASTE = '\u001b[?2004l'

const CONTROL: { [letter: string]: Key } = {
  ...{ '\r': 'enter', '\n': 'enter', '\u007f': 'erase', '\b': 'erase', '\u0003': 'ctrl-c', '\u000c': 'ctrl-l' },
}

/**
 * Keys that were pressed in quick succession, or arrive together over a slow line, come as one piece: they are told apart.
 * What is pasted stays one text, which is nobody's key whatever it says.
 */
export function makeKeys(): (input: string, pressed: Pressed) => Key[] {
  let pasting = false
  return (input, pressed) => {
    if (input === '[200~' || input === '[201~') {
      pasting = input === '[200~'
      return []
    }
    const name = nameOf(input, pressed)
    if (name !== undefined) return pasting ? [] : [name]
    if (pasting) return [`\0${input}`]
    const letters = [...input].map(letter => CONTROL[letter] ?? (letter < ' ' ? '' : letter))
    // No key here is pressed together with Alt: it is Esc, and right after it another one.
    return pressed.meta ? ['esc', ...letters] : letters
  }
}

/** What Ink leaves of an escape sequence that it does not know. */
const UNKNOWN = /^\[[\d;?]*[A-Za-z~^$@]$/

/** A key that is no letter; undefined for letters. */
function nameOf(input: string, key: Pressed): Key | undefined {
  if (key.ctrl) return input === 'c' || input === 'l' ? `ctrl-${input}` : ''
  if (key.upArrow) return 'up'
  if (key.downArrow) return 'down'
  if (key.pageUp) return 'page-up'
  if (key.pageDown) return 'page-down'
  if (key.return) return 'enter'
  if (key.escape) return 'esc'
  // The erase key sends DEL, which Ink calls delete.
  if (key.backspace || key.delete) return 'erase'
  return key.tab || input === '' || UNKNOWN.test(input) ? '' : undefined
}
