import { expect, it } from 'vitest'
import { makeMeter } from '../../../src/update/meter.ts'

function metered() {
  let clock = 0
  const meter = makeMeter(
    () => {},
    () => clock,
  )
  return { meter, pass: (seconds: number) => (clock += seconds) }
}

it('tells rate and time left', () => {
  const { meter, pass } = metered()
  meter.begin('stage', 1000)
  for (let i = 0; i < 4; i++) {
    pass(1)
    meter.add(100)
  }
  expect(meter.read()).toMatchObject({
    step: 'stage',
    at: 2,
    of: 6,
    bytesDone: 400,
    bytesTotal: 1000,
    rate: 100,
    eta: 6,
  })
})
it('the rate follows a stick that becomes slow', () => {
  const { meter, pass } = metered()
  meter.begin('stage', 1e9)
  for (let i = 0; i < 10; i++) {
    pass(1)
    meter.add(1e6)
  }
  for (let i = 0; i < 10; i++) {
    pass(1)
    meter.add(1000)
  }
  expect(meter.read().rate).toBeLessThan(2000)
})
it('stuck: the rate sinks and the heartbeat stays', () => {
  const { meter, pass } = metered()
  meter.begin('stage', 1000)
  pass(1)
  meter.add(500)
  const { heartbeat, rate } = meter.read()
  pass(60)
  expect(meter.read().heartbeat).toBe(heartbeat)
  expect(meter.read().rate).toBeLessThan(rate)
})
it('a step without bytes has neither rate nor time left', () => {
  const { meter, pass } = metered()
  meter.begin('deploy', 0)
  pass(2)
  meter.beat()
  expect(meter.read()).toMatchObject({ step: 'deploy', at: 5, rate: 0 })
  expect(meter.read().eta).toBeUndefined()
})
