/** Lines that end with \n and nothing else: node:readline also cuts at U+2028, which may stand in a file's name. */
import type { Readable } from 'node:stream'

/** @param onLine called with each complete line, without its end */
export function onLines(stream: Readable | null, onLine: (line: string) => void): void {
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
}
