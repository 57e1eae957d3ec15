/** `serve`: an OSTree repository over HTTP, for trying things on a desk. */
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, realpath, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join, sep } from 'node:path'
import { errno, Failure } from '../base/failure.ts'
import { archiveRepo } from '../ostree/commit.ts'
import type { Work } from './work.ts'

export interface ServeOptions {
  ostreeRepo: string
  host: string
  port: number
  /** file that gets the address, for scripts */
  addressFile?: string
}

/** What `ostree pull` asks for; everything else in the folder is nobody's business. */
const PUBLIC = /^\/(config|summary(\.sig)?|(objects|refs|deltas|delta-indexes)\/[\w.+/@:-]+)$/

/**
 * Serve until interrupted.
 * @throws Failure `wrong-repo`, `cannot-listen`, `no-folder`
 */
export async function serve(options: ServeOptions, work: Work): Promise<{ url: string }> {
  await archiveRepo(options.ostreeRepo)
  const root = await realpath(options.ostreeRepo)
  const server = createServer((request, response) => {
    answer(root, request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => {
      const why = errno(error) === 'EADDRINUSE' ? 'another program uses that port' : error.message
      reject(new Failure('cannot-listen', `cannot serve on ${options.host}:${options.port}: ${why}`, { cause: error }))
    })
    server.listen(options.port, options.host, resolve)
  })
  const { address, port, family } = server.address() as AddressInfo
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  try {
    if (options.addressFile !== undefined) await writeAddress(options.addressFile, url)
    work.note(`Serving ${options.ostreeRepo} at ${url} until you press Ctrl-C.
This server is for trying things, not for production: it has no TLS, no authentication and no limits.`)
    await new Promise<void>(resolve => {
      if (work.signal.aborted) resolve()
      work.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  return { url }
}

async function writeAddress(file: string, url: string): Promise<void> {
  try {
    await mkdir(dirname(file)).catch(error => {
      if (errno(error) !== 'EEXIST') throw error
    })
    await writeFile(file, `${url}\n`)
  } catch (error) {
    const why = errno(error) ?? String(error)
    throw new Failure(
      'no-folder',
      `cannot write the address to ${file}: ${why}; name a file in a folder that is there`,
      {
        cause: error,
      },
    )
  }
}

async function answer(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const end = (status: number) => response.writeHead(status).end()
  if (request.method !== 'GET' && request.method !== 'HEAD') return void end(405)
  let path: string
  try {
    path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '').replace(/\/{2,}/g, '/')
  } catch {
    return void end(400)
  }
  if (!PUBLIC.test(path) || path.split('/').includes('..')) return void end(404)
  let file: FileHandle
  try {
    // A link in the repository must not lead out of it.
    const real = await realpath(join(root, path))
    if (!real.startsWith(root + sep)) return void end(404)
    file = await open(real)
  } catch {
    return void end(404)
  }
  try {
    const status = await file.stat()
    if (!status.isFile()) return void end(404)
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': status.size })
    if (request.method === 'HEAD') return void response.end()
    const stream = createReadStream('', { fd: file, autoClose: false })
    await new Promise<void>(resolve => {
      stream.once('error', () => {
        response.destroy()
        resolve()
      })
      response.once('close', () => resolve())
      stream.pipe(response)
    })
  } finally {
    await file.close()
  }
}
