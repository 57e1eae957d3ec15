/** The console by keys on a real pseudo terminal, in front of the real service on an emulated device. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Device } from '../kit/device.ts'
import { atRest, order, whileStaging, write } from '../kit/operate.ts'
import { PROJECT } from '../kit/project.ts'
import { makeProduct, type Product } from '../kit/releases.ts'
import { makeStick, type Stick } from '../kit/stick.ts'
import { KEYS, openTerminal, type Screen } from '../kit/terminal.ts'

const { enter, esc, down, up } = KEYS

// Beside other work one run in about ten waits for a screen in vain; why is not known yet. Not silent: the report names what was tried again.
const AGAIN = { retry: 2 }

let folder: string
let product: Product
let stick: Stick
let device: Device
const screens: Screen[] = []

beforeAll(async () => {
  folder = await mkdtemp('/tmp/sb-cf-')
  product = await makeProduct(folder)
  await product.release('2.0', { ballast: 12 * 2 ** 20 })
  const good = await product.package('2.0')
  const strange = await product.package('2.0', { compatible: ['press-7'], name: 'press.superblock' })
  stick = await makeStick(folder, 'STICK', [good.file, strange.file])
  await writeFile(join(stick.folder, '._acme-2.0.superblock'), 'x')
})
afterEach(async () => {
  for (const screen of screens.splice(0)) {
    screen.kill('SIGKILL')
    await screen.ended
  }
  await device.destroy()
})
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))

async function boot(name: string): Promise<void> {
  device = await product.device(name)
  await device.boot()
  await atRest(device)
}

function open(options: Parameters<typeof openTerminal>[1] = {}): Screen {
  const program = [process.execPath, join(PROJECT, 'dist/superblock.js'), '--socket', device.socket, 'console']
  const screen = openTerminal(program, options)
  screens.push(screen)
  return screen
}

test(
  'install with the stick pulled and put back and the service killed, reboot, and return, on two consoles',
  AGAIN,
  async () => {
    await boot('a')
    const { sees, press } = open()
    const other = open({ columns: 132, rows: 43, env: { LANG: 'de_DE.UTF-8' } })
    await sees(/Insert a stick with an update[\s\S]*Running +1\.0/)
    await other.sees(/Einen Stick mit einem Update einstecken/)

    await device.insert(stick)
    await sees(/Version 2\.0 can be installed[\s\S]*Packages: 3 found, 1 can be installed/)
    await press(enter)
    await sees(/→ {2}2\.0 +fits, newest[\s\S]*Signed by +Acme Releases/)
    await press(down, down)
    await sees(/→ .*for another product[\s\S]*The package is for press-7; this device is acme-gateway/)
    await press(enter, 'y')
    await sees(/Packages that were found/)
    await press(up, up, enter)
    await sees(/Install version 2\.0 in place of 1\.0\?[\s\S]*→ {2}No, go back/)
    await press(enter)
    await sees(/Packages that were found/)
    expect((await device.client.status()).job).toBeNull()

    const pulled = whileStaging(device, async () => {
      await sees(/L E A V E {3}T H E {3}S T I C K {3}I N[\s\S]*copying from the stick/)
      await other.sees(/S T E C K E N {3}L A S S E N/)
      await device.remove(stick, { lazy: true })
    })
    await press(enter, 'y')
    await pulled
    await sees(/P U T {3}T H E {3}S T I C K {3}B A C K[\s\S]*The stick was removed/)
    await other.sees(/S T I C K {3}W I E D E R {3}E I N S T E C K E N/)
    await press('q'.toUpperCase(), KEYS.ctrlC)
    await sees(/The job goes on without this console/)

    await device.service.kill('SIGKILL')
    await sees(/The update service does not answer[\s\S]*leave the stick where it is/)
    await device.service.start()
    await sees(/P U T {3}T H E {3}S T I C K {3}B A C K/)
    await device.insert(stick)
    await sees(/Ready\. Reboot to finish[\s\S]*R E M O V E D {3}N O W/)
    await other.sees(/Ein Neustart schließt ab/)
    expect(await order(device)).toMatch(/^2\.0 pending, 1\.0 booted/)

    await press(esc)
    await sees(/Version 2\.0 starts with the next reboot\. Press b[\s\S]*After reboot +2\.0/)
    await press('b')
    await sees(/Reboot the device now\?/)
    await press('y')
    await device.rebooted()
    await sees(/The device is rebooting[\s\S]*Leave the power on/)
    await device.boot()
    await sees(/Done\.[\s\S]*Version 2\.0 is installed and works/)
    await other.sees(/Version 2\.0 ist installiert und arbeitet richtig/)
    await press(enter)
    await sees(/Running +2\.0[\s\S]*Rollback to +1\.0[\s\S]*Health +good/)
    await press('h')
    await sees(/2\.0 found good[\s\S]*2\.0 installed \(from 1\.0\)[\s\S]*The record is whole/)

    await press(esc, 'r')
    await sees(/2\.0 .*running now[\s\S]*→ {2}1\.0 .*suggested/)
    await press(enter, enter, 'the night shift objectsx', KEYS.erase, enter)
    await sees(/Return from version 2\.0 to 1\.0\?[\s\S]*Reason: the night shift objects$/m)
    await press('y')
    await sees(/Version 1\.0 starts with the next reboot/)
    await press(enter)
    await sees(/Reboot the device now\?/)
    await press('y')
    await device.rebooted()
    await device.boot()
    await sees(/The device is back on version 1\.0/)
    await press(enter, 'r')
    await sees(/2\.0 [\s\S]*left because: the night shift objects/)
    expect(await order(device)).toMatch(/^1\.0 booted/)
  },
)

test('a cancelled installation changes nothing, and says so', AGAIN, async () => {
  await boot('b')
  const { sees, press } = open()
  const before = await order(device)
  await device.insert(stick)
  await sees(/can be installed/)
  await press(enter)
  await sees(/Packages that were found/)
  await press(enter)
  await sees(/Install version 2\.0/)
  const pulled = whileStaging(device, () => device.remove(stick, { lazy: true }))
  await press('y')
  await pulled
  await sees(/The stick was removed[\s\S]*c cancel/)
  await press('c')
  await sees(/Cancel this installation\?/)
  await press(enter)
  await sees(/The stick was removed/)
  await press('c')
  await sees(/Cancel this installation\?/)
  await press(down, enter)
  await sees(/Cancelled\.[\s\S]*R E M O V E D {3}N O W[\s\S]*Nothing was changed/)
  expect(await order(device)).toBe(before)
  await press(enter)
  await sees(/Insert a stick/)
})

test(
  'a release that is not healthy: the device goes back, and the console says what happened and which code to read out',
  AGAIN,
  async () => {
    await boot('c')
    await write(device, '/var/bad/2.0', '')
    const { sees, press } = open({ env: { LC_ALL: 'de_DE.UTF-8' } })
    await device.insert(stick)
    await sees(/Version 2\.0 kann installiert werden/)
    await press(enter, enter, 'j')
    await sees(/Ein Neustart schließt ab/)
    await press(enter)
    await sees(/Das Gerät jetzt neu starten\?/)
    await press('j')
    await device.rebooted()
    await device.boot()
    await device.rebooted()
    await device.boot()
    await sees(/Version 2\.0 hat die Prüfung 10-fieldbus nicht bestanden[\s\S]*Version 1\.0[\s\S]*3 0 1 \(unhealthy\)/)
    await press(enter, 'r')
    await sees(/2\.0 [\s\S]*verlassen, weil: Version 2\.0 hat die Prüfung 10-fieldbus nicht bestanden/)
  },
)
