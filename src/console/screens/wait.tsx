/** No service: that it is so, that nothing is lost by it, and that the console goes on trying. */
import { Text } from 'ink'
import { type Frame, Page, tone, wrapped } from '../frame.tsx'
import { Head } from './confirm.tsx'

/** @param lost the failure's code and sentence; none while connecting for the first time */
export function Wait({ frame, lost }: { frame: Frame; lost?: { code: string; message: string } }) {
  const { t } = frame
  const head = !lost ? t.connecting : lost.code === 'other-version' ? t.otherVersion : t.serviceGone
  return (
    <Page frame={frame} keys={[t.keys.quit]}>
      <Head>{head}</Head>
      {lost ? (
        <Text bold {...tone(frame, 'warn')}>
          {wrapped(lost.message)}
        </Text>
      ) : null}
      {lost ? <Text>{wrapped(t.serviceGoneText)}</Text> : null}
      {lost ? <Text>{wrapped(t.code(lost.code))}</Text> : null}
    </Page>
  )
}
