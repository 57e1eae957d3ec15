// Completions for bash and zsh: verbs and options as the programs' own help lists them.
import { optionWords, programHelp, takesValue } from './help.mjs'

const GENERATED = 'Made from the help of the program.'
const takesFile = verb => (verb.lists.Arguments ?? []).length > 0 || /<(file|input|folder|device)/.test(verb.usage)
const optionsOf = (program, verb) => [
  ...(verb.lists.Options ?? []),
  ...(verb.lists['Global Options'] ?? program.globals),
]

function read(name) {
  const help = programHelp(name)
  const globals = help.lists.Options.filter(({ term }) => !/--(version|help)\b/.test(term))
  const program = { ...help, globals }
  const verbs = help.verbs.map(verb => ({ name: verb.name, file: takesFile(verb), options: optionsOf(program, verb) }))
  return { ...program, verbs, texts: new Map(help.lists.Commands.map(({ term, text }) => [term.split(' ')[0], text])) }
}

export function bashCompletion(name) {
  const { verbs, lists } = read(name)
  const words = list => list.flatMap(({ term }) => optionWords(term)).join(' ')
  const all = [...lists.Options, ...verbs.flatMap(verb => verb.options)]
  const values = [...new Set(all.filter(({ term }) => takesValue(term)).flatMap(({ term }) => optionWords(term)))]
  const fn = `_${name.replace(/-/g, '_')}`
  const cases = verbs.map(verb => `    ${verb.name}) options='${words(verb.options)}' files=${verb.file ? 1 : "''"} ;;`)
  return `# bash completion for ${name}. ${GENERATED}
${fn}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} verb='' options='' files='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${values.join(' | ')}) ((i++)) ;;
      -*) ;;
      *) verb=\${COMP_WORDS[i]} && break ;;
    esac
  done
  COMPREPLY=()
  case $previous in
    ${values.join(' | ')}) compopt -o default && return ;;
  esac
  case $verb in
    '') options='${words(lists.Options)}' ;;
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -z $verb ]]; then
    mapfile -t COMPREPLY < <(compgen -W '${verbs.map(verb => verb.name).join(' ')} help' -- "$current")
  elif [[ -n $files ]]; then
    compopt -o default
  fi
}
complete -F ${fn} ${name}
`
}

export function zshCompletion(name) {
  const { verbs, lists, texts } = read(name)
  const quoted = text => text.replace(/'/g, "'\\''")
  const spec = ({ term, text }) =>
    optionWords(term).map(
      word => `'${word}[${quoted(text.replace(/[[\]:\\]/g, '\\$&'))}]${takesValue(term) ? ':value:_files' : ''}'`,
    )
  const specs = list => list.flatMap(spec).join(' ')
  const described = verbs.map(verb => `'${verb.name}:${quoted(texts.get(verb.name) ?? '')}'`)
  const cases = verbs.map(
    verb => `      ${verb.name}) _arguments ${specs(verb.options)}${verb.file ? " '*:file:_files'" : ''} ;;`,
  )
  return `#compdef ${name}
# ${GENERATED}
local curcontext=$curcontext state line
local -a verbs=(${described.join(' ')})
_arguments -C ${specs(lists.Options)} '1: :->verb' '*:: :->rest'
case $state in
  verb) _describe -t commands command verbs ;;
  rest)
    case $words[1] in
${cases.join('\n')}
    esac ;;
esac
`
}
