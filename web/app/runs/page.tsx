import { Suspense } from 'react';
import { LivePage } from '../../features/live/LivePage';

export default function Page(): React.ReactNode {
  // The run is named in the query, which is known only in the browser.
  return (
    <Suspense>
      <LivePage />
    </Suspense>
  );
}
