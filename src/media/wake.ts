/** Tells at once that something was mounted or unmounted; without it the tick finds out a little later. */
import { start } from '../base/run.ts'

/** Seconds until it is tried again after it ended by itself. */
const BACK_OFF = { first: 5, most: 300 }

/** It waits in poll(2) for a change of /proc/self/mountinfo, which Node cannot; and it dies with the service. */
const COMMAND = ['setpriv', '--pdeathsig', 'KILL', 'findmnt', '--poll', '--noheadings', '--output', 'ACTION']

export function onMounts(onChange: () => void): { close(): void } {
  let child: ReturnType<typeof start> | undefined
  let backOff = BACK_OFF.first
  let restart: NodeJS.Timeout | undefined
  let closed = false

  function begin(): void {
    child = start(COMMAND, ['ignore', 'pipe', 'ignore'])
    child.stdout?.on('data', () => {
      backOff = BACK_OFF.first
      onChange()
    })
    child.once('error', again)
    child.once('close', again)
  }

  function again(): void {
    if (closed) return
    clearTimeout(restart)
    restart = setTimeout(begin, backOff * 1000)
    restart.unref()
    backOff = Math.min(BACK_OFF.most, backOff * 2)
  }

  begin()
  return {
    close() {
      closed = true
      clearTimeout(restart)
      child?.kill('SIGKILL')
    },
  }
}
