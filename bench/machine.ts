/** Where it was measured: machine, system and the versions of everything that takes part. */
import { readFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { run } from '../src/base/run.ts'
import { sources } from './cache.ts'
import type { Contender } from './contender.ts'
import type { Materials } from './materials.ts'
import { MB, type Results, type Scenario } from './report.ts'

/** What decides how it is measured, and with what. */
const METHOD = ['contenders', 'boot.sh', 'disk.ts', 'group.ts', 'materials.ts', 'measure.ts', 'trees.ts'].map(
  name => `bench/${name}`,
)

/** Results without any yet. @param contenders all that there could be, whichever of them are measured */
export async function emptyResults(command: string, contenders: readonly Contender[]): Promise<Results> {
  const osRelease = await readFile('/etc/os-release', 'utf8')
  const versions: Record<string, string> = {
    superblock: `${__VERSION__} (sources ${await sources('src')})`,
    benchmark: `(sources ${await sources(...METHOD)})`,
    node: process.version,
  }
  const programs = new Set(contenders.flatMap(contender => contender.programs))
  for (const program of programs) versions[program] = await versionOf(program)
  return {
    command,
    date: new Date().toISOString(),
    machine: {
      processor: cpus()[0]?.model.trim() ?? '',
      cores: cpus().length,
      memory: totalmem(),
      kernel: release(),
      system: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? '',
      versions,
    },
    sizes: [],
    packages: [],
    startUps: [],
    runs: [],
    leftOut: [],
  }
}

/** Of the Debian package that a program is from. */
export async function versionOf(program: string): Promise<string> {
  // Packages of before /bin became a link to /usr/bin still list their files there.
  const script = `path=$(readlink -f "$(command -v "$1")")
    package=$(dpkg -S "$path" || dpkg -S "\${path#/usr}")
    dpkg-query --show "\${package%%:*}" | cut -f2`
  return (await run(['sh', '-c', script, 'sh', program]).catch(() => ({ stdout: 'unknown' }))).stdout.trim()
}

/** What the releases are: size of the tree, and what is different from the one before. */
export async function describe(
  materials: Materials,
  scenarios: readonly Scenario[],
): Promise<Results['sizes'][number]> {
  const tree = Number((await run(['du', '--summarize', '--bytes', materials.trees[1]])).stdout.split('\t')[0])
  const ways: Results['sizes'][number]['ways'] = []
  for (const { way } of scenarios) {
    if (ways.some(one => one.from === way.from && one.to === way.to)) continue
    const { files, bytes } = await materials.changes(way.from, way.to)
    ways.push({ ...way, files: files.length, bytes })
  }
  return { size: materials.size, name: `${Math.round(tree / MB)} MB`, tree, ways }
}
