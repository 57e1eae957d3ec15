// The configuration file as it is shipped: every key with its default, commented out, from the table in docs/integration.md.
import { readFileSync } from 'node:fs'

/** `{key, value, meaning}` of each row; `value` is TOML, or empty text where the default is not one value. */
export function configurationKeys() {
  const rows = readFileSync('docs/integration.md', 'utf8').matchAll(
    /^\| `([a-z.]+)` \| (?:`([^`|]+)`|([^|]*)) \| ([^|]*)\|$/gm,
  )
  return [...rows].map(([, key, value, otherwise, meaning]) => ({
    key,
    value: value ?? '""',
    meaning: [meaning.replace(/`/g, '').trim(), otherwise && `default: ${otherwise.trim()}`].filter(Boolean).join('; '),
  }))
}

/** The file, in the order of the table; keys without a table come first, as TOML wants it. */
export function configurationFile() {
  const keys = configurationKeys().map(({ key, ...rest }) => {
    const [name, table] = key.split('.').reverse()
    return { name, table: table ?? '', ...rest }
  })
  const tables = [...new Set(['', ...keys.map(({ table }) => table)])]
  const parts = tables.map(table => {
    const lines = keys
      .filter(one => one.table === table)
      .flatMap(({ name, value, meaning }) => [...(meaning ? [`# ${meaning}`] : []), `#${name} = ${value}`])
    return [...(table ? [`[${table}]`] : []), ...lines].join('\n')
  })
  return `# Configuration of superblock: superblock.toml(5). What stands here behind a # is the default.
# It is read in this order, later ones win key by key: /usr/lib/superblock/superblock.toml, superblock.d/*.toml beside
# it, /etc/superblock/superblock.toml, superblock.d/*.toml beside that.

${parts.join('\n\n')}
`
}
