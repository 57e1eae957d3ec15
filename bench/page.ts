/** The page that holds the tables: what is around them stays as it is. */
import { readIfThere, replaceFile } from '../src/base/files.ts'

const [START, END] = ['<!-- results -->', '<!-- /results -->']

/**
 * @returns what is before the tables and what is behind them, with the marks; a file that is not there yet gets the marks
 * @throws when the file holds something else: it would be lost
 */
export async function placeOfTables(file: string): Promise<[before: string, behind: string]> {
  const page = (await readIfThere(file)) ?? ''
  if (page.trim() === '') return [START, `${END}\n`]
  const [start, end] = [page.indexOf(START), page.indexOf(END)]
  if (start < 0 || end < start)
    throw new Error(`cannot put the tables into ${file}: it has no line ${START} with a line ${END} below it`)
  return [page.slice(0, start + START.length), page.slice(end)]
}

/** Put the tables into their place. */
export async function writeTables(file: string, tables: string): Promise<void> {
  const [before, behind] = await placeOfTables(file)
  await replaceFile(file, `${before}\n\n${tables}\n${behind}`, 0o644)
}
