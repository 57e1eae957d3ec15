/** How QEMU runs the machine: on the processor where it can, else emulated. */
import { constants } from 'node:fs'
import { access, readFile } from 'node:fs/promises'

/** /dev/kvm alone says little: it is there, too, where a hypervisor below does not let it work. */
export async function acceleration(): Promise<string[]> {
  const processor = await readFile('/proc/cpuinfo', 'utf8')
  const may = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  if (may && /^flags\s*:.* (vmx|svm) /m.test(processor)) return ['-accel', 'kvm', '-cpu', 'host']
  // What makes an emulated processor slower: string and vector instructions that kernel and libraries then use (a fifth of
  // a start), a fifth level of page tables, and modules for virtual machines inside it.
  return ['-accel', 'tcg,thread=multi', '-cpu', 'max,-erms,-fsrm,-avx,-avx2,-la57,-svm']
}
