import { expect, it } from 'vitest'
import { isBelow, type Mount, parseMountinfo, visible } from '../../../src/media/mounts.ts'

const line = (path: string, rest = 'rw - vfat /dev/sda1 rw') => `36 35 8:1 / ${path} rw,noatime ${rest}`

it('reads optional fields, escapes and UTF-8', () => {
  const text = [
    line('/media/a', 'shared:1 master:2 - vfat /dev/sda1 rw'),
    line('/media/with\\040space\\012and\\134more'),
    Buffer.from(line('/media/gr\u00fcn')).toString('latin1'),
    '',
  ].join('\n')
  const rest = { id: 36, parent: 35, origin: '8:1 /', filesystem: 'vfat', source: '/dev/sda1' }
  expect(parseMountinfo(text)).toEqual([
    { ...rest, path: '/media/a' },
    { ...rest, path: '/media/with space\nand\\more' },
    { ...rest, path: '/media/grün' },
  ])
})
it('passes over what is no mount', () => expect(parseMountinfo('garbage\n1 2 3\n')).toEqual([]))

const mount = (id: number, parent: number, path: string): Mount => ({
  ...{ id, parent, path, origin: '8:1 /', filesystem: 'x', source: 'y' },
})
const seen = (...mounts: Mount[]) => visible(mounts).map(({ id }) => id)
const root = mount(1, 0, '/')

it('sees what is mounted beside and below', () => {
  expect(seen(root, mount(2, 1, '/m'), mount(3, 2, '/m/a'), mount(4, 2, '/m/ab'), mount(5, 3, '/m/a/b'))).toEqual([
    1, 2, 3, 4, 5,
  ])
})
it('does not see what another covers, on the same folder or on one above', () => {
  expect(seen(root, mount(2, 1, '/m'), mount(3, 2, '/m'))).toEqual([1, 3])
  expect(seen(root, mount(2, 1, '/m/a'), mount(3, 1, '/m'))).toEqual([1, 3])
  expect(seen(root, mount(2, 1, '/m'), mount(3, 2, '/m/a'), mount(4, 2, '/m'))).toEqual([1, 4])
  expect(seen(root, mount(2, 1, '/m'), mount(3, 2, '/m/a'), mount(4, 3, '/m/a/b'), mount(5, 3, '/m/a'))).toEqual([
    1, 2, 5,
  ])
})
it('sees in a namespace whose own root is not listed', () => {
  expect(seen(mount(64, 44, '/'), mount(92, 64, '/run'), mount(175, 92, '/run/m'))).toEqual([64, 92, 175])
})
it('knows below from beginning alike', () => {
  expect(isBelow('/m/a', '/m')).toBe(true)
  for (const path of ['/m', '/ma', '/']) expect(isBelow(path, '/m')).toBe(false)
  expect([isBelow('/m', '/'), isBelow('/', '/')]).toEqual([true, false])
})
