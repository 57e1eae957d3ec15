/** What is wrong with the device, as far as the service itself has met it: told of until it is over. */
import type { Problem } from './snapshot.ts'

export interface Problems {
  list(): Problem[]
  /** @param problem undefined: it is over */
  set(code: string, problem: Omit<Problem, 'code'> | undefined): void
}

/** @param onChange the list is another than before */
export function makeProblems(onChange: () => void): Problems {
  const known = new Map<string, Problem>()
  return {
    list: () => [...known.values()],
    set(code, problem) {
      const before = known.get(code)
      if (before?.text === problem?.text && before?.next === problem?.next) return
      if (problem) known.set(code, { code, ...problem })
      else known.delete(code)
      onChange()
    },
  }
}
