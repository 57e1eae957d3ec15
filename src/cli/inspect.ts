/** `superblock inspect`: what a package says about itself and who stands for that; nothing unverified is shown as if it were true. */
import { asFailure } from '../base/failure.ts'
import { bytes, safe } from '../base/text.ts'
import { when } from '../console/words.ts'
import { type Manifest, parseManifest } from '../package/manifest.ts'
import { readIndex } from '../package/read.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { type Io, paragraph, say, sayJson, table, tint } from './io.ts'
import { judgeDates, type Opened, openPackage } from './package.ts'

/** What is shown, and the answer of `--json`. */
interface Report {
  file: string
  id: string
  size: number
  trusted: boolean
  code?: string
  why?: string
  signatures: { fingerprint: string; state: string; text: string }[]
  keyProblems: string[]
  /** one of the two: what the signers stand for, or what nobody does */
  manifest?: Manifest
  claims?: Manifest
  /** sizes of the deltas by the commit they start from; known only where the index holds */
  deltas?: { from: string; size: number }[]
  /** what could not be read of the rest */
  trouble?: string
}

export async function inspect(context: Context, file: string, options: { key?: string[] }): Promise<number> {
  const opened = await openPackage(context, file, options.key)
  try {
    const report = await examine(opened)
    if (context.json) sayJson(context.io, report)
    else for (const line of lines(context.io, report)) say(context.io, line)
    return EXIT.ok
  } finally {
    await opened.source.close()
  }
}

async function examine(opened: Opened): Promise<Report> {
  const { head, source, signers, rejected } = opened
  const report: Report = {
    file: opened.path,
    id: head.id,
    size: source.size,
    trusted: false,
    signatures: [
      ...signers.map(signer => ({ fingerprint: signer.fingerprint, state: 'good', text: signer.userId })),
      ...rejected.map(one => ({ fingerprint: one.file, state: one.code, text: one.why })),
    ],
    keyProblems: opened.keyring.problems,
  }
  let verdict = opened.trusted
  try {
    const manifest = parseManifest(head.manifest)
    if (verdict.fits) verdict = judgeDates(manifest, opened)
    if (verdict.fits) report.manifest = manifest
    else report.claims = manifest
    if (verdict.fits) {
      const index = await readIndex(source, head, manifest)
      report.deltas = manifest.deltas.map(({ from, path }) => ({ from, size: index.find(path)?.size ?? 0 }))
    }
  } catch (error) {
    report.trouble = asFailure(error, 'read the rest').message
  }
  report.trusted = verdict.fits
  if (!verdict.fits) Object.assign(report, { code: verdict.code, why: verdict.why })
  return report
}

function lines(io: Io, report: Report): string[] {
  const out = [`${safe(report.file)}  ${bytes(report.size)}`, `id          ${report.id}`]
  out.push(
    report.trusted
      ? `signatures  ${tint(io, 'good', 'good')} (the members were not read: superblock verify does)`
      : `signatures  ${tint(io, 'bad', 'NOT TRUSTED')}: ${safe(report.why ?? '', 400)} (${report.code})`,
  )
  if (report.signatures.length > 0)
    out.push(
      ...table(
        ['  SIGNATURE', 'STATE', 'SIGNER'],
        report.signatures.map(s => [`  ${s.fingerprint}`, s.state, s.text]),
      ),
    )
  for (const problem of report.keyProblems) out.push(`  key not used: ${safe(problem, 400)}`)
  const shown = report.manifest ?? report.claims
  if (shown) {
    out.push(
      '',
      report.manifest ? 'release' : tint(io, 'warn', 'claims (not verified): anyone could have written this'),
    )
    out.push(...facts(shown, report).map(line => `  ${line}`))
  }
  if (report.trouble) out.push('', tint(io, 'bad', safe(report.trouble, 400)))
  return out
}

function facts(m: Manifest, { deltas }: Report): string[] {
  const row = (name: string, value: string) => `${name.padEnd(12)}${value}`
  const out = [
    row('version', safe(m.version)),
    row(
      'for',
      m.compatible
        .slice(0, 10)
        .map(name => safe(name))
        .join(', '),
    ),
    row('os, ref', `${safe(m.os)}, ${safe(m.ref)}`),
    row('commit', safe(m.commit)),
    row('made', `${when(m.timestamp)} (${safe(m.timestamp)})`),
    row('epoch', String(m.epoch)),
    row('payload', `${m.payload.members} members, ${bytes(m.payload.size)}; ${bytes(m.payload.unpacked)} unpacked`),
  ]
  for (const { from, path } of m.deltas.slice(0, 20)) {
    const size = deltas?.find(delta => delta.from === from)?.size
    out.push(
      row('delta', `from ${safe(from.slice(0, 12))}${size === undefined ? `: ${safe(path)}` : `, ${bytes(size)}`}`),
    )
  }
  if (Object.keys(m.metadata).length > 0) out.push(row('metadata', safe(JSON.stringify(m.metadata), 400)))
  if (m.notes) out.push('notes', ...paragraph(m.notes))
  return out
}
