/** What a terminal shows as an SVG picture, made from its cells. */
import type { Terminal } from '@xterm/headless'

const WIDTH = 8
const HEIGHT = 17
const PAPER = '#111111'
const INK = '#d4d4d4'
const COLOURS: { [palette: number]: string } = { 1: '#e06c60', 2: '#7ec16e', 3: '#e0b050' }
const xml = (text: string) => text.replace(/[&<>"]/g, one => `&#${one.charCodeAt(0)};`)

interface Run {
  text: string
  from: number
  colour: string
  bold: boolean
  inverse: boolean
}

/** Each run of cells that look alike is one piece of text; `textLength` keeps the columns, whatever font there is. */
export function drawing(terminal: Terminal): string {
  const rows = Array.from({ length: terminal.rows }, (_, row) => runsOf(terminal, row).flatMap(run => drawn(run, row)))
  const [width, height] = [terminal.cols * WIDTH, terminal.rows * HEIGHT]
  const box = `-8 -8 ${width + 16} ${height + 16}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" font-size="13" xml:space="preserve"`,
    ' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">',
    `<rect x="-8" y="-8" width="${width + 16}" height="${height + 16}" fill="${PAPER}"/>`,
    ...rows.flat(),
    '</svg>\n',
  ].join('\n')
}

function runsOf(terminal: Terminal, row: number): Run[] {
  const { active } = terminal.buffer
  const line = active.getLine(active.viewportY + row)
  const runs: Run[] = []
  for (let column = 0; column < terminal.cols; column++) {
    const cell = line?.getCell(column)
    const colour = cell?.isFgPalette() ? (COLOURS[cell.getFgColor()] ?? INK) : INK
    const look = { colour, bold: Boolean(cell?.isBold()), inverse: Boolean(cell?.isInverse()) }
    const last = runs.at(-1)
    const text = cell?.getChars() || ' '
    if (last && last.colour === colour && last.bold === look.bold && last.inverse === look.inverse) last.text += text
    else runs.push({ text, from: column, ...look })
  }
  return runs
}

function drawn({ text, from, colour, bold, inverse }: Run, row: number): string[] {
  const [x, width] = [from * WIDTH, text.length * WIDTH]
  const paper = `<rect x="${x}" y="${row * HEIGHT}" width="${width}" height="${HEIGHT}" fill="${colour}"/>`
  const look = `fill="${inverse ? PAPER : colour}"${bold ? ' font-weight="bold"' : ''}`
  const ink = `<text x="${x}" y="${row * HEIGHT + 13}" textLength="${width}" ${look}>${xml(text)}</text>`
  return [...(inverse ? [paper] : []), ...(text.trim() ? [ink] : [])]
}
