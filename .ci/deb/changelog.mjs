// Debian's changelog, from CHANGELOG.md: a heading `## VERSION - DATE` for each release, `## Unreleased` on top.
import { readFileSync } from 'node:fs'

/** @param about the version that is made, its time in seconds since 1970, and who answers for it */
export function changelog({ version, epoch, maintainer }) {
  const [, ...sections] = readFileSync('CHANGELOG.md', 'utf8').split(/^## /m)
  return sections
    .map(section => {
      const [title, ...lines] = section.trim().split('\n')
      const [, name, day] = /^(\S+)(?: [-–] (\d{4}-\d\d-\d\d))?/.exec(title)
      const time = day ? new Date(`${day}T12:00:00Z`) : new Date(epoch * 1000)
      const number = name === 'Unreleased' ? version : name.replace('-', '~')
      const changes = lines
        .join('\n')
        .split(/^- /m)
        .map(item => item.trim())
        .filter(Boolean)
        .flatMap(wrap)
      return `superblock (${number}) unstable; urgency=medium\n\n${changes.join('\n')}\n\n -- ${maintainer}  ${time.toUTCString().replace('GMT', '+0000')}\n`
    })
    .join('\n')
}

/** One item as lines of at most 80 characters. */
function wrap(item) {
  const lines = ['']
  for (const word of item.split(/\s+/)) {
    if (`${lines.at(-1)} ${word}`.length > 76) lines.push('')
    lines.push(`${lines.pop()} ${word}`.trimStart())
  }
  return lines.map((text, index) => `  ${index === 0 ? '*' : ' '} ${text}`)
}
