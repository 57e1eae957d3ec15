/** Child processes: the only importer of node:child_process. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from './failure.ts'

export interface RunOptions {
  cwd?: string
  env?: Record<string, string>
  /** bytes for standard input; none means /dev/null */
  input?: string | Uint8Array
  /** milliseconds until SIGKILL; never given for a command that changes a sysroot */
  timeout?: number
  signal?: AbortSignal
  /**
   * For a program that is not ours, with a time limit: of each output its last so many bytes are kept, instead of a failure when it
   * is too much, and what it leaves behind is ended with it.
   */
  last?: number
  /** exit statuses that are not a failure, beside 0 */
  accept?: readonly number[]
  /** called with each complete line of standard output and standard error, for progress */
  onLine?: (line: string) => void
}

export interface RunResult {
  stdout: string
  stderr: string
  status: number
}

const OUTPUT_LIMIT = 16 * 1024 * 1024
/** Milliseconds that its pipes may stay open after the end of such a program. */
const STRAGGLING = 1000
const environment = (extra?: Record<string, string>) => ({ ...process.env, LC_ALL: 'C.UTF-8', ...extra })

/** How a failed command reads in one line: its name and the last thing it said. */
function explain(argv: readonly string[], how: string, output: string): string {
  const said = output
    .trim()
    .split('\n')
    .slice(-3)
    .join(' / ')
    .replace(/^error: /i, '')
  return `cannot run ${argv.slice(0, 3).join(' ')}: ${how}${said ? `: ${said}` : ''}`
}

function spawnFailure(argv: readonly string[], error: NodeJS.ErrnoException): Failure {
  if (error.code === 'ENOENT')
    return new Failure('command-missing', `cannot run ${argv[0]}: it is not installed`, { cause: error })
  return new Failure('command-failed', `cannot run ${argv[0]}: ${error.message}`, { cause: error })
}

/**
 * Run a command to its end with its output kept (16 MiB at most).
 * @throws Failure `command-missing`, `command-failed`, `command-timeout`
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [command = '', ...rest] = argv
  const child = spawn(command, rest, {
    cwd: options.cwd,
    env: environment(options.env),
    signal: options.signal,
    killSignal: 'SIGKILL',
    // with a time limit the whole process group must go, or a grandchild would hold the pipes open
    detached: options.timeout !== undefined,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  if (options.timeout !== undefined) options.signal?.addEventListener('abort', () => killGroup(child), { once: true })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  let kept = 0
  const keep = (list: Buffer[]) => {
    let held = 0
    return (chunk: Buffer) => {
      kept += chunk.length
      if (options.last === undefined && kept > OUTPUT_LIMIT) return void child.kill('SIGKILL')
      held += chunk.length
      list.push(chunk)
      while (options.last !== undefined && list[0] && held - list[0].length >= options.last)
        held -= list.shift()?.length ?? 0
    }
  }
  child.stdout?.on('data', keep(stdout))
  child.stderr?.on('data', keep(stderr))
  if (options.onLine) {
    const { onLine } = options
    for (const stream of [child.stdout, child.stderr]) eachLine(stream, onLine)
  }
  if (options.input !== undefined) {
    child.stdin?.on('error', () => {}) // the exit status tells why it stopped reading
    child.stdin?.end(options.input)
  }
  // The end is not waited for when it is late: a process that hangs in the kernel does not die of SIGKILL.
  let timer: NodeJS.Timeout | undefined
  let straggling: NodeJS.Timeout | undefined
  if (options.last !== undefined)
    child.once('exit', () => {
      endGroup(child)
      straggling = setTimeout(() => closePipes(child), STRAGGLING)
    })
  const late = new Promise<never>((_, reject) => {
    if (options.timeout === undefined) return
    timer = setTimeout(() => {
      killGroup(child)
      child.unref()
      const how = `no answer within ${options.timeout} ms`
      reject(new Failure('command-timeout', explain(argv, how, text(stderr))))
    }, options.timeout)
  })
  try {
    const status = await Promise.race([ended(child, argv), late])
    const result = { stdout: text(stdout), stderr: text(stderr), status: status.code ?? -1 }
    if (status.code === 0 || (status.code !== null && options.accept?.includes(status.code))) return result
    const how = status.code === null ? `ended by ${status.signal}` : `exit status ${status.code}`
    throw new Failure('command-failed', explain(argv, how, result.stderr || result.stdout))
  } finally {
    clearTimeout(timer)
    clearTimeout(straggling)
  }
}

/**
 * Run a command that must never be cut short (it freezes /boot for a moment; its death there leaves it frozen). It gets a
 * session of its own, its output goes to a nameless file so that our death cannot end it with SIGPIPE, and it holds
 * `lock` (a file, made as needed) for as long as it lives: `settled(lock)` waits for one that outlived us. The lock is
 * taken before the command starts and handed to it as an open file, so there is no moment in which our death would let
 * a later life of the service believe that nothing runs.
 * @param where.folder where the output is kept for the duration
 * @param options.onPulse called while the command is seen to work, with the bytes it has written so far
 * @throws Failure `command-missing`, `command-failed`
 */
export async function runUninterrupted(
  argv: readonly string[],
  where: { lock: string; folder: string },
  options: Pick<RunOptions, 'cwd' | 'env'> & { onPulse?: ((written: number) => void) | undefined } = {},
): Promise<RunResult> {
  const [command = '', ...rest] = argv
  const lock = await open(where.lock, 'a', 0o600)
  try {
    // flock(2) locks the open file, not the process: it stays locked for us and for whoever inherits the file.
    const locking = ['flock', '--exclusive', '3']
    const locked = await ended(
      spawn('flock', locking.slice(1), { stdio: ['ignore', 'ignore', 'ignore', lock.fd] }),
      locking,
    )
    if (locked.code !== 0) throw new Failure('command-failed', explain(argv, `cannot lock ${where.lock}`, ''))
    const path = join(where.folder, `output-${randomBytes(8).toString('hex')}`)
    const output = await open(path, 'wx+', 0o600)
    try {
      await unlink(path)
      const child = spawn(command, rest, {
        cwd: options.cwd,
        env: environment(options.env),
        detached: true,
        stdio: ['ignore', output.fd, output.fd, lock.fd],
      })
      const pulse = options.onPulse && watchPulse(child.pid, options.onPulse)
      const status = await ended(child, argv).finally(() => clearInterval(pulse))
      const said = await tail(output)
      if (status.code === 0) return { stdout: said, stderr: '', status: 0 }
      const how = status.code === null ? `ended by ${status.signal}` : `exit status ${status.code}`
      throw new Failure('command-failed', explain(argv, how, said))
    } finally {
      await output.close()
    }
  } finally {
    await lock.close()
  }
}

/** The last megabyte of a file that another process wrote through the same open file. */
async function tail(file: FileHandle): Promise<string> {
  const { size } = await file.stat()
  const buffer = Buffer.alloc(Math.min(size, 1024 * 1024))
  const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length)
  return buffer.toString('utf8', 0, bytesRead)
}

/** Resolve when no command of an earlier life of the service holds `lock` any more. */
export async function settled(lock: string): Promise<void> {
  await run(['flock', '--exclusive', lock, 'true'])
}

/**
 * Start a long-lived child; the caller owns its end.
 * @param options.group it leads a process group, which `endGroup` ends with all that it started
 */
export function start(
  argv: readonly string[],
  stdio: StdioOptions,
  env?: Record<string, string>,
  { group = false } = {},
): ChildProcess {
  const [command = '', ...rest] = argv
  return spawn(command, rest, { env: environment(env), stdio, detached: group })
}

/** End a child that leads a group, and what it started. */
export function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {} // it has ended by itself
}

function killGroup(child: ChildProcess): void {
  endGroup(child)
  closePipes(child)
}

/** Nobody who still holds them is waited for. */
function closePipes(child: ChildProcess): void {
  child.stdout?.destroy()
  child.stderr?.destroy()
}

/** Look twice a second whether the process used the processor or wrote something (proc_pid_stat(5), proc_pid_io(5)). */
function watchPulse(pid: number | undefined, onPulse: (written: number) => void): NodeJS.Timeout {
  let before = ''
  return setInterval(async () => {
    try {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      const io = await readFile(`/proc/${pid}/io`, 'utf8')
      const times = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14).join(' ')
      const written = Number(/^wchar: (\d+)/m.exec(io)?.[1] ?? 0)
      const now = `${times} ${written}`
      if (now !== before) onPulse(written)
      before = now
    } catch {} // it has just ended, or /proc hides it
  }, 500)
}

function ended(
  child: ChildProcess,
  argv: readonly string[],
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', error => reject(spawnFailure(argv, error as NodeJS.ErrnoException)))
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
}

function eachLine(stream: NodeJS.ReadableStream | null, onLine: (line: string) => void): void {
  let rest = ''
  stream?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split(/[\r\n]+/)
    rest = (lines.pop() ?? '').slice(-4096)
    for (const line of lines) if (line) onLine(line)
  })
}

const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString('utf8')
