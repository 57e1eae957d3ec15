/** What names tell: what is taken, what is told of, and what is passed over. */
import { expect, test } from 'vitest'
import { isArchive, isLeftOut, isPackage, nearMiss } from '../../../src/media/naming.ts'

test.each([
  'acme-2.0.superblock',
  'ACME-2.SUPERBLOCK',
  'a.Superblock',
  'superblock',
  'SUPERBLOCK',
  '._a.superblock',
  'a b\n.superblock',
])('%j is offered', name => expect([isPackage(name), nearMiss(name)]).toEqual([true, undefined]))

test.each([
  [
    'packed',
    'a.superblock.zip a.superblock.gz a.superblock.tar a.superblock.xz a.superblock.7z a.superblock.tar.gz A.SUPERBLOCK.ZIP a.superblock.iso a.superblock.zip.001',
  ],
  [
    'unfinished',
    'a.superblock.part a.superblock.crdownload a.superblock.download a.superblock.tmp a.superblock.zip.part a.superblock.filepart .a.superblock.Xy12Zw',
  ],
  [
    'misnamed',
    'a.superblock.txt a.superblock(1) a.superblock.1 a.superblock~ a.superblock.bak a.superblock. a.superbloc a.superblok a.superblcok a.superblocks a.supeblock acme-superblock acme_superblock ACME-2~1.SUP a.superblock\u200b a.superblock.html a.superblock.superbloc',
  ],
  ['hidden', '.a.superblock .superblock .trashed-1700000000-a.superblock .pending-1-a.superblock'],
  ['not-a-file', 'a.superblock.lnk a.superblock.url'],
])('%s: %s', (code, names) => {
  for (const name of names.split(' ')) expect(nearMiss(name), name).toBe(code)
})

test.each(['a.superblock (1)', 'a.superblock - Kopie', 'a.superblock '])('%j has another ending', name =>
  expect(nearMiss(name)).toBe('misnamed'),
)
test('a shortcut that Windows made', () => expect(nearMiss('a.superblock - Verknüpfung.lnk')).toBe('not-a-file'))

test.each(
  'a.superblock.sha256 a.superblock.asc a.superblock.torrent superblock-manual.pdf superblock_0.1_amd64.deb readme.txt photo.jpg film.sup block.super a.block notes.superman photos.zip'.split(
    ' ',
  ),
)('%j is no near miss', name => expect(nearMiss(name)).toBeUndefined())

test('archives of any kind', () => {
  for (const name of ['a.zip', 'A.7Z', 'a.tar.gz', 'a.tgz', 'a.tar', 'a.iso', 'a.zip.001'])
    expect(isArchive(name)).toBe(true)
  for (const name of ['zip', 'a.zip.txt', 'a.jpg']) expect(isArchive(name)).toBe(false)
})

test.each([
  '.Trash-1000',
  '$RECYCLE.BIN',
  'System Volume Information',
  'SYSTEM VOLUME INFORMATION',
  'lost+found',
  'FOUND.001',
  'Recycler',
])('the folder %s is left out', name => expect(isLeftOut(name)).toBe(true))
test.each(['Updates', 'trash', 'found', 'recycling', 'System', 'a.b'])('the folder %s is looked at', name =>
  expect(isLeftOut(name)).toBe(false),
)
