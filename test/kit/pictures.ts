/**
 * The pictures in README.md and docs/console.md: the real console on an emulated device at the main moments of an update
 * and a rollback, as text and as SVG. `npm run pictures` makes them anew; nothing in them is written by hand.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NUMBERS } from '../../src/console/numbers.ts'
import { english } from '../../src/console/texts.ts'
import { atRest, whileStaging } from './operate.ts'
import { PROJECT } from './project.ts'
import { makeSample } from './sample.ts'
import { makeStick } from './stick.ts'
import { KEYS, openTerminal } from './terminal.ts'

interface Picture {
  name: string
  caption: string
  text: string
  svg: string
}

/** Those of the README. */
const MAIN = ['found', 'packages', 'progress', 'ready', 'rollback']
const { enter, esc } = KEYS

async function take(folder: string): Promise<Picture[]> {
  const pictures: Picture[] = []
  const sample = await makeSample(folder)
  const { device } = sample
  const stick = await makeStick(folder, 'STICK', [sample.package])
  await writeFile(join(stick.folder, '._acme-gateway-2.0.superblock'), 'x')
  await device.boot()
  await atRest(device)
  const program = [process.execPath, join(PROJECT, 'dist/superblock.js'), '--socket', device.socket, 'console']
  const screen = openTerminal(program, { env: { LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' } })
  const { sees, press } = screen
  const snap = async (name: string, caption: string, words: RegExp) => {
    await sees(words)
    pictures.push({ name, caption, text: screen.text(), svg: screen.svg() })
  }
  try {
    await snap('home', 'Nothing is inserted yet.', /Insert a stick/)
    await device.insert(stick)
    await snap('found', 'A stick was inserted, and the release on it fits.', /can be installed[\s\S]*2 found/)
    await press(enter)
    await snap('packages', 'Every file on the stick with its verdict.', /fits, newest[\s\S]*Signed by/)
    await press(enter)
    await snap('confirm', 'What installing means, and the question.', /Install version 2\.0/)
    const pulled = whileStaging(device, async pid => {
      await goOn(pid, () => /[3-7]\d %.*MB\/s/.test(screen.text()))
      await snap('progress', 'While it is copied the stick stays in.', /→ +copying from the stick/)
      await device.remove(stick, { lazy: true })
    })
    await press('y')
    await pulled
    await snap('paused', 'The stick was pulled too early: nothing is lost.', /P U T {3}T H E/)
    await device.insert(stick)
    await snap('ready', 'Installed. The next start takes the new release.', /Ready\. Reboot/)
    await press(enter, 'y')
    await device.rebooted()
    await device.boot()
    await snap('done', 'After the reboot: the checks passed.', /installed and works/)
    await press(enter)
    await press('r')
    await snap('rollback', 'What the device can return to.', /Which release/)
    await press(enter, ...'the new texts confuse the night shift', enter)
    await snap('return', 'The return, with its reason for the history.', /Return from version 2\.0/)
    await press(esc, esc, esc, 'h')
    await snap('history', 'What was done to this device.', /2\.0 found good/)
    return pictures
  } finally {
    screen.kill('SIGTERM')
    await screen.ended
    await device.destroy()
  }
}

/** Let a stopped service work for moments, as from a slow stick, until something can be seen. */
async function goOn(pid: number, isSeen: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !isSeen(); tries++) {
    process.kill(pid, 'SIGCONT')
    await sleep(5)
    process.kill(pid, 'SIGSTOP')
    await sleep(120)
  }
}

/** Put text between `<!-- name -->` and `<!-- /name -->` of a page. */
async function fill(page: string, name: string, text: string): Promise<void> {
  const path = join(PROJECT, page)
  const before = await readFile(path, 'utf8')
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  if (!before.includes(open) || !before.includes(close)) throw new Error(`${page} has no ${open} and ${close}`)
  const head = before.slice(0, before.indexOf(open) + open.length)
  await writeFile(path, `${head}\n${text}\n${before.slice(before.indexOf(close))}`)
}

const shown = ({ caption, text }: Picture) =>
  `${caption}\n\n\`\`\`text\n${text.replaceAll(/ +$/gm, '').trimEnd()}\n\`\`\`\n`

/** One line a number, as support looks it up. */
function numbers(): string {
  const sentences: { [code: string]: (fact: () => string) => string } = english.what
  const ofSticks: { [code: string]: (fact: () => string) => string } = english.medium
  const say = (code: string) => sentences[code]?.(() => '…') ?? `The stick: ${ofSticks[code]?.(() => '…')}.`
  const rows = Object.entries(NUMBERS).sort(([, a], [, b]) => a - b)
  return ['| number | code | what it means |', '| --- | --- | --- |']
    .concat(rows.map(([code, number]) => `| ${number} | \`${code}\` | ${say(code)} |`))
    .join('\n')
}

const folder = await mkdtemp('/tmp/sb-pictures-')
try {
  const pictures = await take(folder)
  await mkdir(join(PROJECT, 'docs/pictures'), { recursive: true })
  for (const { name, svg } of pictures) await writeFile(join(PROJECT, `docs/pictures/${name}.svg`), svg)
  await fill(
    'docs/console.md',
    'pictures',
    pictures.map(one => `${shown(one)}\n[The same in colour](pictures/${one.name}.svg)\n`).join('\n'),
  )
  await fill('docs/console.md', 'numbers', numbers())
  await fill(
    'README.md',
    'pictures',
    pictures
      .filter(one => MAIN.includes(one.name))
      .map(shown)
      .join('\n'),
  )
  console.log(`${pictures.length} pictures: README.md, docs/console.md, docs/pictures/`)
} finally {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}
