/** The catalogue: every sentence that console and progress lines show, in the language that the environment asks for. */
import { screens as deScreens } from './texts/de.ts'
import { codes as deCodes } from './texts/de-codes.ts'
import { screens as enScreens } from './texts/en.ts'
import { codes as enCodes } from './texts/en-codes.ts'

export const english = { ...enScreens, ...enCodes }
export type Texts = typeof english
export const german: Texts = { ...deScreens, ...deCodes }

/** LC_ALL, LC_MESSAGES, LANG: the first that says something decides (locale(7)); English is what others get. */
export function texts(env: NodeJS.ProcessEnv): Texts {
  const locale = env.LC_ALL || env.LC_MESSAGES || env.LANG || ''
  return /^de(_|\.|@|$)/i.test(locale) ? german : english
}
