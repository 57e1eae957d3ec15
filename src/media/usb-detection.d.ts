/** The part of usb-detection that is used: the package itself is optional, so its own types may not be there. */
declare module 'usb-detection' {
  interface Device {
    vendorId: number
    productId: number
    deviceName: string
    manufacturer: string
    serialNumber: string
  }
  export function find(): Promise<Device[]>
}
