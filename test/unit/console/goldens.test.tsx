/** Every screen in every state as it looks, held against test/golden/console; `npx vitest run -u` writes them anew. */
import { join } from 'node:path'
import { cleanup, render } from 'ink-testing-library'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { due } from '../../../src/console/due.ts'
import { glyphsFor } from '../../../src/console/glyphs.ts'
import type { Frame, Screen } from '../../../src/console/lines.ts'
import { Page } from '../../../src/console/page.tsx'
import { wait } from '../../../src/console/screens/wait.ts'
import { english, german, type Texts } from '../../../src/console/texts.ts'
import type { Snapshot } from '../../../src/control/protocol.ts'
import { MOMENTS } from '../../kit/moments.ts'
import { PROJECT } from '../../kit/project.ts'
import { job, snapshot } from '../../kit/snapshots.ts'

beforeAll(() => vi.stubEnv('TZ', 'UTC'))
afterEach(cleanup)

/** Both languages at the size of a serial line, one at that of a larger screen. */
const LOOKS: [string, Texts, number, number, string][] = [
  ['en', english, 80, 24, 'linux'],
  ['de', german, 80, 24, 'linux'],
  ['en', english, 132, 43, 'linux'],
]

function picture(screenOf: (frame: Frame) => Screen, now: Snapshot | undefined, kiosk = false): string {
  return LOOKS.map(([language, t, columns, rows, TERM]) => {
    const frame = { t, columns, rows, glyphs: glyphsFor({ TERM }), colour: false, kiosk }
    const { lastFrame } = render(<Page frame={frame} snapshot={now} screen={screenOf(frame)} />)
    const lines = (lastFrame() ?? '').split('\n').map(line => line.trimEnd())
    return `== ${language} ${columns}x${rows}\n${lines.join('\n')}\n`
  }).join('\n')
}
const golden = (name: string) => join(PROJECT, `test/golden/console/${name}.txt`)

test.each(MOMENTS)('$name', async ({ name, snapshot: now, ui, known }) => {
  await expect(picture(frame => due(frame, now, ui, known), now)).toMatchFileSnapshot(golden(name))
})

const down = new Failure('service-down', 'cannot reach the service at /run/superblock/control.sock: it is not running')
test.each([
  ['wait-first', undefined, undefined],
  ['wait-gone', down, snapshot()],
  ['wait-rebooting', down, snapshot()],
  ['wait-in-a-job', down, snapshot({ job: job() })],
  [
    'wait-other-version',
    new Failure('other-version', 'cannot work with this service: it speaks protocol 9'),
    undefined,
  ],
])('%s', async (name, lost, last) => {
  await expect(picture(frame => wait(frame, lost, last, name === 'wait-rebooting'), last, true)).toMatchFileSnapshot(
    golden(name),
  )
})
