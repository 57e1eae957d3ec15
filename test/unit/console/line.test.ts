/** A job in one line, and what is news. */
import { expect, test } from 'vitest'
import { bar, duration, jobLine, narrator, numbers } from '../../../src/console/line.ts'
import { english as t } from '../../../src/console/texts.ts'
import { job, progress } from '../../kit/snapshots.ts'

test.each([
  [0, '0:00'],
  [65.4, '1:05'],
  [3599.6, '1:00:00'],
  [7265, '2:01:05'],
  [-3, '0:00'],
])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text))

test.each([
  [0, '----------'],
  [0.5, '#####-----'],
  [1, '##########'],
  [1.7, '##########'],
  [-1, '----------'],
])('a bar of %d has the width it should', (part, text) => expect(bar(part, 10, '#', '-')).toBe(text))

test('only what is known is told', () => {
  const { eta: _, ...unknown } = progress({ rate: 0 })
  expect(numbers(unknown, t)).toBe('25 %  1.0 MB of 4.0 MB')
  expect(numbers(progress(), t)).toBe('25 %  1.0 MB of 4.0 MB  500 kB/s  0:06 left')
  expect(numbers(progress({ bytesTotal: 0 }), t)).toBe('')
})

test('a state or step of a newer service is shown by its name', () => {
  expect(jobLine(job({ state: 'dancing' as 'done' }), t)).toBe('Installing 2.0: dancing')
  expect(jobLine(job({ progress: progress({ step: 'polish' as 'stage', bytesTotal: 0 }) }), t)).toBe(
    'Installing 2.0: step 2 of 6, polish',
  )
})

test('a reboot that takes the device back is not called ready', () => {
  expect(jobLine(job({ state: 'reboot' }), t)).toContain('ready')
  expect(jobLine(job({ state: 'reboot', code: 'health-bad' }), t)).toContain('not healthy')
})

test('each thing is told once, and another job anew', () => {
  const news = narrator(t)
  expect(news(null)).toEqual([])
  expect(news(job())).toHaveLength(2)
  expect(news(job())).toEqual([])
  expect(news(job({ progress: progress({ bytesDone: 1_100_000 }) }))).toEqual([])
  expect(news(job({ progress: progress({ bytesDone: 1_300_000 }) }))).toHaveLength(1)
  expect(news(job({ state: 'paused', text: 'Put it back', code: 'flux' }))).toEqual([
    'Installing 2.0: waiting',
    'Put it back (flux)',
  ])
  expect(news(job({ id: 'job-2' }))).toContain('Leave the stick in.')
})
