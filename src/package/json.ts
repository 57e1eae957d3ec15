/** JSON as strict as a signed document deserves: no duplicate keys, bounded depth, well-formed UTF-8, no byte order mark. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/**
 * @param depth how deep arrays and objects may nest
 * @throws Error saying what is wrong, without "cannot"
 */
export function parseJson(bytes: Uint8Array, depth: number): Json {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
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

/** `text` is known to be JSON, so that strings and brackets are all there is to look at. */
function checkStructure(text: string, depth: number): void {
  const token = /"(?:[^"\\]|\\.)*"|[{}[\]]/g
  const open: (Set<string> | undefined)[] = []
  for (let found = token.exec(text); found; found = token.exec(text)) {
    const [lexeme] = found
    if (lexeme === '{' || lexeme === '[') {
      open.push(lexeme === '{' ? new Set() : undefined)
      if (open.length > depth) throw new Error(`it is nested deeper than ${depth} levels`)
    } else if (lexeme === '}' || lexeme === ']') {
      open.pop()
    } else if (isKey(text, token.lastIndex)) {
      const key: string = JSON.parse(lexeme) // so that "a" and "\u0061" are the same key
      const keys = open.at(-1)
      if (keys?.has(key)) throw new Error(`the key ${JSON.stringify(key)} is there twice`)
      keys?.add(key)
    }
  }
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
