/** What a test of sticks begins with: a device at rest that runs 1.0, and a package of a newer release that fits it. */
import { mkdtemp, rm } from 'node:fs/promises'
import type { PackageResult } from '../../src/builder/package.ts'
import type { Device } from './device.ts'
import { atRest } from './operate.ts'
import { makeProduct, type Product } from './releases.ts'

export interface Fitting {
  /** scratch folder, removed at the end */
  folder: string
  product: Product
  device: Device
  offered: PackageResult
  end(): Promise<void>
}

/** @param name of the package's file, without its ending */
export async function makeFitting(
  version: string,
  name: string,
  content: Parameters<Product['release']>[1] = {},
): Promise<Fitting> {
  const folder = await mkdtemp('/tmp/sb-fit-')
  const product = await makeProduct(folder)
  await product.release(version, content)
  const offered = await product.package(version, { name: `${name}.superblock` })
  const device = await product.device('d')
  await device.boot()
  await atRest(device)
  return {
    folder,
    product,
    device,
    offered,
    async end() {
      await device.destroy()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
