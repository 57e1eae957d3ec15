// What the programs say of themselves, taken apart: man pages and completions are made of it, so that they stay true.
import { execFileSync } from 'node:child_process'

const SECTION = /^(Arguments|Options|Global Options|Commands):$/

const said = new Map()

/** `--help` of a program, or of one of its verbs, as text; each is asked once. */
export function helpText(program, ...verb) {
  const argv = [`dist/${program}.js`, ...verb, '--help']
  const key = argv.join(' ')
  if (!said.has(key)) said.set(key, execFileSync(process.execPath, argv, { encoding: 'utf8' }))
  return said.get(key)
}

/**
 * Commander's help: usage, description, lists of {term, text}, and whatever follows them, paragraph by paragraph.
 * @param text as commander prints it where there is no terminal
 */
export function parseHelp(text) {
  const help = { usage: '', description: '', lists: {}, after: [] }
  const paragraphs = text.trimEnd().split(/\n{2,}/)
  for (const paragraph of paragraphs) {
    const [first, ...rest] = paragraph.split('\n')
    const section = SECTION.exec(first)?.[1]
    if (first.startsWith('Usage: ')) help.usage = unwrapped(paragraph).slice('Usage: '.length)
    else if (section) help.lists[section] = items(rest)
    else if (Object.keys(help.lists).length === 0)
      help.description = `${help.description}\n${unwrapped(paragraph)}`.trim()
    else help.after.push(paragraph)
  }
  return help
}

function items(lines) {
  const list = []
  for (const line of lines) {
    const [, term, text] = /^ {2}(\S.*?)(?: {2,}(.*))?$/.exec(line) ?? []
    if (term !== undefined) list.push({ term, text: text ?? '' })
    else list.at(-1).text = `${list.at(-1).text} ${line.trim()}`.trim()
  }
  return list
}

const unwrapped = paragraph => paragraph.replace(/\s*\n\s*/g, ' ')

/** A program with all its verbs. */
export function programHelp(program) {
  const main = parseHelp(helpText(program))
  const verbs = main.lists.Commands.map(({ term, text }) => ({ name: term.split(' ')[0], text })).filter(
    ({ name }) => name !== 'help',
  )
  return { ...main, verbs: verbs.map(({ name }) => ({ name, ...parseHelp(helpText(program, name)) })) }
}

/** The words of an option's term: `-V, --version` → -V and --version; `--key <path>` takes a value. */
export const optionWords = term => term.match(/(?<![\w-])--?[A-Za-z][\w-]*/g) ?? []
export const takesValue = term => /[<[]/.test(term)
