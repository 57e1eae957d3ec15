// Man pages: what docs/man says, with options, verbs and configuration keys filled in from where they are defined.
import { readFileSync } from 'node:fs'
import { configurationKeys } from './configuration.mjs'
import { programHelp } from './help.mjs'

const roff = text =>
  text
    .replace(/\\/g, '\\e')
    .replace(/-/g, '\\-')
    .replace(/^(?=[.'])/gm, '\\&')

const verbatim = text => `.RS 4\n.nf\n${roff(text)}\n.fi\n.RE\n`
const options = list => list.map(({ term, text }) => `.TP\n.B ${roff(term)}\n${roff(text)}\n`).join('')

/** What follows the lists: a heading with indented lines is shown as it stands, anything else is a paragraph. */
function after(paragraphs) {
  return paragraphs
    .map(paragraph => {
      const [first, ...rest] = paragraph.split('\n')
      const isBlock = rest.length > 0 && rest.every(line => line.startsWith('  '))
      if (!isBlock) return `.PP\n${roff(paragraph)}\n`
      return `.PP\n${roff(first)}\n${verbatim(rest.map(line => line.slice(2)).join('\n'))}`
    })
    .join('')
}

function commands(program) {
  return programHelp(program)
    .verbs.map(({ name, usage, description, lists, after: more }) => {
      const own = [...(lists.Arguments ?? []), ...(lists.Options ?? [])].filter(({ term }) => term !== '-h, --help')
      return `.SS ${name}\n.B ${roff(usage)}\n.PP\n${roff(description)}\n${options(own)}${after(more)}`
    })
    .join('')
}

/**
 * The page `docs/man/NAME`, ready to be installed.
 * @param about version, and date as YYYY-MM-DD
 */
export function manPage(name, { version, date }) {
  const program = name.replace(/\.\d$/, '')
  const fill = {
    VERSION: () => version,
    DATE: () => date,
    OPTIONS: () => options(programHelp(program).lists.Options),
    COMMANDS: () => commands(program),
    AFTER: () => after(programHelp(program).after),
    KEYS: () =>
      configurationKeys()
        .map(
          ({ key, value, meaning }) =>
            `.TP\n.BR ${roff(key)} " = ${roff(value).replace(/"/g, '\\(dq')}"\n${roff(meaning)}\n`,
        )
        .join(''),
  }
  return readFileSync(`docs/man/${name}`, 'utf8').replace(/@([A-Z]+)@\n?/g, (mark, word) => {
    const text = fill[word]?.()
    if (text === undefined) throw new Error(`cannot make the man page ${name}: there is no ${mark.trim()}`)
    return text + (mark.endsWith('\n') && !text.endsWith('\n') ? '\n' : '')
  })
}
