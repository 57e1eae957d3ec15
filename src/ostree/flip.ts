/**
 * A program of its own: reorder the boot entries through libostree, for ostree versions without `admin set-default`.
 * Started as `node flip.js SYSROOT STATEROOT COMMIT SERIAL`; its last line of output is a FlipResult.
 */
import { existsSync } from 'node:fs'
import type Koffi from 'koffi'

export type FlipResult = { ok: true } | { ok: false; code: 'flip-missing' | 'flip-failed' | 'staged'; message: string }

type Pointer = unknown
/** A GLib out-parameter: one place that the callee fills. */
type Out<T> = [T]
type Fallible<A extends unknown[]> = (...args: [...A, Out<Pointer>]) => number

/** The few functions of GLib and libostree that a flip needs, bound by their C declarations. */
function bind(koffi: typeof Koffi) {
  const glib = koffi.load('libglib-2.0.so.0')
  const gio = koffi.load('libgio-2.0.so.0')
  const ostree = koffi.load('libostree-1.so.1')
  const GError = koffi.struct('GError', { domain: 'uint32', code: 'int', message: 'char *' })
  const GPtrArray = koffi.struct('GPtrArray', { pdata: 'void *', len: 'uint' })
  // OstreeSysrootWriteDeploymentsOpts: do_postclean, then padding
  koffi.struct('WriteOptions', {
    postclean: 'int',
    bools: koffi.array('int', 7),
    ints: koffi.array('int', 7),
    pointers: koffi.array('void *', 7),
  })
  const error = '_Out_ void **error'
  const fn = <T>(library: ReturnType<typeof Koffi.load>, declaration: string) => library.func(declaration) as T
  return {
    message: (place: Out<Pointer>) => String(koffi.decode(place[0], GError).message),
    items(array: Pointer): Pointer[] {
      const { pdata, len } = koffi.decode(array, GPtrArray) as { pdata: Pointer; len: number }
      return len === 0 ? [] : (koffi.decode(pdata, 'void *', len) as Pointer[])
    },
    file: fn<(path: string) => Pointer>(gio, 'void *g_file_new_for_path(const char *path)'),
    newArray: fn<() => Pointer>(glib, 'void *g_ptr_array_new()'),
    add: fn<(array: Pointer, item: Pointer) => void>(glib, 'void g_ptr_array_add(void *array, void *item)'),
    open: fn<(file: Pointer) => Pointer>(ostree, 'void *ostree_sysroot_new(void *file)'),
    ownNamespace: fn<Fallible<[Pointer, null]>>(
      ostree,
      `int ostree_sysroot_initialize_with_mount_namespace(void *sysroot, void *cancellable, ${error})`,
    ),
    lock: fn<Fallible<[Pointer]>>(ostree, `int ostree_sysroot_lock(void *sysroot, ${error})`),
    unlock: fn<(sysroot: Pointer) => void>(ostree, 'void ostree_sysroot_unlock(void *sysroot)'),
    load: fn<Fallible<[Pointer, null]>>(ostree, `int ostree_sysroot_load(void *sysroot, void *cancellable, ${error})`),
    deployments: fn<(sysroot: Pointer) => Pointer>(ostree, 'void *ostree_sysroot_get_deployments(void *sysroot)'),
    os: fn<(deployment: Pointer) => string>(ostree, 'const char *ostree_deployment_get_osname(void *deployment)'),
    commit: fn<(deployment: Pointer) => string>(ostree, 'const char *ostree_deployment_get_csum(void *deployment)'),
    serial: fn<(deployment: Pointer) => number>(ostree, 'int ostree_deployment_get_deployserial(void *deployment)'),
    staged: fn<(deployment: Pointer) => number>(ostree, 'int ostree_deployment_is_staged(void *deployment)'),
    write: fn<Fallible<[Pointer, Pointer, object, null]>>(
      ostree,
      `int ostree_sysroot_write_deployments_with_options(void *sysroot, void *array, WriteOptions *options, void *cancellable, ${error})`,
    ),
  }
}

function flip(koffi: typeof Koffi, path: string, os: string, commit: string, serial: number): FlipResult {
  const lib = bind(koffi)
  const failed = (message: string): FlipResult => ({ ok: false, code: 'flip-failed', message })
  const error: Out<Pointer> = [null]
  const sysroot = lib.open(lib.file(path))
  // On a booted device /sysroot and /boot may be mounted read-only: write in a mount namespace, as ostree's own verbs do.
  if (process.getuid?.() === 0 && existsSync('/run/ostree-booted') && !lib.ownNamespace(sysroot, null, error))
    return failed(lib.message(error))
  if (!lib.lock(sysroot, error)) return failed(lib.message(error))
  try {
    if (!lib.load(sysroot, null, error)) return failed(lib.message(error))
    const all = lib.items(lib.deployments(sysroot))
    // libostree would drop it silently.
    if (all.some(one => lib.staged(one)))
      return {
        ok: false,
        code: 'staged',
        message: 'an update is staged for the next shutdown; finish or undeploy it first',
      }
    const target = all.find(one => lib.os(one) === os && lib.commit(one) === commit && lib.serial(one) === serial)
    if (target === undefined) return failed(`there is no deployment ${commit}.${serial}`)
    if (target === all[0]) return { ok: true }
    const order = lib.newArray()
    for (const one of [target, ...all.filter(other => other !== target)]) lib.add(order, one)
    const padding = (value: unknown) => Array(7).fill(value)
    const options = { postclean: 0, bools: padding(0), ints: padding(0), pointers: padding(null) }
    if (!lib.write(sysroot, order, options, null, error)) return failed(lib.message(error))
    return { ok: true }
  } finally {
    lib.unlock(sysroot)
  }
}

async function main(): Promise<FlipResult> {
  const [path = '', os = '', commit = '', serial = ''] = process.argv.slice(2)
  try {
    const { default: koffi } = await import('koffi')
    return flip(koffi, path, os, commit, Number(serial))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return {
      ok: false,
      code: 'flip-missing',
      message: `libostree cannot be used (${why}); install koffi and libostree-1-1`,
    }
  }
}

// Its death between freeze and thaw would leave the file system of /boot frozen.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
console.log(JSON.stringify(await main()))
