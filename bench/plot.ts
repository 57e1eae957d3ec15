/** The seconds of every scenario as bars, in an SVG that needs nothing else. */
import { type Median, medians, type Results } from './report.ts'

const BAR = 16
const GAP = 26
const LABEL = 120
const WIDTH = 720
const COLOURS: Record<string, string> = { superblock: '#0b6e4f', 'ostree delta': '#3a7ca5' }
const OTHERS = '#9a9a9a'

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

export function plot(results: Results): string {
  const lines: string[] = []
  let y = 10
  for (const { size, name } of results.sizes) {
    const middle = medians(results.runs).filter(one => one.size === size)
    for (const scenario of new Set(middle.map(one => one.scenario))) {
      y += GAP
      lines.push(`<text x="0" y="${y}" font-weight="bold">${escaped(`${scenario}, ${name}`)}</text>`)
      y += 8
      const rows = middle.filter(one => one.scenario === scenario)
      const most = Math.max(...rows.map(one => one.seconds))
      for (const row of rows) {
        lines.push(bar(row, y, most))
        y += BAR + 4
      }
    }
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 10}" font-family="sans-serif" font-size="12">
<title>Seconds of every scenario</title>
<rect width="100%" height="100%" fill="white"/>
${lines.join('\n')}
</svg>
`
}

function bar({ contender, seconds }: Median, y: number, most: number): string {
  const length = ((WIDTH - LABEL - 70) * seconds) / most
  const text = y + BAR - 4
  return [
    `<text x="${LABEL - 8}" y="${text}" text-anchor="end">${escaped(contender)}</text>`,
    `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" fill="${COLOURS[contender] ?? OTHERS}"/>`,
    `<text x="${(LABEL + length + 6).toFixed(1)}" y="${text}">${seconds.toFixed(2)} s</text>`,
  ].join('')
}
