/** What the figures have to be, and whether they are. */
import { type Median, median, medians, type Results } from './report.ts'

export interface Line {
  what: string
  /** at most */
  limit: number
  measured: number
  unit: '×' | 'MB' | 's'
}

const IMAGE_BASED = ['RAUC', 'SWUpdate', 'Mender', 'casync']
const MB = 1e6

/** The lines that can be judged by what was measured. */
export function budget(results: Results): Line[] {
  const lines: Line[] = []
  const middle = medians(results.runs)
  for (const { size, name, ways } of results.sizes) {
    const of = (scenario: string, contender: string) =>
      middle.find(one => one.size === size && one.scenario === scenario && one.contender === contender)
    const fastest = (scenario: string) =>
      IMAGE_BASED.map(contender => of(scenario, contender))
        .filter((one): one is Median => one !== undefined)
        .sort((a, b) => a.seconds - b.seconds)[0]
    const add = (
      what: string,
      measured: number | undefined,
      base: number | undefined,
      times: number,
      unit: Line['unit'],
    ) => {
      if (measured === undefined || base === undefined) return
      const line = unit === '×' ? { measured: measured / base, limit: times } : { measured, limit: base * times }
      lines.push({ what: `${name}: ${what}`, ...line, unit })
    }
    const against = (scenario: string, other: Median | undefined, times: number) =>
      add(`${scenario}, against ${other?.contender}`, of(scenario, 'superblock')?.seconds, other?.seconds, times, '×')

    against('update', fastest('update'), 0.25)
    against('update', of('update', 'ostree delta'), 1.3)
    against('update, stick of 20 MB/s', fastest('update, stick of 20 MB/s'), 0.1)
    against('full installation', of('full installation', 'ostree delta'), 0.5)
    against('full installation', fastest('full installation'), 1.5)

    const ours = of('update', 'superblock')
    const changed = ways.find(way => way.from === '1' && way.to === '2')?.bytes
    add('update, written, of what changed', ours && ours.written / MB, changed && changed / MB, 1.3, 'MB')
    const ofUpdate = (one: Results['packages'][number]) => one.contender === 'superblock' && one.way.to === '2'
    const head = results.packages.find(one => one.size === size && ofUpdate(one))?.head
    const objects = of('update', 'sha256sum')?.read
    const needed = objects !== undefined && head !== undefined ? (objects + head) / MB : undefined
    add('update, read, of the changed objects and the head', ours && ours.read / MB, needed, 1.2, 'MB')
    const all = middle.filter(one => one.size === size && one.contender === 'superblock')
    const most = (of: 'memory' | 'rss') => (all.length > 0 ? Math.max(...all.map(one => one[of])) / MB : undefined)
    add('memory, largest median', most('memory'), 1, 150, 'MB')
    add('RSS of all processes added up, largest median', most('rss'), 1, 150, 'MB')

    const made = (contender: string) =>
      results.packages.find(one => one.size === size && one.contender === contender && one.way.to === '1')?.seconds
    for (const other of ['RAUC', 'ostree delta'])
      add(`making a full package, against ${other}`, made('superblock'), made(other), 0.2, '×')
  }
  for (const [command, limit] of Object.entries({ 'superblock status': 0.25, 'superblock --version': 0.12 })) {
    const times = results.startUps.flatMap(one => one[command] ?? [])
    if (times.length > 0) lines.push({ what: `\`${command}\``, limit, measured: median(times), unit: 's' })
  }
  return lines
}
