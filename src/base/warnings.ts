/** What Node itself warns of, said in this program's own way. */

/** Older releases of Node 20 warn, at every signature, that their Ed25519 is new: that is left out. */
export function onWarning(say: (text: string) => void): void {
  process.removeAllListeners('warning')
  process.on('warning', warning => {
    if (warning.name !== 'ExperimentalWarning') say(`${warning.name}: ${warning.message}`)
  })
}
