/** Main file of the child process that asks what is plugged in: see media/prober.ts. */
import { serve } from './media/prober.ts'

await serve()
