/**
 * JSON as strict as a signed document deserves: no duplicate keys, bounded depth, well-formed UTF-8, no byte order mark, and no
 * number that one reader would round and another not.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/**
 * @param depth how deep arrays and objects may nest
 * @throws Error saying what is wrong, without "cannot"
 */
export function parseJson(bytes: Uint8Array, depth: number): Json {
  const text = textOf(bytes)
  let value: Json
  try {
    value = JSON.parse(text)
  } catch {
    // V8's message quotes the text, which nobody has checked
    throw new Error('it is not JSON')
  }
  checkStructure(text, depth)
  return value
}

const textOf = (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)

/**
 * That whole numbers are written in digits alone, where one reader takes `1.0` for one and another does not.
 * @param bytes that parseJson has parsed
 * @param free the key of the outermost object whose value may have numbers of all kinds
 * @throws Error saying what is wrong, without "cannot"
 */
export function checkIntegers(bytes: Uint8Array, free: string): void {
  for (const { lexeme, outermost } of numbers(textOf(bytes)))
    if (outermost !== free && !/^\d+$/.test(lexeme))
      throw new Error(`it has the number ${shown(lexeme)}, which is not written in digits alone`)
}

/** `text` is known to be JSON, so that strings, brackets and numbers are all there is to look at. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]]|-?\d[\d.eE+-]*/g

function checkStructure(text: string, depth: number): void {
  const open: (Set<string> | undefined)[] = []
  for (const { 0: lexeme, index } of text.matchAll(TOKEN))
    if (lexeme === '{' || lexeme === '[') {
      open.push(lexeme === '{' ? new Set() : undefined)
      if (open.length > depth) throw new Error(`it is nested deeper than ${depth} levels`)
    } else if (lexeme === '}' || lexeme === ']') {
      open.pop()
    } else if (lexeme[0] !== '"') {
      if (isRounded(lexeme))
        throw new Error(`it has the number ${shown(lexeme)}, which would be rounded; make it a string`)
    } else if (isKey(text, index + lexeme.length)) {
      const key: string = JSON.parse(lexeme) // so that "a" and "\u0061" are the same key
      const keys = open.at(-1)
      if (keys?.has(key)) throw new Error(`the key ${JSON.stringify(key)} is there twice`)
      keys?.add(key)
    }
}

/** Every number, with the key of the outermost object under which it is. */
function* numbers(text: string): Generator<{ lexeme: string; outermost: string | undefined }> {
  let level = 0
  let outermost: string | undefined
  for (const { 0: lexeme, index } of text.matchAll(TOKEN))
    if (lexeme === '{' || lexeme === '[') level++
    else if (lexeme === '}' || lexeme === ']') level--
    else if (lexeme[0] !== '"') yield { lexeme, outermost }
    else if (level === 1 && isKey(text, index + lexeme.length)) outermost = JSON.parse(lexeme)
}

const shown = (number: string) => (number.length > 40 ? `${number.slice(0, 40)}…` : number)

/** Whether a double (IEEE 754) is another number: the fewest digits that tell it from its neighbours are not these. */
const isRounded = (number: string): boolean => {
  const value = Number(number)
  return !Number.isFinite(value) || plainDigits(number) !== plainDigits(String(value))
}

/** The same text for the same number: its digits without zeros at the ends, and where its point is. */
function plainDigits(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE](.*))?$/.exec(number) ?? []
  const digits = `${whole}${fraction}`
  let [start, end] = [0, digits.length]
  while (digits[start] === '0') start++
  while (end > start && digits[end - 1] === '0') end--
  const kept = digits.slice(start, end)
  return kept === '' ? '0' : `${sign}${kept} ${Number(exponent) - fraction.length + digits.length - end}`
}

/** In JSON a colon follows a key and nothing else. */
function isKey(text: string, after: number): boolean {
  let at = after
  while (/[ \t\r\n]/.test(text[at] ?? '')) at++
  return text[at] === ':'
}

/** The value with the keys of every object in code-unit order, so that equal values print alike. */
export function sortKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sortKeys(value[key] as Json)]),
  )
}
