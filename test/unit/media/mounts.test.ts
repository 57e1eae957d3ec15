import { expect, it } from 'vitest'
import { parseMountinfo } from '../../../src/media/mounts.ts'

const line = (path: string, rest = 'rw - vfat /dev/sda1 rw') => `36 35 8:1 / ${path} rw,noatime ${rest}`

it('reads optional fields, escapes and UTF-8', () => {
  const text = [
    line('/media/a', 'shared:1 master:2 - vfat /dev/sda1 rw'),
    line('/media/with\\040space\\012and\\134more'),
    Buffer.from(line('/media/gr\u00fcn')).toString('latin1'),
    '',
  ].join('\n')
  expect(parseMountinfo(text)).toEqual([
    { id: 36, path: '/media/a', filesystem: 'vfat', source: '/dev/sda1' },
    { id: 36, path: '/media/with space\nand\\more', filesystem: 'vfat', source: '/dev/sda1' },
    { id: 36, path: '/media/grün', filesystem: 'vfat', source: '/dev/sda1' },
  ])
})
it('passes over what is no mount', () => expect(parseMountinfo('garbage\n1 2 3\n')).toEqual([]))
